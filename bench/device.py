"""The same work on the CPU and on a device, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from agents.dense.start import require


def beside(here: Callable[[], Any], there: Callable[[], Any], device: str, repeats: int) -> dict[str, Any]:
    """Median seconds of both, after one call of each that compiles; results must be on the host again.

    Raises
    ------
    SettingsError
        When the device cannot be used.
    """
    require(device)
    seconds: tuple[list[float], list[float]] = ([], [])
    for round_ in range(repeats + 1):
        for call, spent in zip((here, there), seconds, strict=True):
            start = time.perf_counter()
            call()
            if round_:
                spent.append(time.perf_counter() - start)
    cpu, other = (statistics.median(spent) for spent in seconds)
    return {"device": device, "cpu_s": cpu, "device_s": other, "times_the_cpu": round(cpu / other, 2)}
