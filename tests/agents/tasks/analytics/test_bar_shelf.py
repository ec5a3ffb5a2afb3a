"""Of the messages of ``market.bars`` a task takes the wanted bars, each once, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.tasks.analytics.bar_shelf import BarRange, BarShelf
from schemas.errors import FrameError
from schemas.features import FEATURE_SCHEMA
from schemas.ipc import blank_stream
from tests.agents.tasks.analytics.frames import SECOND, frame

Row = tuple[str, int, int, float]
"""Symbol, window in seconds, close in seconds, closing price."""


def taken(blocks: list[list[bytes]], symbols: list[str], wanted: BarRange) -> tuple[BarShelf, int]:
    """A shelf filled from blocks in the log's order, and how many were read from the end."""
    shelf, end = BarShelf(symbols, wanted), sum(map(len, blocks))
    for read, block in enumerate(reversed(blocks), 1):
        end -= len(block)
        for offset, payload in enumerate(block, end):
            shelf.take(payload, offset)
        if not shelf.settle():
            return shelf, read
    return shelf, len(blocks)


def closes(shelf: BarShelf) -> dict[str, list[tuple[int, float]]]:
    return {
        symbol: list(zip((bars["ts_ns"] // SECOND).tolist(), bars["close"].tolist(), strict=True))
        for symbol, bars in shelf.bars().items()
    }


LOG = [[frame(("A", 1, t, 10.0 + t), ("B", 1, t, 20.0 + t), ("C", 1, t, 30.0))] for t in range(1, 9)]


def test_the_last_bars_of_the_wanted_symbols_are_found_and_reading_ends_there() -> None:
    shelf, read = taken(LOG, ["B", "A"], BarRange(SECOND, last=2))
    assert (closes(shelf), read) == ({"B": [(7, 27.0), (8, 28.0)], "A": [(7, 17.0), (8, 18.0)]}, 2)
    assert shelf.strangers == {"C"}


def test_a_time_range_is_by_close_with_both_ends_and_reading_ends_before_it() -> None:
    shelf, read = taken(LOG, ["A"], BarRange(SECOND, from_ns=4 * SECOND, to_ns=6 * SECOND))
    assert (closes(shelf), read) == ({"A": [(4, 14.0), (5, 15.0), (6, 16.0)]}, 6)


def test_the_last_bars_before_a_time_are_found() -> None:
    shelf, _ = taken(LOG, ["A"], BarRange(SECOND, last=2, to_ns=5 * SECOND))
    assert closes(shelf) == {"A": [(4, 14.0), (5, 15.0)]}


def test_bars_come_with_their_columns_as_floats() -> None:
    shelf, _ = taken(LOG, ["A"], BarRange(SECOND, last=1))
    assert {name: values.tolist() for name, values in shelf.bars()["A"].items()} == {
        "ts_ns": [8 * SECOND],
        "open": [18.0],
        "high": [18.5],
        "low": [17.5],
        "close": [18.0],
        "volume": [100.0],
    }


def test_a_bar_that_is_there_twice_counts_once_as_it_was_written_last() -> None:
    again = [*LOG[:4], [LOG[2][0], frame(("A", 1, 3, 99.0))], *LOG[4:]]
    shelf, _ = taken(again, ["A"], BarRange(SECOND, last=7))
    assert closes(shelf)["A"] == [(2, 12.0), (3, 99.0), *((t, 10.0 + t) for t in range(4, 9))]


def test_bars_of_other_lengths_are_told_and_not_taken() -> None:
    mixed = [[frame(("A", 1, 60, 1.0), ("A", 60, 60, 2.0))], [frame(("A", 10, 70, 3.0))]]
    shelf, _ = taken(mixed, ["A"], BarRange(60 * SECOND, last=5))
    assert (closes(shelf), shelf.other_windows_ns) == ({"A": [(60, 2.0)]}, {SECOND, 10 * SECOND})


def test_a_symbol_without_bars_is_absent_and_everything_was_looked_through() -> None:
    shelf, read = taken(LOG, ["A", "Z"], BarRange(SECOND, last=2))
    assert (closes(shelf), read) == ({"A": [(7, 17.0), (8, 18.0)]}, 8)


def test_what_is_kept_is_no_more_than_what_is_wanted() -> None:
    shelf, _ = taken(LOG, ["A", "Z"], BarRange(SECOND, last=2))
    assert len(shelf._rows) == 2


def test_a_frame_of_something_else_is_refused() -> None:
    with pytest.raises(FrameError, match="no frame of bars"):
        BarShelf(["A"], BarRange(SECOND, last=1)).take(blank_stream(FEATURE_SCHEMA, 1), 0)


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 30)), max_size=4), max_size=12),
    st.integers(1, 5),
    st.lists(st.integers(1, 3), min_size=1, max_size=12),
)
def test_however_the_log_is_cut_the_bars_are_those_that_a_whole_look_finds(
    closings: list[list[tuple[str, int]]], last: int, cuts: list[int]
) -> None:
    times = sorted(t for group in closings for _, t in group)
    names = [symbol for group in closings for symbol, _ in group]
    messages = [frame((name, 1, t, float(k))) for k, (name, t) in enumerate(zip(names, times, strict=True))]
    newest = {(name, t): float(k) for k, (name, t) in enumerate(zip(names, times, strict=True))}
    expected = {
        name: sorted((t, price) for (own, t), price in newest.items() if own == name)[-last:]
        for name in "AB"
        if name in names
    }
    blocks, at = [], 0
    for number in range(len(messages)):
        size = cuts[number % len(cuts)]
        blocks.append(messages[at : at + size])
        at += size
    shelf, _ = taken(blocks, ["A", "B"], BarRange(SECOND, last=last))
    assert closes(shelf) == expected
    whole, _ = taken([messages], ["A", "B"], BarRange(SECOND, last=last))
    assert closes(whole) == expected
    assert np.all([len(bars["ts_ns"]) <= last for bars in shelf.bars().values()])
