"""`tapestream record`: topics into Parquet files that replay, notebooks and other tools read."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas import codec
from schemas.settings import load_settings
from streams.record import RecordOptions, record
from streams.record_files import Rotation, Tally
from tapestream.interrupts import sigterm_interrupts


def run(
    out: Annotated[Path, typer.Option(help="The folder of the files; a second run goes on in it.")],
    topics: Annotated[str, typer.Option(help="Topics, joined by commas.")] = "market.ticks",
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin at the oldest message, not at the next one.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so long.", show_default=False)
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="Stop at what is the last message now.")
    ] = False,
    rotate_rows: Annotated[int, typer.Option(min=1, help="Rows of a file of frames.")] = 1_000_000,
    rotate_seconds: Annotated[float, typer.Option(min=0.1, help="Longest time a file is open.")] = 60.0,
    skip_lost: Annotated[
        bool, typer.Option("--skip-lost", help="Go on where the log no longer has the next message.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
) -> None:
    """Write topics to Parquet.

    A file appears when it is finished, and its name says which offsets it holds. Ctrl-C finishes the open
    ones. Started again on the same folder, recording goes on where the files end.
    """
    settings = load_settings()
    rotation = Rotation(rows=rotate_rows, json_rows=min(rotate_rows, 50_000), seconds=rotate_seconds)
    options = RecordOptions(
        tuple(topics.split(",")), from_beginning, seconds, until_caught_up, skip_lost, rotation
    )
    sigterm_interrupts()
    seen = Tally()
    files, stopped = 0, False

    def keep(tally: Tally) -> None:
        nonlocal seen, files
        if sys.stderr.isatty() and len(tally.files) != files:
            print(f"{tally.rows:,} rows, {tally.files[-1]}", file=sys.stderr)
        seen, files = tally, len(tally.files)

    try:
        seen = asyncio.run(record(settings, out, options, keep))
    except KeyboardInterrupt:
        stopped = True
    if as_json:
        typer.echo(codec.dumps(_report(seen)))
    else:
        typer.echo("\n".join(lines(seen, out)))
    if stopped:
        raise typer.Exit(130)


def _report(tally: Tally) -> dict[str, object]:
    return {
        "messages": tally.messages,
        "rows": tally.rows,
        "without_rows": tally.empty,
        "files": tally.files,
        "unreadable": tally.unreadable,
        "examples": tally.examples,
    }


def lines(tally: Tally, folder: Path) -> list[str]:
    """The report for people."""
    found = [f"{tally.rows:,} rows of {tally.messages:,} messages in {len(tally.files)} files under {folder}"]
    if tally.unreadable:
        found.append(f"{tally.unreadable:,} messages could not be read and are not in the files")
        found += [f"  {example}" for example in tally.examples]
    return found
