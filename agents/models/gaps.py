"""Jumps overnight that no return should be taken over: splits, other shares of that name, wrong prices.

Prices that nobody adjusted jump at a split. Whether a jump is one or a crash cannot be told from the bars
alone, so nothing is adjusted: the history is cut there, and no window and no outcome reaches across. Pure.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from agents.models.bars import COLUMNS, Bars
from agents.models.samples import Rows


def find_gaps(bars: Bars, largest: float) -> Rows:
    """Bars whose open is further than ``largest`` (as log) from the close before: int64 row numbers."""
    return np.flatnonzero(np.abs(np.log(bars.open[1:] / bars.close[:-1])) > largest) + 1


def cut(bars: Bars, rows: Rows) -> list[Bars]:
    """The stretches between: each begins at one of ``rows``."""
    bounds = [0, *rows.tolist(), len(bars)]
    return [
        Bars(bars.symbol, bars.ts_ns[a:b], *(getattr(bars, name)[a:b] for name in COLUMNS))
        for a, b in pairwise(bounds)
    ]
