"""`tapestream signals`: the trading signals as they are made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from schemas import codec
from schemas.errors import FrameError
from schemas.messages import Signal
from schemas.settings import Settings, load_settings
from streams import clients, topics
from streams.follow import follow
from tapestream.signals_view import Board, Wanted, line

Show = Callable[[Signal], None]


def run(
    symbol: Annotated[
        list[str] | None, typer.Option(help="Only this symbol; patterns like 'BTC*' too; may be repeated.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only signals of this kind; may be repeated.")
    ] = None,
    min_strength: Annotated[
        float, typer.Option(min=0.0, help="Leave out weaker ones; strength is |expected move| over cost.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, as on the topic.")] = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest that is kept, not the next.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Wait for more; without, end at the last one.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
) -> None:
    """Watch the trading signals.

    A live table on a terminal, one line a signal elsewhere. Ctrl-C ends it.
    """
    settings = load_settings()
    wanted = Wanted(symbol or (), kind or (), min_strength)
    watch = Watch(settings, wanted, limit, from_beginning=from_beginning, until_now=not follow)
    console = Console()
    if as_json:
        watch.run(lambda signal: typer.echo(codec.dumps(signal).decode()))
    elif not console.is_terminal:
        watch.run(lambda signal: typer.echo(line(signal)))
    else:
        board = Board(rows=max(5, console.height - 4))
        with Live(board, console=console, refresh_per_second=8):
            watch.run(board.add)


class Watch:
    """Reads the signals and shows the wanted ones, until there were enough."""

    def __init__(
        self,
        settings: Settings,
        wanted: Wanted,
        limit: int | None = None,
        *,
        from_beginning: bool = False,
        until_now: bool = False,
    ) -> None:
        self._settings, self._wanted, self._limit = settings, wanted, limit
        self._from_beginning, self._until_now = from_beginning, until_now

    def run(self, show: Show) -> None:
        """Show signals until the limit, the end or Ctrl-C."""
        asyncio.run(self._run(show))

    async def _run(self, show: Show) -> None:
        await clients.wait_for_broker(
            self._settings, timeout_s=10.0, on_wait=lambda line: typer.echo(line, err=True)
        )
        left = self._limit
        reading = follow(
            self._settings,
            topics.SIGNALS,
            from_beginning=self._from_beginning,
            until_now=self._until_now,
        )
        async with reading as batches:
            async for batch in batches:
                for record in batch:
                    signal = self._decoded(record.partition, record.offset, record.value)
                    if signal is None or not self._wanted(signal):
                        continue
                    show(signal)
                    if left is not None:
                        left -= 1
                        if left == 0:
                            return

    def _decoded(self, partition: int, offset: int, value: bytes | None) -> Signal | None:
        try:
            return codec.decode(Signal, value or b"")
        except FrameError as exc:
            where = f"{topics.name(self._settings, topics.SIGNALS)}[{partition}]@{offset}"
            typer.echo(f"skipped {where}: {exc}", err=True)
            return None
