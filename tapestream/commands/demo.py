"""`tapestream demo`: the pipeline at work on a simulated market or on recorded ticks."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas import codec
from schemas.errors import AccountingError, SettingsError
from schemas.settings import Settings, load_settings
from streams import admin, clients
from streams.broker import EmbeddedBroker
from streams.broker.ports import is_free
from tapestream.demo.ledger import Summary
from tapestream.demo.past import Past
from tapestream.demo.run import Demo, Waiting, until_told
from tapestream.demo.tasks import AGENTS
from tapestream.demo.view import Screen
from tapestream.devices import seats
from tapestream.interrupts import sigterm_interrupts
from tapestream.signals_view import line as signal_line
from tapestream.up.family import Family
from tapestream.up.pipeline import (
    DEFAULT_BROKER_PORT,
    GRACE_BEYOND_S,
    BrokerWatch,
    api_plan,
    child_environment,
    sole_use,
    some_broker,
    task_plans,
    token_of,
    worker_count,
    worker_plans,
)

FAULTS = "gap:0.0002,duplicate:0.0005,late:0.0002,crossed:0.0001,bad:0.00005"
"""A feed as feeds are, so that there is something to account for."""
SHORTEST_S = 10.0
"""A signal's regression needs eight windows of a second; a shorter demo would find none."""
LINE_EVERY_S = 2.0
SIGNALS_A_LINE = 3
"""Signals that are printed with each line, where there is no terminal."""

Say = Callable[[str], None]


def run(
    seconds: Annotated[
        float | None, typer.Option(min=SHORTEST_S, help="End by itself after so long, with a summary.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Replay this file instead of the simulated market.")
    ] = None,
    speed: Annotated[
        str,
        typer.Option(
            help="Event time to real time: 1, 10, ..., or max.", show_default="10 of a replay, else 1"
        ),
    ] = "",
    symbols: Annotated[int, typer.Option(min=1, max=10_000, help="Of the simulated market.")] = 50,
    rate: Annotated[float, typer.Option(help="Ticks a second of its median symbol.")] = 100.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated market.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many worker processes; by the number of cores.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Only the summary, as one JSON object.")] = False,
) -> None:
    """Show the pipeline at work: broker, workers, a market, and the signals they give.

    Ends after --seconds, at the end of the recorded data, or by Ctrl-C, and then says whether every tick is
    accounted for and where its tasks ran: exit code 8 when a tick or a task's end is missing, or when it
    ended by --seconds and no signal was made. It works in
    a folder of its own, which each demo clears; with TAPESTREAM_BROKER set, under a topic prefix of its own.
    """
    if data is not None and not data.is_file():
        raise SettingsError(f"{data}: no such file", "give a file of recorded ticks: make demo DATA=path")
    settings = load_settings()
    console = Console(stderr=as_json, highlight=False)
    sigterm_interrupts()  # until the demo listens for it itself
    with place(settings, console) as (placed, broker):
        show = Shown(console, quiet=as_json)
        past = None if data is not None else _past(placed, symbols, rate, seed, show)
        producer = _producer(data, speed, symbols, rate, seed, past)
        count = workers or worker_count(os.cpu_count())
        summary, by_hand = asyncio.run(_course(placed, broker, count, producer, seconds, past, show))
    typer.echo(codec.dumps(summary.as_dict()).decode() if as_json else "\n".join(["", *summary.lines()]))
    # Recorded ticks may hold nothing worth a signal; the simulated market always does.
    expected = not by_hand and (data is None or seconds is not None)
    problems = summary.problems(signals_expected=expected)
    if problems:
        raise AccountingError("; ".join(problems), f"see {placed.data_dir / 'logs'}")


def _past(settings: Settings, symbols: int, rate: float, seed: int, show: Shown) -> Past | None:
    past = Past.until(time.time_ns(), settings.model_window_ms or settings.windows_ms[0], symbols, rate, seed)
    if past is None:
        show.say("no model is trained: the past of such a market would take too long to make")
    return past


def _producer(
    data: Path | None, speed: str, symbols: int, rate: float, seed: int, past: Past | None
) -> tuple[str, ...]:
    """The command that sends the ticks."""
    if data is not None:
        return ("replay", str(data.absolute()), "--speed", speed or "10", "--json")
    of_market = ("--symbols", str(symbols), "--rate", str(rate), "--seed", str(seed), "--faults", FAULTS)
    before = () if past is None else past.market_options
    return ("market", *of_market, *before, "--speed", speed or "1", "--start", "now", "--json")


