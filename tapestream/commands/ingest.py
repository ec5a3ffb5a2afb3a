"""`tapestream ingest`: pack JSON ticks into frames until told to stop."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.settings import Settings, load_settings
from tapestream.options import LogLevel, MetricsPort, PortFile

if TYPE_CHECKING:
    from streams.ingest import Totals


def run(
    metrics_port: MetricsPort = None,
    port_file: PortFile = None,
    max_ticks: Annotated[int, typer.Option(min=1, max=65_536, help="Ticks that make a frame.")] = 4096,
    max_age_ms: Annotated[float, typer.Option(min=0, help="How long a tick may wait for others.")] = 20.0,
    heartbeat_ms: Annotated[
        float, typer.Option(min=0, help="Tell partitions without ticks the event time so often; 0 for never.")
    ] = 1000.0,
    commit_interval_s: Annotated[float, typer.Option(min=0.01, help="How often to commit.")] = 1.0,
    log_level: LogLevel = "INFO",
    as_json: Annotated[
        bool, typer.Option("--json", help="The totals as one JSON object at the end.")
    ] = False,
) -> None:
    """Pack the JSON ticks of market.ticks.json into frames on market.ticks, until Ctrl-C.

    A tick that cannot be used goes to dead.letters alone, with its coordinates and what is wrong. Start
    several of these to share the partitions. One that is killed is replaced without loss or repeats.
    """
    from prometheus_client import CollectorRegistry

    from streams.ingest import Ingest
    from tapestream.serving import serve, set_up_logs

    log = set_up_logs("ingest", log_level)
    gc.set_threshold(50_000, 20, 20)  # a poll is thousands of short-lived objects, none of them in a cycle
    settings = load_settings()
    registry = CollectorRegistry()

    async def work() -> Totals:
        ingest = Ingest(
            settings,
            commit_interval_s=commit_interval_s,
            max_ticks=max_ticks,
            max_age_ms=max_age_ms,
            heartbeat_ms=heartbeat_ms or None,
            registry=registry,
        )
        await serve(
            settings,
            ingest.run,
            lambda: ingest.ready,
            log,
            registry=registry,
            metrics_port=metrics_port,
            port_file=port_file,
        )
        return ingest.totals

    typer.echo(report(asyncio.run(work()), settings, as_json))


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
