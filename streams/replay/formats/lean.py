"""Tick zips of QuantConnect's Lean: ms since midnight in New York, equity prices times 10000.

An equity quote is two rows, bid then ask, each with its exchange. There are two kinds of file, told apart by
their first block. Where pairs mix exchanges, a pair is the national best quote; so are Lean's own samples, on
which one book per exchange would be crossed in nearly every row. Where they never do, a pair is the quote of
one exchange, and the best of all is built from them. Forex quotes have two sides, plain prices and no sizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.errors import SourceError
from schemas.ticks import PRICE_SCALE, QUOTE, TRADE, Array, Ticks, make_ticks
from streams.replay.formats import columns as convert
from streams.replay.formats import nbbo
from streams.replay.formats.base import BadRows, ReadOptions, valid_rows
from streams.replay.formats.midnight import midnight_ns
from streams.replay.formats.opening import inner_name, read_head
from streams.replay.formats.text import TextBlock, data_lines, read_text

_NAME = re.compile(r"^\d{8}_(?P<symbol>[^_]+)_(?:tick_)?(?P<kind>quote|trade)", re.IGNORECASE)
_UNIT = PRICE_SCALE // 10_000
_MS = 1_000_000

EQUITY_QUOTE = ("time", "bid", "bid_size", "ask", "ask_size", "exchange", "condition", "suspicious")
EQUITY_TRADE = ("time", "price", "size", "exchange", "condition", "suspicious")
FOREX_QUOTE = ("time", "bid", "ask")
_LAYOUTS = {("quote", 8): EQUITY_QUOTE, ("trade", 6): EQUITY_TRADE, ("quote", 3): FOREX_QUOTE}


class Lean:
    """A day of one symbol's quotes or trades."""

    name = "lean"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Rows of a known width that begin with a time of day in ms, in a file named by date and symbol."""
        rows = data_lines(head)
        if not rows or not rows[0][0].isdigit() or int(rows[0][0]) > 90_000_000:
            return False
        named = _NAME.match(inner_name(path))
        return named is not None and (named["kind"].lower(), len(rows[0])) in _LAYOUTS

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """The file's trades, or the best quotes that its rows add up to."""
        layout, day = _layout(path), _Day.of(path, options)
        blocks = read_text(path, bad, options.block_rows, layout)
        if layout is EQUITY_TRADE:
            for block in blocks:
                yield _trades(block, day, bad)
        elif layout is FOREX_QUOTE:
            for block in blocks:
                yield _forex(block, day, bad)
        else:
            yield from _Nbbo(day, bad).ticks(blocks)


@dataclass(frozen=True, slots=True)
class _Day:
    symbol: str
    midnight_ns: int

    @classmethod
    def of(cls, path: Path, options: ReadOptions) -> _Day:
        name = inner_name(path)
        named = _NAME.match(name)
        symbol = options.symbol or (named["symbol"].upper() if named else "")
        return cls(symbol, midnight_ns(path, name, options))

    def ticks(self, ms: Array, kind: int, **columns: Array) -> Ticks:
        n = len(ms)
        ts = self.midnight_ns + ms * _MS
        return make_ticks(
            (self.symbol,), None, ts_event_ns=ts, symbol=np.zeros(n), kind=np.full(n, kind), **columns
        )


def _layout(path: Path) -> tuple[str, ...]:
    named = _NAME.match(inner_name(path))
    rows = data_lines(read_head(path))
    found = _LAYOUTS.get((named["kind"].lower(), len(rows[0]))) if named and rows else None
    if found is None:
        raise SourceError(
            f"{path}: not a Lean tick file: {len(rows[0]) if rows else 0} columns in {inner_name(path)}",
            "such as 20131007_ibm_quote_tick.csv, with 8 columns (quotes), 6 (trades) or 3 (forex)",
        )
    return found


def _numbers(block: TextBlock, bad: BadRows, *names: str) -> tuple[list[Array], Array]:
    """Columns as int64, zero where bad; and the rows without a bad one."""
    good = np.ones(len(block), bool)
    found: list[Array] = []
    for name in names:
        column = convert.integers(block.columns[name])
        wrong = column.bad | column.absent
        bad.add_where(wrong & good, block.lines, f"{name} is no whole number")
        good &= ~wrong
        found.append(column.values)
    return found, good


def _unsuspicious(block: TextBlock, good: Array, bad: BadRows) -> Array:
    suspicious = np.asarray(pa.compute.equal(block.columns["suspicious"], "1")) & good
    bad.skip("marked suspicious", int(suspicious.sum()))
    return good & ~suspicious


def _trades(block: TextBlock, day: _Day, bad: BadRows) -> Ticks:
    (ms, price, size), good = _numbers(block, bad, "time", "price", "size")
    good = _unsuspicious(block, good, bad)
    ticks = day.ticks(ms[good], TRADE, trade_px=price[good] * _UNIT, trade_sz=size[good])
    return valid_rows(ticks, block.lines[good], bad)


