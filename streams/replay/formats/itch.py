"""Order events of Nasdaq ITCH as CSV: 17 columns of the event, then the book after it, level by level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from schemas.errors import SourceError
from schemas.ticks import Array, Ticks
from streams.replay.formats import columns as convert
from streams.replay.formats.base import BadRows, ReadOptions
from streams.replay.formats.midnight import midnight_ns
from streams.replay.formats.opening import inner_name
from streams.replay.formats.text import TextBlock, read_text, split_header
from streams.replay.formats.top_of_book import Events, TopOfBook

NEEDED = (
    "source_message_sequence",
    "timestamp_ns",
    "message_type",
    "size",
    "price",
    "execution_price",
    "direction",
    "stock",
    "ask_price_1",
    "ask_size_1",
    "bid_price_1",
    "bid_size_1",
)
EXECUTIONS = ("E", "C", "P")
"""Executed, executed at another price, and a trade with a hidden order."""


class ItchCsv:
    """One symbol's order events of a day; ``timestamp_ns`` counts from midnight in New York."""

    name = "itch"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A header with the event's and the first level's columns."""
        names, _ = split_header(head)
        return {"message_type", "timestamp_ns", "ask_price_1"} <= set(names)

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """Trades from executions, quotes where the top of the book changes."""
        midnight = midnight_ns(path, inner_name(path), options)
        book: TopOfBook | None = None
        for block in read_text(path, bad, options.block_rows):
            missing = [name for name in NEEDED if name not in block.columns]
            if missing:
                raise SourceError(
                    f"{path} has no column {missing[0]}", f"an ITCH CSV has {', '.join(NEEDED)}"
                )
            if book is None:
                book = TopOfBook(options.symbol or _symbol(path, block), bad)
            yield book.ticks(_events(block, midnight, bad))


def _symbol(path: Path, block: TextBlock) -> str:
    _, names = convert.texts(pc.unique(block.columns["stock"]))
    if len(names) != 1 or not names[0]:
        found = ", ".join(str(name) for name in names[:5])
        raise SourceError(
            f"{path} holds the symbols {found}", "a book is of one symbol: split the file, or give --symbol"
        )
    return names[0]


def _events(block: TextBlock, midnight: int, bad: BadRows) -> Events:
    good = np.ones(len(block), bool)

    def take(name: str, found: convert.Converted, *, required: bool = True) -> Array:
        nonlocal good
        wrong = found.bad | found.absent if required else found.bad
        bad.add_where(wrong & good, block.lines, f"{name} is no number")
        good = good & ~wrong
        return found.values

    column = block.columns
    ts = take("timestamp_ns", convert.integers(column["timestamp_ns"]))
    sequence = take("source_message_sequence", convert.integers(column["source_message_sequence"]))
    size = take("size", convert.integers(column["size"]))
    resting = take("direction", convert.integers(column["direction"]))
    price = convert.prices(column["price"])
    executed = convert.prices(column["execution_price"])
    levels = {
        name: take(name, convert.prices(column[name]), required=False)
        for name in ("bid_price_1", "ask_price_1")
    }
    sizes = {
        name: take(name, convert.integers(column[name]), required=False)
        for name in ("bid_size_1", "ask_size_1")
    }
    kinds, names = convert.texts(column["message_type"])
    is_trade = np.array([*(name in EXECUTIONS for name in names), False])[kinds]
    return Events(
        ts_ns=midnight + ts,
        bid_px=levels["bid_price_1"],
        ask_px=levels["ask_price_1"],
        bid_sz=sizes["bid_size_1"],
        ask_sz=sizes["ask_size_1"],
        trade=is_trade,
        trade_px=np.where(executed.absent, price.values, executed.values),
        trade_sz=size,
        # The direction is that of the order in the book; who came to it is the other side.
        aggressor=-np.sign(resting),
        sequence=np.maximum(sequence, 0),
        good=good,
        lines=block.lines,
    )
