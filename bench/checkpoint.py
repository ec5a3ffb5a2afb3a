"""What checkpoints cost: share of the worker's time, bytes, and time to recover, by symbols a partition."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

from bench.lab import Worker, fill, lab, log_size

SYMBOLS = (10, 100, 1_000, 4_000)


def run(ticks: int = 30_000_000, seed: int = 5) -> dict[str, Any]:
    """Let a worker with one partition run through a log, then start another in its place.

    Returns
    -------
    dict
        By number of symbols: ``share`` of the time between first and last message that went into
        checkpoints (packing and compressing; the broker's time is not the worker's), ``bytes`` of the last
        one as written, ``checkpoints``, their ``interval_s``, and ``recovery_s`` of the next worker.
    """
    return {str(symbols): _measure(symbols, ticks, seed) for symbols in SYMBOLS}


def _measure(symbols: int, ticks: int, seed: int) -> dict[str, Any]:
    rate = 20_000 / symbols
    with lab(partitions=1) as settings:
        asyncio.run(fill(settings, ticks=ticks, symbols=symbols, rate_per_s=rate, frame=4096, seed=seed))
        messages = asyncio.run(log_size(settings))
        with Worker(settings, "first") as worker:
            page = worker.wait_for(messages)
        (row,) = page["partitions"]
        recoveries = []
        for number in range(3):
            asyncio.run(fill(settings, ticks=64, symbols=symbols, rate_per_s=rate, frame=64, seed=number))
            with Worker(settings, f"next-{number}") as worker:
                again = worker.wait_for(1)
            recoveries.append(again["partitions"][0]["recovery_seconds"])
        return {
            "share": round(page["checkpoint_seconds"] / page["flow_seconds"], 4),
            "bytes": row["checkpoint_bytes"],
            "checkpoints": page["checkpoints"],
            "interval_s": round(page["flow_seconds"] / max(1, page["checkpoints"]), 2),
            "recovery_s": round(statistics.median(recoveries), 3),
            "flow_s": round(page["flow_seconds"], 2),
        }
