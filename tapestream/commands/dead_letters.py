"""`tapestream dead-letters`: list what could not be used, look at one, send them again."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from schemas import codec
from schemas.errors import FrameError
from schemas.ipc import read_batch
from schemas.settings import load_settings
from streams.dead_letters import DeadLetter, Outcome, Retry, Wanted, read_letter, read_letters

app = typer.Typer(no_args_is_help=True, help="List and retry what could not be used.")

Topic = Annotated[str | None, typer.Option("--topic", help="Of this origin only, such as market.ticks.json.")]
Partition = Annotated[int | None, typer.Option("--partition", help="Of this partition of dead.letters only.")]
First = Annotated[int | None, typer.Option("--from", help="From this offset of dead.letters on.")]
Last = Annotated[int | None, typer.Option("--to", help="Up to this offset of dead.letters, included.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a letter, one a line.")]


@app.command("list")
def list_letters(
    topic: Topic = None,
    partition: Partition = None,
    first: First = None,
    last: Last = None,
    as_json: AsJson = False,
) -> None:
    """Which messages could not be used, where they came from and why."""
    asyncio.run(_list(Wanted(topic, partition, first, last), as_json))


async def _list(wanted: Wanted, as_json: bool) -> None:
    letters = read_letters(load_settings(), wanted)
    if as_json:
        async for letter, retried in letters:
            typer.echo(codec.dumps(summary(letter) | {"retried": retried}).decode())
        return
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("letter", "written", "error", "what to do", "sent again"):
        shown.add_column(column, overflow="fold")
    async for letter, retried in letters:
        row = summary(letter)
        cells = [_plain(str(row[name])) for name in ("letter", "written", "error", "remedy")]
        shown.add_row(*cells, "yes" if retried else "")
    Console().print(shown if shown.row_count else "no dead letters")


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="PARTITION@OFFSET, as the list shows it.")],
    as_json: AsJson = False,
) -> None:
    """One letter with its headers and its payload."""
    partition, _, offset = letter.partition("@")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"{letter!r} is not like 2@17", param_hint="LETTER")
    found, retried = asyncio.run(read_letter(load_settings(), int(partition), int(offset)))
    whole = summary(found) | {
        "retried": retried,
        "headers": [[name, value.decode(errors="replace")] for name, value in found.headers],
        "payload": payload(found.payload),
    }
    typer.echo(codec.dumps(whole).decode() if as_json else codec.dumps_pretty(whole))


@app.command()
def retry(
    topic: Topic = None,
    partition: Partition = None,
    first: First = None,
    last: Last = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send letters again to the topic and partition that they came from; each one once.

    What has been sent again is recorded on dead.letters itself, so that a second retry, or one after a
    crash, sends nothing twice.
    """
    asyncio.run(_retry(Wanted(topic, partition, first, last), dry_run, as_json))


async def _retry(wanted: Wanted, dry_run: bool, as_json: bool) -> None:
    counts: Counter[str] = Counter()
    async for outcome in Retry(load_settings(), wanted, dry_run=dry_run).run():
        counts[outcome.verdict] += 1
        typer.echo(_line(outcome, dry_run, as_json))
    if not as_json:
        verb = "would be sent again" if dry_run else "sent again"
        typer.echo(
            f"{counts['retried']} {verb}, {counts['already']} were already, {counts['unusable']} cannot be"
        )


def _line(outcome: Outcome, dry_run: bool, as_json: bool) -> str:
    letter = outcome.letter
    if as_json:
        row = summary(letter) | {"verdict": outcome.verdict, "reason": outcome.reason, "dry_run": dry_run}
        return codec.dumps(row).decode()
    origin = letter.origin
    target = f"{origin.topic}[{origin.partition}]" if origin else "?"
    what = {
        "retried": f"would go to {target}" if dry_run else f"sent to {target}",
        "already": "sent again earlier",
        "unusable": f"not sent: {outcome.reason}",
    }[outcome.verdict]
    return f"{letter.partition}@{letter.offset}: {what}"


def summary(letter: DeadLetter) -> dict[str, Any]:
    """A letter in a line."""
    written = datetime.fromtimestamp(letter.timestamp_ms / 1e3, UTC)
    return {
        "letter": f"{letter.partition}@{letter.offset}",
        "written": written.isoformat(timespec="milliseconds"),
        "origin": str(letter.origin) if letter.origin else None,
        "error": letter.error,
        "remedy": letter.remedy,
        "bytes": len(letter.payload or b""),
    }


def payload(value: bytes | None) -> Any:
    """A payload for people: JSON as it is, a frame as its rows, anything else as text."""
    if value is None:
        return None
    try:
        return read_batch(value).to_pylist()
    except FrameError:
        pass
    try:
        return codec.loads(value)
    except FrameError:
        return value.decode(errors="backslashreplace")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")  # rich would take market.ticks[3] for a style