def _forex(block: TextBlock, day: _Day, bad: BadRows) -> Ticks:
    (ms,), good = _numbers(block, bad, "time")
    prices = [convert.prices(block.columns[name]) for name in ("bid", "ask")]
    for name, found in zip(("bid", "ask"), prices, strict=True):
        bad.add_where(found.bad & good, block.lines, f"{name} is no price")
        good &= ~found.bad
    ticks = day.ticks(ms[good], QUOTE, bid_px=prices[0].values[good], ask_px=prices[1].values[good])
    return valid_rows(ticks, block.lines[good], bad)


class _Nbbo:
    """Rows of single exchanges into the quotes of all."""

    def __init__(self, day: _Day, bad: BadRows) -> None:
        self._day = day
        self._bad = bad
        self._prices, self._sizes = nbbo.new_books()
        self._last = np.zeros(4)
        self._exchanges: dict[str, int] = {}
        self._held: list[Array] | None = None
        self._national: bool | None = None

    def ticks(self, blocks: Iterator[TextBlock]) -> Iterator[Ticks]:
        for block in blocks:
            yield self._fold(self._rows(block), final=False)
        yield self._fold(None, final=True)

    def _rows(self, block: TextBlock) -> list[Array]:
        numbers, good = _numbers(block, self._bad, "time", "bid", "bid_size", "ask", "ask_size")
        good = _unsuspicious(block, good, self._bad)
        neither = good & (numbers[1] <= 0) & (numbers[3] <= 0)
        self._bad.add_where(neither, block.lines, "neither a bid nor an ask")
        good &= ~neither
        exchange = self._codes(block)
        self._bad.add_where(good & (exchange < 0), block.lines, "an exchange that is no text")
        good &= exchange >= 0
        rows = [column[good] for column in (*numbers, exchange, block.lines)]
        if self._national is None:
            self._national = _pairs_mix_exchanges(*rows[:-1])
        if self._national:
            rows[5] = np.zeros_like(rows[5])
        return rows

    def _codes(self, block: TextBlock) -> Array:
        codes, names = convert.texts(block.columns["exchange"])
        known = [self._code(name) for name in names]
        return np.array([*known, -1], np.int64)[codes]

    def _code(self, name: str | None) -> int:
        if name is None:
            return -1
        code = self._exchanges.setdefault(name, len(self._exchanges))
        return code if code < nbbo.MAX_EXCHANGES else -1

    def _fold(self, rows: list[Array] | None, *, final: bool) -> Ticks:
        """Rows into quotes; a bid at the end waits for its ask, which may begin the next block."""
        if self._held is not None:
            rows = (
                self._held
                if rows is None
                else [np.concatenate(pair) for pair in zip(self._held, rows, strict=True)]
            )
        if rows is None or not len(rows[0]):
            return self._day.ticks(np.zeros(0, np.int64), QUOTE)
        self._held = None
        if not final and rows[3][-1] == 0:
            self._held = [column[-1:] for column in rows]
            rows = [column[:-1] for column in rows]
        ms, bid, bid_size, ask, ask_size, exchange, lines = rows
        state, px, size = nbbo.national_best(
            ms, exchange, bid, bid_size.astype(np.float64), ask, ask_size.astype(np.float64),
            self._prices, self._sizes, self._last,
        )  # fmt: skip
        self._bad.skip("first half of a quote", int((state == nbbo.PENDING).sum()))
        self._bad.skip("best quote unchanged", int((state == nbbo.UNCHANGED).sum()))
        self._bad.add_where(state == nbbo.ONE_SIDED, lines, "no best quote yet: one side only")
        self._bad.add_where(state == nbbo.CROSSED, lines, "the best bid is above the best ask")
        at = state == nbbo.QUOTED
        return self._day.ticks(
            ms[at],
            QUOTE,
            bid_px=px[at, 0] * _UNIT,
            ask_px=px[at, 1] * _UNIT,
            bid_sz=size[at, 0],
            ask_sz=size[at, 1],
        )


def _pairs_mix_exchanges(
    ms: Array, bid: Array, bid_size: Array, ask: Array, ask_size: Array, exchange: Array
) -> bool:
    """Whether a bid and the ask of the same moment that follows it come from different exchanges."""
    pair = (bid[:-1] > 0) & (ask[:-1] == 0) & (ask[1:] > 0) & (bid[1:] == 0) & (ms[:-1] == ms[1:])
    alternates = bool(pair[::2].all()) if bid.size and bid[0] else bool(pair[1::2].all())
    return alternates and bool((pair & (exchange[:-1] != exchange[1:])).any())
