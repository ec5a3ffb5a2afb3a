"""Says once a second on ``streams.workers`` how this worker is, for pages that show all of them.

The log's trouble is not the worker's: a report that cannot be delivered is dropped, the next one replaces it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from schemas.errors import BrokerError
from schemas.settings import Settings
from schemas.workers import PartitionReport, WorkerReport
from streams import topics
from streams.json_sender import json_sender

log = logging.getLogger("tapestream.worker")

PERIOD_S = 1.0
SEND_TIMEOUT_S = 5.0


async def report(settings: Settings, look: Callable[[], WorkerReport]) -> None:
    """Look and send once a period, until cancelled."""
    while True:
        try:
            async with json_sender(settings, SEND_TIMEOUT_S) as sender:
                while True:
                    seen = look()
                    await sender.send(topics.WORKERS, f"{seen.worker}@{seen.host}", seen)
                    await asyncio.sleep(PERIOD_S)
        except BrokerError as exc:
            log.debug("no report: %s", exc)
            await asyncio.sleep(PERIOD_S)


def worker_report(
    *, worker: str, device: str, page: str, capacity: float, summary: dict[str, Any], at_ns: int
) -> WorkerReport:
    """The report of a worker from what its ``/accounting`` page says."""
    return WorkerReport(
        worker=worker,
        host=socket.gethostname(),
        device=device,
        page=page,
        at_ns=at_ns,
        capacity=capacity,
        ready=summary["ready"],
        held_by_guard=summary["held_by_guard"],
        cpu_seconds=summary["cpu_seconds"],
        partitions=[partition_report(row, at_ns) for row in summary["partitions"]],
    )


def partition_report(row: dict[str, Any], at_ns: int) -> PartitionReport:
    """The report of a partition from its row of the accounting."""
    end = row["end_offset"]
    lag = None if end is None else max(0, end - row["next_offset"])
    seconds = None if lag is None else 0.0
    if lag and row["read_ms"] is not None:
        seconds = max(0.0, at_ns / 1e9 - row["read_ms"] / 1e3)
    counts = {
        name: row[name] for name in ("processed", "late", "duplicate", "dead", "held", "bars", "signals")
    }
    return PartitionReport(
        partition=row["partition"],
        ticks_in=row["in"],
        **counts,
        symbols=row["symbols"],
        lag_messages=lag,
        lag_seconds=seconds,
        watermark_ns=row["watermark_ns"],
    )
