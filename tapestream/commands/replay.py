"""`tapestream replay`: recorded files onto ``market.ticks``, at their own pace or another."""

from __future__ import annotations

import asyncio
import math
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas import codec
from schemas.errors import SettingsError
from schemas.settings import Settings, load_settings
from schemas.ticks import COLUMNS
from streams.market.faults import FaultPlan
from streams.replay import Replay, ReplayOptions, Source, SourceSpec
from streams.replay.formats import ReadOptions
from streams.replay.formats.base import TIME_UNITS
from streams.replay.formats.columns import iso_ns
from streams.replay.send import Sending
from tapestream.interrupts import sigterm_interrupts

PLAIN_LINE_S = 5.0
_SOURCE, _PACE, _READ, _TEST = "Which ticks", "How they are sent", "How files are read", "For tests"


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Files: Parquet, CSV, Binance recordings, Lean zips, ITCH CSV, LOBSTER, Databento DBN."
        ),
    ],
    speed: Annotated[
        str, typer.Option(help="Seconds of the market in a second, or max.", rich_help_panel=_PACE)
    ] = "1",
    since: Annotated[
        str,
        typer.Option(
            "--from", help="First event time: ISO 8601 (UTC unless it says), or ns.", rich_help_panel=_SOURCE
        ),
    ] = "",
    until: Annotated[
        str, typer.Option("--to", help="Event time before which to stop.", rich_help_panel=_SOURCE)
    ] = "",
    symbols: Annotated[str, typer.Option(help="Only these, joined by commas.", rich_help_panel=_SOURCE)] = "",
    loop: Annotated[
        int,
        typer.Option(
            min=0, help="How often to send the files, later each time; 0 for ever.", rich_help_panel=_SOURCE
        ),
    ] = 1,
    order: Annotated[
        str,
        typer.Option(
            help="event, file, or auto: own recordings as they are, all else by event time.",
            rich_help_panel=_SOURCE,
        ),
    ] = "auto",
    number: Annotated[
        bool,
        typer.Option(
            "--number",
            help="Number the ticks by symbol and kind, so that gaps and repeats show.",
            rich_help_panel=_SOURCE,
        ),
    ] = False,
    max_gap: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Cut longer silences to this many seconds.",
            show_default=False,
            rich_help_panel=_PACE,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where the last replay of these files and options stopped.",
            rich_help_panel=_PACE,
        ),
    ] = False,
    close: Annotated[
        bool,
        typer.Option(
            help="At the end move event time on, so that the last windows close.", rich_help_panel=_PACE
        ),
    ] = True,
    frame_ticks: Annotated[
        int, typer.Option(min=1, max=65_536, help="Ticks a message.", rich_help_panel=_PACE)
    ] = 4096,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and count only; needs no broker.", rich_help_panel=_PACE)
    ] = False,
    format_: Annotated[
        str,
        typer.Option(
            "--format", help="A format's name or module:Class; by content when absent.", rich_help_panel=_READ
        ),
    ] = "",
    column_map: Annotated[
        list[str] | None,
        typer.Option("--map", help="TICK_COLUMN=FILE_COLUMN,...", show_default=False, rich_help_panel=_READ),
    ] = None,
    symbol: Annotated[
        str, typer.Option(help="Symbol of every row, for files without one.", rich_help_panel=_READ)
    ] = "",
    day: Annotated[
        str,
        typer.Option("--date", help="Date of a file that counts time from midnight.", rich_help_panel=_READ),
    ] = "",
    time_unit: Annotated[
        str, typer.Option(help="Unit of mapped times: auto, ns, us, ms, s or iso.", rich_help_panel=_READ)
    ] = "auto",
    time_zone: Annotated[
        str, typer.Option(help="Zone of times without one, and of midnight.", rich_help_panel=_READ)
    ] = "",
    price_scale: Annotated[
        int, typer.Option(min=1, help="Mapped prices are divided by this.", rich_help_panel=_READ)
    ] = 1,
    recv_offset_ms: Annotated[
        float,
        typer.Option(help="Added to capture times that stand in for exchange times.", rich_help_panel=_READ),
    ] = 0.0,
    faults: Annotated[
        str,
        typer.Option(
            "--fault",
            help="Spoil on purpose: gap:0.01,duplicate:0.01,reorder:0.01,stall:0.0001",
            rich_help_panel=_TEST,
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Of the faults.", rich_help_panel=_TEST)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
) -> None:
    """Send recorded files as ticks.

    The kind of each file is told by its content. Bad rows are counted, named and left out. The report at the
    end says how well the pace was kept; Ctrl-C stops, and --resume goes on.
    """
    settings = load_settings()
    if ":" in format_ and "" not in sys.path:
        sys.path.append(
            ""
        )  # a format beside the files, as with `python -m`; last, so that it shadows nothing
    if order not in ("auto", "event", "file"):
        raise SettingsError(f"--order {order}: no such order", "auto, event or file")
    options = ReadOptions(
        columns=parse_map(column_map or []),
        symbol=symbol,
        day=_date(day),
        time_unit=_time_unit(time_unit),
        time_zone=_zone(time_zone),
        price_scale=price_scale,
        recv_offset_ns=round(recv_offset_ms * 1e6),
    )
    spec = SourceSpec(
        tuple(paths),
        format=format_,
        options=options,
        order=order,  # type: ignore[arg-type]
        symbols=tuple(filter(None, symbols.split(","))),
        from_ns=parse_time(since, "--from"),
        to_ns=parse_time(until, "--to"),
        loops=loop,
        loop_grid_ns=math.lcm(*settings.windows_ms) * 1_000_000,
        number=number,
        faults=FaultPlan.parse(faults, seed),
    )
    replay = Replay(
        settings,
        Source(spec),
        ReplayOptions(parse_speed(speed), max_gap, close, resume, frame_ticks, dry_run),
    )
    sigterm_interrupts()
    stopped = False
    try:
        with Shown(replay, settings) as shown:
            asyncio.run(replay.run(shown.update))
    except KeyboardInterrupt:
        stopped = True
    report = replay.report()
    typer.echo(codec.dumps(report) if as_json else "\n".join(lines(report, dry_run=dry_run)))
    if stopped:
        raise typer.Exit(130)


def parse_speed(text: str) -> float | None:
    """``max`` is None: no pace at all."""
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = -1.0
    if not 0 < speed < 1e9:
        raise SettingsError(f"--speed {text}: no speed", "a number above 0, or max")
    return speed


def parse_map(texts: list[str]) -> dict[str, str]:
    """``ts_event_ns=time,bid_px=bid`` to a dictionary."""
    found: dict[str, str] = {}
    for part in filter(None, (piece.strip() for text in texts for piece in text.split(","))):
        ours, equals, theirs = (piece.strip() for piece in part.partition("="))
        if ours not in COLUMNS or not equals or not theirs:
            raise SettingsError(
                f"--map {part}: no TICK_COLUMN=FILE_COLUMN", f"tick columns are {', '.join(COLUMNS)}"
            )
        found[ours] = theirs
    return found


def parse_time(text: str, option: str) -> int | None:
    """ISO 8601 or ns; None when absent."""
    if not text:
        return None
    try:
        return int(text) if text.isdigit() and len(text) > 8 else iso_ns(text, ZoneInfo("UTC"))
    except ValueError as exc:
        raise SettingsError(f"{option} {text}: no time", "such as 2024-08-08T23:55:00Z, or ns") from exc


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as exc:
        raise SettingsError(f"--date {text}: no date", "such as 2013-10-07") from exc


def _time_unit(text: str) -> Any:
    if text not in TIME_UNITS:
        raise SettingsError(f"--time-unit {text}: no such unit", f"one of {', '.join(TIME_UNITS)}")
    return text


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key if text else ""
    except (KeyError, ValueError, OSError) as exc:
        raise SettingsError(f"--time-zone {text}: no such zone", "such as America/New_York or UTC") from exc


class Shown:
    """Progress on standard error: a bar on a terminal, else a plain line now and then."""

    def __init__(self, replay: Replay, settings: Settings) -> None:
        self._replay = replay
        self._console = Console(stderr=True)
        self._next_s = 0.0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        names = [file.path.name for file in replay.source.files]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        self._task = self._bar.add_task(names[0] + more, total=None, what="")

    def __enter__(self) -> Shown:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def update(self, sending: Sending) -> None:
        """Show how far it is; cheap enough for every write."""
        if sending.seconds < self._next_s:
            return
        rate = sending.ticks / max(sending.seconds, 1e-9)
        at = datetime.fromtimestamp(sending.high_ns // 1_000_000_000, UTC)
        what = f"{sending.ticks:,} ticks, {rate:,.0f}/s, {at:%Y-%m-%d %H:%M:%S}Z"
        if self._console.is_terminal:
            self._next_s = sending.seconds + 0.1
            total = self._replay.source.estimate()
            self._bar.update(self._task, completed=sending.position.ticks, total=total, what=what)
        else:
            if self._next_s:
                print(what, file=sys.stderr, flush=True)
            self._next_s = sending.seconds + PLAIN_LINE_S


def lines(report: dict[str, Any], *, dry_run: bool = False) -> list[str]:
    """The report for people."""
    if report["finished"] and not report["ticks"] and report["resumed_at"]:
        return ["this replay is finished; leave out --resume to send it again"]
    verb = "read" if dry_run else "sent"
    rate = f", {report['ticks_per_s']:,} ticks/s" if report["ticks_per_s"] else ""
    frames = "" if dry_run else f" in {report['frames']:,} frames"
    found = [f"{verb} {report['ticks']:,} ticks{frames}, {report['seconds']:.1f} s{rate}"]
    error = report["pacing_error_ms"]
    if error:
        found.append(f"pacing error: p50 {error['p50']} ms, p99 {error['p99']} ms, max {error['max']} ms")
    if report["faults"]:
        found.append("faults planted: " + ", ".join(f"{n:,} {kind}" for kind, n in report["faults"].items()))
    for file in report["files"]:
        for what, n in file["skipped"].items():
            found.append(f"{file['file']}: {n:,} rows are no ticks: {what}")
        for reason, n in file["bad"].items():
            found.append(f"{file['file']}: {n:,} bad rows: {reason}")
        found += [f"  {example}" for example in file["examples"]]
    found += report["notes"]
    if not report["finished"]:
        found.append(f"stopped after {report['position']:,} ticks; --resume goes on from there")
    return found
