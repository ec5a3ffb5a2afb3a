"""What commands that serve until told to stop have in common: logs, signals, health, a broker."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector

from schemas.settings import Settings
from streams.clients import wait_for_broker
from streams.files import replace_file
from streams.health import serve_health

WAIT_S = 600.0
"""How long to wait for a broker that is not there at the start."""

T = TypeVar("T")


def set_up_logs(name: str, level: str, *, noisy: tuple[str, ...] = ()) -> logging.Logger:
    """Lines of ours at ``level``, those of the Kafka client and other noisy libraries from WARNING on."""
    logging.basicConfig(level=level, format=f"%(asctime)s {name} %(levelname)s %(message)s")
    for library in ("aiokafka", "asyncio", *noisy):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    return logging.getLogger(f"tapestream.{name}")


async def serve(
    settings: Settings,
    work: Callable[[asyncio.Event], Awaitable[T]],
    ready: Callable[[], bool],
    log: logging.Logger,
    *,
    registry: CollectorRegistry | None = None,
    metrics_port: int | None = None,
    port_file: Path | None = None,
) -> T | None:
    """Wait for the broker, work until a signal comes, and show health meanwhile.

    Parameters
    ----------
    work
        Given an event that the first SIGINT or SIGTERM sets; a second one ends the process at once.

    Returns
    -------
    T or None
        What ``work`` returned; None when the signal came before there was a broker.
    """
    stop = asyncio.Event()
    _stop_on_signals(stop)

    async def course() -> T | None:
        waiting = asyncio.create_task(wait_for_broker(settings, timeout_s=WAIT_S, on_wait=log.warning))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not waiting.done():
            waiting.cancel()
            return None
        await waiting
        return await work(stop)

    if metrics_port is None:
        return await course()
    registry = registry or CollectorRegistry()
    ProcessCollector(registry=registry)
    async with serve_health(settings.host, metrics_port, registry, ready) as address:
        log.info("metrics at %s/metrics", address)
        if port_file is not None:
            replace_file(port_file, address.rpartition(":")[2].encode())
        return await course()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first, number)
