"""Ticks a second, Kafka to Kafka: one worker with all features beside a bare consumer of the same bytes.

The log is filled once a shape; then bare consumer and worker read it by turns, each in a process of its own,
and each is timed from its first message to its last. The worker writes features, bars, signals and
checkpoints meanwhile, with its default settings.
"""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

from bench.lab import Worker, bare_seconds, fill, forget_outputs, lab, log_size
from schemas.settings import Settings

SHAPES = (
    # name, ticks a frame, symbols, rate of the median symbol a second
    ("256", 256, 100, 200.0),
    ("1024", 1024, 100, 200.0),
    ("4096", 4096, 100, 200.0),
    ("4096_1000_symbols", 4096, 1_000, 50.0),
    ("4096_10000_symbols", 4096, 10_000, 10.0),
)


def run(ticks: int = 8_000_000, rounds: int = 3, seed: int = 11, only: str = "") -> dict[str, Any]:
    """Measure every shape; starts a broker a shape.

    Returns
    -------
    dict
        By shape: ``ticks_per_s``, ``bare_ticks_per_s`` (medians), ``ratio_to_bare`` (median of the ratios of
        neighbouring runs), ``bytes_per_tick``, and how many rows and signals the worker wrote.
    """
    return {shape[0]: _shape(*shape[1:], ticks, rounds, seed) for shape in SHAPES if only in ("", shape[0])}


def _shape(frame: int, symbols: int, rate: float, ticks: int, rounds: int, seed: int) -> dict[str, Any]:
    # Small frames cost more a tick: a shorter log keeps the benchmark's time.
    ticks = ticks if frame >= 1024 else ticks // 4
    with lab(partitions=4) as settings:
        size = asyncio.run(
            fill(settings, ticks=ticks, symbols=symbols, rate_per_s=rate, frame=frame, seed=seed)
        )
        messages = asyncio.run(log_size(settings))
        bare: list[float] = []
        ours: list[float] = []
        page: dict[str, Any] = {}
        for number in range(rounds):
            bare.append(bare_seconds(settings, messages))
            seconds, page = _worker_seconds(settings, messages, number)
            ours.append(seconds)
        rows = page["partitions"]
        return {
            "ticks_per_s": round(ticks / statistics.median(ours)),
            "bare_ticks_per_s": round(ticks / statistics.median(bare)),
            "ratio_to_bare": round(statistics.median(b / o for b, o in zip(bare, ours, strict=True)), 3),
            "ticks": ticks,
            "messages": messages,
            "bytes_per_tick": round(size / ticks, 1),
            "feature_rows": sum(row["feature_rows"] for row in rows),
            "signals": sum(row["signals"] for row in rows),
            "balanced": all(row["balanced"] for row in rows),
            "checkpoint_seconds": page["checkpoint_seconds"],
            "rounds": rounds,
        }


def _worker_seconds(settings: Settings, messages: int, number: int) -> tuple[float, dict[str, Any]]:
    asyncio.run(forget_outputs(settings))
    own = settings.model_copy(update={"group": f"bench-{number}"})
    with Worker(own, f"bench-{number}") as worker:
        page = worker.wait_for(messages)
    return float(page["flow_seconds"]), page
