"""`tapestream market`: a simulated market with a known truth, sent or written to a file."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from schemas import codec
from schemas.errors import SettingsError
from schemas.settings import load_settings
from streams import clients
from streams.clock import MonotonicClock
from streams.market.config import DEFAULT_START_NS, MarketConfig
from streams.market.fault_plan import FaultPlan
from streams.market.feed import Fed, feed, pass_over
from streams.market.files import ParquetSink, write_truth
from streams.market.market import SimulatedMarket
from streams.writer import TickWriter
from tapestream.interrupts import until_told


def run(
    symbols: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and start give the same ticks.")] = 0,
    rate: Annotated[float, typer.Option(help="Ticks a second of the median symbol.")] = 50.0,
    speed: Annotated[str, typer.Option(help="Event time to real time: 1, 10, ..., or max.")] = "1",
    seconds: Annotated[float | None, typer.Option(min=0.0, help="End after so much event time.")] = None,
    ticks: Annotated[int | None, typer.Option(min=1, help="End after so many ticks.")] = None,
    start: Annotated[
        str, typer.Option(help="Opening, ISO 8601 in UTC, or now. To a file: 2026-01-05T14:30 unless given.")
    ] = "",
    opened: Annotated[
        str, typer.Option(help="When it opened, if before --start: the ticks are those from then on.")
    ] = "",
    history: Annotated[
        float, typer.Option(min=0.0, help="With --opened: send so many seconds before --start at once.")
    ] = 0.0,
    faults: Annotated[
        str,
        typer.Option(help="What the feed does wrong, like gap:0.001,late:0.0005,stall_ms:2000."),
    ] = "",
    impact: Annotated[float, typer.Option(help="Move by a trade, in half spreads.")] = 0.35,
    flow: Annotated[float, typer.Option(help="Tilt of the signs by large traders, 0 to 1.")] = 0.6,
    hide_aggressor: Annotated[
        bool, typer.Option("--hide-aggressor", help="Leave out who began a trade.")
    ] = False,
    truth: Annotated[
        Path | None, typer.Option(help="Write what was planted there: JSON, or tables for .parquet.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a Parquet file instead of sending.")] = None,
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for a broker.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object.")] = False,
) -> None:
    """Simulate a market of many symbols and send its ticks to `market.ticks`.

    Prices move by order flow that is partly predictable, with planted spreads, impacts and clustered
    arrivals, which --truth writes down. Without --seconds or --ticks it goes on until Ctrl-C, which ends it
    cleanly.
    """
    pace = None if out is not None else _speed(speed)
    start_ns = _start_ns(start, DEFAULT_START_NS if out is not None else time.time_ns())
    config = MarketConfig(
        symbols=symbols,
        seed=seed,
        start_ns=_opening_ns(opened, start_ns),
        rate_per_s=rate,
        impact=impact,
        flow_bias=flow,
        hide_aggressor=hide_aggressor,
        faults=FaultPlan.parse(faults, seed),
    )
    if out is not None and seconds is None and ticks is None:
        raise SettingsError("a file needs an end", "say --seconds or --ticks")
    until_ns = None if seconds is None else start_ns + round(seconds * 1e9)
    market = SimulatedMarket(config)
    pass_over(market, start_ns - round(history * 1e9))

    fed = asyncio.run(_run(market, out, pace, start_ns, ticks, until_ns, wait))
    planted = market.truth
    if truth is not None:
        write_truth(truth, planted)
    _show(fed, config, Counter(fault.fault for fault in planted.faults), as_json=as_json)


async def _run(
    market: SimulatedMarket,
    out: Path | None,
    speed: float | None,
    start_ns: int,
    n_ticks: int | None,
    until_ns: int | None,
    wait_s: float,
) -> Fed:
    sink: ParquetSink | TickWriter
    if out is not None:
        sink = ParquetSink(out)
    else:
        settings = load_settings()
        await clients.wait_for_broker(settings, wait_s, lambda line: typer.echo(line, err=True))
        sink = TickWriter(settings)
    async with sink as open_sink:
        with until_told(_interrupt, signal.SIGINT, signal.SIGTERM) as told:
            return await feed(
                market,
                open_sink,
                MonotonicClock(),
                speed=speed,
                n_ticks=n_ticks,
                until_ns=until_ns,
                paced_from_ns=start_ns,
                stopped=told.is_set,
            )


def _speed(text: str) -> float | None:
    """Event seconds a second; None for as fast as possible."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= 1e6:
        raise SettingsError(f"speed: {text!r}", "a number above 0, like 1 or 10, or max")
    return speed


def _start_ns(text: str, default_ns: int) -> int:
    if text in ("", "now"):
        return time.time_ns() if text else default_ns
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"start: {text!r} is no time", "like 2026-01-05T14:30, in UTC") from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return round(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000


def _opening_ns(text: str, start_ns: int) -> int:
    opening_ns = _start_ns(text, start_ns)
    if opening_ns > start_ns:
        raise SettingsError(f"opened: {text!r} is after the start", "give a time before --start")
    return opening_ns


def _interrupt() -> None:
    raise KeyboardInterrupt


def _show(fed: Fed, config: MarketConfig, planted: Counter[str], *, as_json: bool) -> None:
    if as_json:
        summary = asdict(fed) | {"symbols": config.symbols, "seed": config.seed, "faults": dict(planted)}
        typer.echo(codec.dumps(summary).decode())
        return
    start = datetime.fromtimestamp(fed.start_ns / 1e9, UTC)
    event_s = (fed.end_ns - fed.start_ns) / 1e9
    typer.echo(
        f"{fed.ticks:,} ticks of {config.symbols:,} symbols, seed {config.seed}, "
        f"{event_s:,.1f} s from {start:%Y-%m-%d %H:%M:%S} UTC, in {fed.wall_s:,.1f} s"
    )
    if fed.behind_s > 0.1:
        typer.echo(f"up to {fed.behind_s:.1f} s behind the clock")
    if planted:
        typer.echo("planted: " + ", ".join(f"{count} {kind}" for kind, count in sorted(planted.items())))