@contextmanager
def place(settings: Settings, console: Console) -> Iterator[tuple[Settings, EmbeddedBroker | None]]:
    """Settings of the demo's own, with a broker that runs; the embedded one, or None where one is named."""
    folder = settings.data_dir / "demo"
    own = {"data_dir": folder}
    with sole_use(folder, "demo"):
        for old in ("kafka", "logs", "models"):
            shutil.rmtree(folder / old, ignore_errors=True)
        if "broker" in settings.model_fields_set:
            prefix = f"{settings.topic_prefix}demo-{secrets.token_hex(4)}."
            yield settings.model_copy(update={**own, "topic_prefix": prefix}), None
            return
        port = DEFAULT_BROKER_PORT if is_free(DEFAULT_BROKER_PORT) else 0
        with some_broker(settings.model_copy(update=own), console, port) as broker:
            assert broker is not None
            yield settings.model_copy(update={**own, "broker": broker.address}), broker


async def _course(
    settings: Settings,
    broker: EmbeddedBroker | None,
    workers: int,
    producer: tuple[str, ...],
    seconds: float | None,
    past: Past | None,
    show: Shown,
) -> tuple[Summary, bool]:
    """Run the demo on a broker that runs; the summary, and whether it was ended by hand."""
    await clients.wait_for_broker(settings, on_wait=show.say)
    await admin.ensure_topics(settings)
    token = token_of(settings)
    family = Family(
        settings.data_dir / "logs",
        child_environment(settings, settings.broker, token),
        settings.shutdown_timeout_s + GRACE_BEYOND_S,
        show.say,
        settings.host,
    )
    try:
        async with until_told(family.hurry) as told:
            watch = BrokerWatch(broker, show.say)
            demo = Demo(settings, family, watch, producer, seconds, told, show.say, past)
            run_folder = settings.data_dir / "run"
            plans = [*worker_plans(seats(workers, "auto"), run_folder), *task_plans(run_folder, AGENTS)]
            plans.append(api_plan(run_folder))
            with show.waiting(training=past is not None) as waiting:
                pages = await demo.start(plans, waiting)
            screen = Screen(_heading(settings, pages, token))
            with show.live(screen) as refresh:
                summary = await demo.run(screen, refresh)
            by_hand = told.is_set()
            await asyncio.to_thread(family.stop)
            return summary, by_hand
    finally:
        family.stop()
        if broker is None:
            await admin.delete_topics(settings)


def _heading(settings: Settings, pages: dict[str, str], token: str) -> list[str]:
    variables = []
    if not settings.broker.endswith(f":{DEFAULT_BROKER_PORT}"):
        variables.append(f"TAPESTREAM_BROKER={settings.broker} ")
    if settings.topic_prefix:
        variables.append(f"TAPESTREAM_TOPIC_PREFIX={settings.topic_prefix} ")
    return [
        f"broker    {settings.broker}",
        *(f"{name:<8}  {address}{_page(name, token)}" for name, address in pages.items()),
        f"signals   {''.join(variables)}.venv/bin/tapestream signals  in another terminal",
        f"logs      {settings.data_dir / 'logs'}",
        "Ctrl-C ends it",
    ]


def _page(name: str, token: str) -> str:
    if name == "api":
        return f"/dashboard#token={token}  also /docs"
    return "/pipeline  also / /metrics /live /ready"


class Shown:
    """How the demo shows itself: a live picture on a terminal, lines elsewhere, nothing when quiet."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet

    def say(self, line: str) -> None:
        """Print a line, above the picture if there is one."""
        if not self._quiet:
            self._console.print(line, soft_wrap=True, markup=False)

    @contextmanager
    def waiting(self, *, training: bool) -> Iterator[Waiting]:
        """What to tell how long it waits for the workers, and how far the training is."""
        texts = ["starting the workers; the first time they compile their kernels"]
        if training:
            texts.append("training an LSTM on the market's past")
        if self._quiet or not self._console.is_terminal:
            for text in texts:
                self.say(text)
            yield lambda _seconds, _share: None
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as shown:
            bars = [shown.add_task(text, total=None) for text in texts]
            yield lambda _seconds, share: shown.update(
                bars[-1], total=None if share is None else 1.0, completed=share
            )

    @contextmanager
    def live(self, screen: Screen) -> Iterator[Callable[[Screen], None]]:
        """What to call whenever the screen has changed."""
        if self._quiet:
            yield lambda _screen: None
        elif self._console.is_terminal:
            with Live(screen, console=self._console, auto_refresh=False) as live:
                yield lambda _screen: live.refresh()
        else:
            for text in screen.heading:
                self.say(text)
            yield partial(_line_now_and_then, self.say, LastLine())


@dataclass(slots=True)
class LastLine:
    """When a line was printed last, and how many signals there were by then."""

    at_s: float = 0.0
    signals: int = 0


def _line_now_and_then(say: Say, last: LastLine, screen: Screen) -> None:
    if screen.seconds - last.at_s < LINE_EVERY_S:
        return
    fresh = min(screen.board.total - last.signals, SIGNALS_A_LINE)
    for newest in list(screen.board.latest)[:fresh]:
        say(f"         {signal_line(newest)}")
    say(screen.line())
    last.at_s, last.signals = screen.seconds, screen.board.total
