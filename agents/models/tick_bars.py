"""Bars from ticks in memory, for training without a log.

They are those that the tick worker would write, the volume to the rounding of its sum.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agents.models.bars import Bars
from schemas.ticks import PRICE_SCALE, TRADE, Array, Ticks

_NEEDED = ("symbol", "ts_event_ns", "trade_px", "trade_sz")


def bars_of_ticks(blocks: Iterable[Ticks], window_ns: int, until_ns: int) -> list[Bars]:
    """One-symbol histories of the trades in windows that close by ``until_ns``; quiet windows have no bar.

    Parameters
    ----------
    blocks
        In order of event time, all with the same symbols.
    window_ns
        Length of a bar, aligned to 1970-01-01 UTC.
    """
    parts: list[list[Array]] = []
    symbols: tuple[str, ...] = ()
    for block in blocks:
        rows = block.columns["kind"] == TRADE
        parts.append(
            [block.columns[name][rows] for name in ("symbol", "ts_event_ns", "trade_px", "trade_sz")]
        )
        symbols = block.symbols
    if not parts:
        return []
    symbol, ts, price, size = (np.concatenate(column) for column in zip(*parts, strict=True))
    window = ts // window_ns
    order = np.lexsort((window, symbol))  # stable: trades of a window stay in their order
    order = order[(window[order] + 1) * window_ns <= until_ns]
    symbol, window, price, size = symbol[order], window[order], price[order], size[order]
    starts = np.flatnonzero(np.r_[True, (symbol[1:] != symbol[:-1]) | (window[1:] != window[:-1])])
    if not len(order):
        return []
    ends = np.r_[starts[1:], len(order)] - 1
    high, low = np.maximum.reduceat(price, starts), np.minimum.reduceat(price, starts)
    columns = [column / PRICE_SCALE for column in (price[starts], high, low, price[ends])]
    columns.append(np.add.reduceat(size, starts))
    close_ns, of = (window[starts] + 1) * window_ns, symbol[starts]
    chosen = [(symbols[code], of == code) for code in np.unique(of).tolist()]
    return [Bars(name, close_ns[rows], *(column[rows] for column in columns)) for name, rows in chosen]
