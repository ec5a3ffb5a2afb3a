"""The close of a symbol's window: settle, merge into the longer windows, start afresh."""

from __future__ import annotations

from .book import weigh_spread
from .impact import resolve
from .intensity import count_window
from .layout import (
    A_BP,
    A_BUY,
    A_CLOSE,
    A_EFFECTIVE,
    A_EFFECTIVE_N,
    A_HIGH,
    A_IMPACT,
    A_LOW,
    A_MED,
    A_NOTIONAL,
    A_OFI,
    A_OPEN,
    A_PAIRS,
    A_QUOTES,
    A_REALIZED,
    A_RESOLVED,
    A_RETURNS,
    A_ROLL_N,
    A_ROLL_X,
    A_ROLL_XY,
    A_ROLL_Y,
    A_RV,
    A_SELL,
    A_TRADES,
    A_TRIPLES,
    A_TWA,
    A_TWA_NS,
    A_VOLUME,
    ACC,
    ACC_SIZE,
    BOOK_TS,
    C_BASE,
    LAST_PX,
    NEVER,
    NEXT_DUE,
)
from .target import jit


@jit
def settle(sf, si, wf, wi, c, k, row, close):  # type: ignore[no-untyped-def]
    """Bring the base window's accumulators up to its close (ns), before its row is written."""
    if si[row, NEXT_DUE] <= close:
        resolve(sf, si, wf, wi, row, close)
    if si[row, BOOK_TS] != NEVER:
        weigh_spread(sf, si, row, close, close - c[C_BASE])
    si[row, ACC + A_CLOSE] = si[row, LAST_PX]
    count_window(sf, si, k, row, close // c[C_BASE] - 1, si[row, ACC + A_TRADES])


@jit
def merge(sf, si, lf, li, row, block):  # type: ignore[no-untyped-def]
    """Add the base window's accumulators to a longer window's, which start at word ``block``.

    Parameters
    ----------
    sf, si : float64, int64 [symbols, RECORD]
        Records, one memory.
    lf, li : float64, int64 [symbols, (windows - 1) * ACC_SIZE]
        Accumulators of the longer windows, one memory.
    """
    trades = si[row, ACC + A_TRADES]
    if trades > 0:
        if li[row, block + A_TRADES] == 0:
            li[row, block + A_OPEN] = si[row, ACC + A_OPEN]
            li[row, block + A_HIGH] = si[row, ACC + A_HIGH]
            li[row, block + A_LOW] = si[row, ACC + A_LOW]
        else:
            li[row, block + A_HIGH] = max(li[row, block + A_HIGH], si[row, ACC + A_HIGH])
            li[row, block + A_LOW] = min(li[row, block + A_LOW], si[row, ACC + A_LOW])
        li[row, block + A_CLOSE] = si[row, ACC + A_CLOSE]
    li[row, block + A_QUOTES] += si[row, ACC + A_QUOTES]
    lf[row, block + A_OFI] += sf[row, ACC + A_OFI]
    lf[row, block + A_TWA] += sf[row, ACC + A_TWA]
    li[row, block + A_TWA_NS] += si[row, ACC + A_TWA_NS]
    lf[row, block + A_RV] += sf[row, ACC + A_RV]
    lf[row, block + A_BP] += sf[row, ACC + A_BP]
    lf[row, block + A_MED] += sf[row, ACC + A_MED]
    li[row, block + A_RETURNS] += si[row, ACC + A_RETURNS]
    li[row, block + A_PAIRS] += si[row, ACC + A_PAIRS]
    li[row, block + A_TRIPLES] += si[row, ACC + A_TRIPLES]
    li[row, block + A_TRADES] += trades
    lf[row, block + A_VOLUME] += sf[row, ACC + A_VOLUME]
    lf[row, block + A_BUY] += sf[row, ACC + A_BUY]
    lf[row, block + A_SELL] += sf[row, ACC + A_SELL]
    lf[row, block + A_NOTIONAL] += sf[row, ACC + A_NOTIONAL]
    lf[row, block + A_EFFECTIVE] += sf[row, ACC + A_EFFECTIVE]
    li[row, block + A_EFFECTIVE_N] += si[row, ACC + A_EFFECTIVE_N]
    lf[row, block + A_ROLL_X] += sf[row, ACC + A_ROLL_X]
    lf[row, block + A_ROLL_Y] += sf[row, ACC + A_ROLL_Y]
    lf[row, block + A_ROLL_XY] += sf[row, ACC + A_ROLL_XY]
    li[row, block + A_ROLL_N] += si[row, ACC + A_ROLL_N]
    lf[row, block + A_REALIZED] += sf[row, ACC + A_REALIZED]
    lf[row, block + A_IMPACT] += sf[row, ACC + A_IMPACT]
    li[row, block + A_RESOLVED] += si[row, ACC + A_RESOLVED]


@jit
def clear(ai, row, acc):  # type: ignore[no-untyped-def]
    """Zero the accumulators that start at word ``acc``."""
    for j in range(ACC_SIZE):
        ai[row, acc + j] = 0
