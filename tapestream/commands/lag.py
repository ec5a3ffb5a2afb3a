"""`tapestream lag`: how far a consumer group is behind."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from schemas import codec
from schemas.settings import Settings, load_settings
from streams import lag, topics

REFRESH_S = 2.0


def run(
    group: Annotated[
        str | None, typer.Option(help="The consumer group, without the prefix; the workers' when not given.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; with --watch one a line.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
) -> None:
    """How far the consumers are behind, per partition, in messages and in seconds.

    Seconds are the age of the oldest record not yet committed: 0 when all is read.
    """
    asyncio.run(_show(load_settings(), group, as_json, watch))


async def _show(settings: Settings, group: str | None, as_json: bool, watch: bool) -> None:
    name = topics.group(settings, group)
    console = Console()
    if as_json:
        while True:
            typer.echo(codec.dumps(report(name, await _lags(settings, group, name))).decode())
            if not watch:
                return
            await asyncio.sleep(REFRESH_S)
    if not watch:
        console.print(table(name, await _lags(settings, group, name)))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(table(name, await _lags(settings, group, name)), refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _lags(settings: Settings, group: str | None, name: str) -> list[lag.PartitionLag]:
    # The workers' topic is known, so that they have a lag even before their first commit.
    names = () if group else (lag.of_workers(settings)[1],)
    return await lag.group_lag(settings, name, *names)


def report(group: str, lags: list[lag.PartitionLag]) -> dict[str, object]:
    """The answer for programs."""
    messages, seconds = lag.worst(lags)
    return {
        "group": group,
        "messages": messages,
        "seconds": seconds,
        "partitions": [asdict(row) for row in lags],
    }


def table(group: str, lags: list[lag.PartitionLag]) -> Table:
    """The answer for people."""
    messages, seconds = lag.worst(lags)
    shown = Table(
        box=None, title=f"{group}: {messages:,} messages, {_age(seconds)} behind", title_justify="left"
    )
    shown.add_column("topic")
    for column in ("partition", "committed", "end", "messages", "age", "lost"):
        shown.add_column(column, justify="right")
    for row in lags:
        committed = "-" if row.committed is None else f"{row.committed:,}"
        lost = f"{row.lost:,}" if row.lost else ""
        cells = (f"{row.partition}", committed, f"{row.end:,}", f"{row.messages:,}", _age(row.seconds), lost)
        shown.add_row(row.topic, *cells)
    return shown


def _age(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:,.1f} s"
