"""`tapestream ingest`: pack JSON ticks into frames until told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from schemas.settings import Settings, load_settings

log = logging.getLogger("tapestream.ingest")


def run(
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Serve /metrics, /live and /ready; 0 for a free port."),
    ] = None,
    port_file: Annotated[
        Path | None, typer.Option(help="Write that port to this file.", show_default=False)
    ] = None,
    max_ticks: Annotated[int, typer.Option(min=1, max=65_536, help="Ticks that make a frame.")] = 4096,
    max_age_ms: Annotated[float, typer.Option(min=0, help="How long a tick may wait for others.")] = 20.0,
    heartbeat_ms: Annotated[
        float, typer.Option(min=0, help="Tell partitions without ticks the event time so often; 0 for never.")
    ] = 1000.0,
    commit_interval_s: Annotated[float, typer.Option(min=0.01, help="How often to commit.")] = 1.0,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    as_json: Annotated[
        bool, typer.Option("--json", help="The totals as one JSON object at the end.")
    ] = False,
) -> None:
    """Pack the JSON ticks of market.ticks.json into frames on market.ticks, until Ctrl-C.

    A tick that cannot be used goes to dead.letters alone, with its coordinates and what is wrong. Start
    several of these to share the partitions. One that is killed is replaced without loss or repeats.
    """
    from streams.files import replace_file
    from streams.ingest import Ingest, Totals

    logging.basicConfig(level=log_level, format="%(asctime)s ingest %(levelname)s %(message)s")
    for noisy in ("aiokafka", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(log_level)))
    gc.set_threshold(50_000, 20, 20)  # a poll is thousands of short-lived objects, none of them in a cycle
    settings = load_settings()

    async def serve() -> Totals:
        from prometheus_client import CollectorRegistry, ProcessCollector

        from streams.clients import wait_for_broker
        from streams.health import serve_health

        stop = asyncio.Event()
        _stop_on_signals(stop)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        ingest = Ingest(
            settings,
            commit_interval_s=commit_interval_s,
            max_ticks=max_ticks,
            max_age_ms=max_age_ms,
            heartbeat_ms=heartbeat_ms or None,
            registry=registry,
        )

        async def work() -> Totals:
            waiting = asyncio.create_task(wait_for_broker(settings, timeout_s=WAIT_S, on_wait=log.warning))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not waiting.done():
                waiting.cancel()
                return ingest.totals
            await waiting
            return await ingest.run(stop)

        if metrics_port is None:
            return await work()
        async with serve_health(settings.host, metrics_port, registry, lambda: ingest.ready) as address:
            log.info("metrics at %s/metrics", address)
            if port_file is not None:
                replace_file(port_file, address.rpartition(":")[2].encode())
            return await work()

    typer.echo(report(asyncio.run(serve()), settings, as_json))


WAIT_S = 600.0
"""How long to wait for a broker that is not there at the start."""


def report(totals: object, settings: Settings, as_json: bool) -> str:
    """The exit line."""
    from schemas import codec
    from streams.ingest import Totals

    assert isinstance(totals, Totals)
    if as_json:
        return codec.dumps(asdict(totals)).decode()
    return (
        f"{totals.messages} messages from {settings.broker}: {totals.ticks} ticks = {totals.framed} framed + "
        f"{totals.dead} dead-lettered + {totals.repeated} already there"
    )


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first signal ends ingest in good order; a second one ends it at once."""
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first, number)
