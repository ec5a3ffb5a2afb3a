"""Ticks a second, Kafka to Kafka: one worker with all features beside bare consumers of the same bytes.

The log is filled once a shape; then bare consumers and worker read it by turns, each in a process of its own,
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


def run(
    ticks: int = 16_000_000, rounds: int = 3, seed: int = 11, only: str = "", device: str = "cpu"
) -> dict[str, Any]:
    """Measure every shape; starts a broker a shape.

    Returns
    -------
    dict
        By shape: ``ticks_per_s``, ``bare_ticks_per_s`` (a bare loop on the worker's client),
        ``aiokafka_ticks_per_s`` (one on aiokafka), medians; ``ratio_to_bare`` and ``ratio_to_aiokafka``
        (medians of the ratios of neighbouring runs), ``bytes_per_tick``, and how many rows and signals the
        worker wrote.
    """
    wanted = [shape for shape in SHAPES if only in ("", shape[0])]
    return {shape[0]: _shape(*shape[1:], ticks, rounds, seed, device) for shape in wanted}


def _shape(
    frame: int, symbols: int, rate: float, ticks: int, rounds: int, seed: int, device: str
) -> dict[str, Any]:
    # Small frames cost more a tick: a shorter log keeps the benchmark's time.
    ticks = ticks if frame >= 1024 else ticks // 4
    with lab(partitions=4) as settings:
        size = asyncio.run(
            fill(settings, ticks=ticks, symbols=symbols, rate_per_s=rate, frame=frame, seed=seed)
        )
        messages = asyncio.run(log_size(settings))
        bare: list[float] = []
        aiokafka: list[float] = []
        ours: list[float] = []
        page: dict[str, Any] = {}
        for number in range(rounds):
            bare.append(bare_seconds(settings, messages))
            aiokafka.append(bare_seconds(settings, messages, "aiokafka"))
            seconds, page = _worker_seconds(settings, messages, number, device)
            ours.append(seconds)
        rows = page["partitions"]
        return {
            "device": device,
            "ticks_per_s": round(ticks / statistics.median(ours)),
            "bare_ticks_per_s": round(ticks / statistics.median(bare)),
            "aiokafka_ticks_per_s": round(ticks / statistics.median(aiokafka)),
            "ratio_to_bare": _ratio(bare, ours),
            "ratio_to_aiokafka": _ratio(aiokafka, ours),
            "ticks": ticks,
            "messages": messages,
            "bytes_per_tick": round(size / ticks, 1),
            "feature_rows": sum(row["feature_rows"] for row in rows),
            "signals": sum(row["signals"] for row in rows),
            "balanced": all(row["balanced"] for row in rows),
            "checkpoint_seconds": page["checkpoint_seconds"],
            "rounds": rounds,
        }


def _ratio(bare: list[float], ours: list[float]) -> float:
    return round(statistics.median(b / o for b, o in zip(bare, ours, strict=True)), 3)


def _worker_seconds(
    settings: Settings, messages: int, number: int, device: str
) -> tuple[float, dict[str, Any]]:
    asyncio.run(forget_outputs(settings))
    own = settings.model_copy(update={"group": f"bench-{number}"})
    with Worker(own, f"bench-{number}", device) as worker:
        page = worker.wait_for(messages)
    return float(page["flow_seconds"]), page
