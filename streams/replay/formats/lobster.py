"""LOBSTER: a message file and the order book file beside it, row by row.

Written from the published layout. Times are seconds after midnight in New York with up to nine decimals,
prices dollars times 10000, a level that is empty has the price 9999999999 (ask) or -9999999999 (bid).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.errors import SourceError
from schemas.ticks import PRICE_SCALE, Array, Ticks
from streams.replay.formats import columns as convert
from streams.replay.formats.base import BadRows, ReadOptions
from streams.replay.formats.midnight import midnight_ns
from streams.replay.formats.opening import read_head
from streams.replay.formats.text import TextBlock, data_lines, read_text
from streams.replay.formats.top_of_book import Events, TopOfBook

MESSAGE = ("time", "type", "order_id", "size", "price", "direction")
BEST = ("ask price", "ask size", "bid price", "bid size")
EXECUTIONS = (4, 5, 6)
"""Of a visible order, of a hidden order, and in an auction."""
CROSS, HALT = 6, 7
DUMMY = 9_999_999_999
_UNIT = PRICE_SCALE // 10_000


class Lobster:
    """One symbol's day: ``AAPL_2012-06-21_34200000_57600000_message_10.csv`` and its ``_orderbook_`` twin."""

    name = "lobster"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Six numbers a row: decimal seconds, a type of 1 to 7, last a direction; or the twin's name."""
        rows = data_lines(head)
        if not rows:
            return False
        if "_orderbook_" in path.name and len(rows[0]) % 4 == 0:
            return True
        like = [_looks_like_a_message(row) for row in rows]
        return any("." in row[0] for row in rows) and 2 * sum(like) > len(like)

    def canonical(self, path: Path) -> Path:
        """The message file of the pair, whichever was named."""
        return path.with_name(path.name.replace("_orderbook_", "_message_"))

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """Trades from executions, quotes where the top of the book changes."""
        path = self.canonical(path)
        twin = path.with_name(path.name.replace("_message_", "_orderbook_"))
        if twin == path or not twin.exists():
            raise SourceError(
                f"{path}: no order book file beside it",
                "a LOBSTER pair is named alike but for _message_ and _orderbook_",
            )
        levels = data_lines(read_head(twin))
        if not levels or len(levels[0]) % 4:
            raise SourceError(
                f"{twin}: not four columns a level", "ask price, ask size, bid price, bid size, ..."
            )
        book = TopOfBook(options.symbol or path.name.split("_")[0], bad)
        midnight = midnight_ns(path, path.name, options)
        books = _Books(read_text(twin, bad, options.block_rows, [str(i) for i in range(len(levels[0]))]))
        for block in read_text(path, bad, options.block_rows, MESSAGE):
            yield book.ticks(_events(block, books.at(block.lines), midnight, bad))
        bad.skip("order book row without a message", books.rest())


def _looks_like_a_message(row: list[str]) -> bool:
    if len(row) != len(MESSAGE) or not row[0].replace(".", "", 1).isdigit():
        return False
    return row[1] in "1234567" and row[5] in ("1", "-1", "0")


class _Books:
    """The order book file's rows by line; both files have a line an event."""

    def __init__(self, blocks: Iterator[TextBlock]) -> None:
        self._blocks = blocks
        self._lines = np.zeros(0, np.int64)
        self._best = [pa.array([], pa.string())] * 4

    def at(self, lines: Array) -> TextBlock:
        """The rows of those lines; 0 as the line of a row that the file lacks."""
        while not len(self._lines) or self._lines[-1] < lines[-1]:
            block = next(self._blocks, None)
            if block is None:
                break
            self._lines = np.concatenate([self._lines, block.lines])
            best = [block.columns[str(i)] for i in range(4)]
            self._best = [pa.concat_arrays(pair) for pair in zip(self._best, best, strict=True)]
        places = np.searchsorted(self._lines, lines)
        there = places < len(self._lines)
        there[there] = self._lines[places[there]] == lines[there]
        chosen = pa.array(np.where(there, places, 0), mask=~there)
        columns = {name: best.take(chosen) for name, best in zip(BEST, self._best, strict=True)}
        done = int(np.searchsorted(self._lines, lines[-1], side="right"))
        self._lines = self._lines[done:]
        self._best = [best.slice(done) for best in self._best]
        return TextBlock(columns, np.where(there, lines, 0))

    def rest(self) -> int:
        """Rows after the last message's."""
        return len(self._lines) + sum(len(block) for block in self._blocks)


def _events(message: TextBlock, book: TextBlock, midnight: int, bad: BadRows) -> Events:
    good = np.ones(len(message), bool)

    def check(wrong: Array, reason: str) -> None:
        nonlocal good
        bad.add_where(wrong & good, message.lines, reason)
        good = good & ~wrong

    def whole(block: TextBlock, name: str) -> Array:
        found = convert.integers(block.columns[name])
        check(found.bad | found.absent, f"{name} is no whole number")
        return found.values

    check(book.lines == 0, "no row in the order book file")
    seconds = convert.prices(message.columns["time"])  # nine decimals of a second are ns
    check(seconds.bad | seconds.absent, "time is no number of seconds")
    kind, size, price, direction = (whole(message, name) for name in ("type", "size", "price", "direction"))
    ask, ask_sz, bid, bid_sz = (whole(book, name) for name in BEST)
    halted = good & (kind == HALT)
    bad.skip("trading halt", int(halted.sum()))
    return Events(
        ts_ns=midnight + seconds.values,
        bid_px=np.where(bid == -DUMMY, 0, bid) * _UNIT,
        ask_px=np.where(ask == DUMMY, 0, ask) * _UNIT,
        bid_sz=bid_sz,
        ask_sz=ask_sz,
        trade=np.isin(kind, EXECUTIONS),
        trade_px=price * _UNIT,
        trade_sz=size,
        # The direction is that of the order in the book. An auction has no side that came to it.
        aggressor=np.where(kind == CROSS, 0, -np.sign(direction)),
        sequence=np.zeros(len(message), np.int64),
        good=good & (kind != HALT),
        lines=message.lines,
    )
