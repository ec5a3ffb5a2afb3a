"""Order events with the book after each: executions are trades, a changed top of the book is a quote."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.ticks import QUOTE, TRADE, Array, Ticks, make_ticks
from streams.replay.formats.base import BadRows, valid_rows


@dataclass(frozen=True, slots=True)
class Events:
    """Rows of an event file, of one symbol: all arrays int64[n], prices in 1e-9, 0 for an empty level.

    ``trade`` says which rows are executions; ``good`` which rows can be read at all.
    """

    ts_ns: Array
    bid_px: Array
    ask_px: Array
    bid_sz: Array
    ask_sz: Array
    trade: Array
    trade_px: Array
    trade_sz: Array
    aggressor: Array
    sequence: Array
    good: Array
    lines: Array


class TopOfBook:
    """Keeps the last top between blocks."""

    def __init__(self, symbol: str, bad: BadRows) -> None:
        self._symbol = symbol
        self._bad = bad
        self._last = np.full((1, 4), -1)

    def ticks(self, events: Events) -> Ticks:
        """Trades and quotes in the order of the events, a trade before the quote that it left."""
        top = np.stack([events.bid_px, events.ask_px, events.bid_sz, events.ask_sz], axis=1)[events.good]
        changed = np.ones(len(top), bool)
        if len(top):
            changed = (top != np.concatenate([self._last, top[:-1]])).any(axis=1)
            self._last = top[-1:]
        rows = np.flatnonzero(events.good)
        quotes = rows[changed]
        trades = np.flatnonzero(events.good & events.trade)
        self._bad.skip("top of the book unchanged", len(rows) - len(quotes))
        at = np.concatenate([trades, quotes])
        kind = np.concatenate([np.full(len(trades), TRADE), np.full(len(quotes), QUOTE)])
        order = np.lexsort((kind == QUOTE, at))
        at, kind = at[order], kind[order]
        trade = kind == TRADE
        ticks = make_ticks(
            (self._symbol,),
            ts_event_ns=events.ts_ns[at],
            symbol=np.zeros(len(at)),
            kind=kind,
            bid_px=np.where(trade, 0, events.bid_px[at]),
            ask_px=np.where(trade, 0, events.ask_px[at]),
            bid_sz=np.where(trade, 0, events.bid_sz[at]),
            ask_sz=np.where(trade, 0, events.ask_sz[at]),
            trade_px=np.where(trade, events.trade_px[at], 0),
            trade_sz=np.where(trade, events.trade_sz[at], 0),
            aggressor=np.where(trade, events.aggressor[at], 0),
            sequence=events.sequence[at],
        )
        return valid_rows(ticks, events.lines[at], self._bad)
