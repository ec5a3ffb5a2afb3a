"""A trade: its sign, the window's sums, spreads paid, and what it feeds (Roll, VPIN, Hawkes)."""

from __future__ import annotations

from .impact import wait
from .intensity import excite
from .layout import (
    A_BUY,
    A_EFFECTIVE,
    A_EFFECTIVE_N,
    A_HIGH,
    A_LOW,
    A_NOTIONAL,
    A_OPEN,
    A_ROLL_N,
    A_ROLL_X,
    A_ROLL_XY,
    A_ROLL_Y,
    A_SELL,
    A_TRADES,
    A_VOLUME,
    ACC,
    ASK,
    BID,
    BOOK_TS,
    C_RULE,
    DPX,
    LAST_PX,
    N_DPX,
    PREV_ASK,
    PREV_BID,
    PREV_TS,
    TICK_DIR,
)
from .sign import sign_by_rule
from .target import jit
from .vpin import add_volume


@jit
def apply_trade(sf, si, wf, wi, vf, c, k, row, now, ts, px, size, aggressor):  # type: ignore[no-untyped-def]
    """Count a trade. The quote it is held against is the last one strictly before it in event time.

    Effective spread 2q(p − m) sums in fixed-point half units over trades with a sign and a quote.

    Parameters
    ----------
    sf, si : float64, int64 [symbols, RECORD]
        Records, one memory.
    wf, wi : float64, int64 [symbols, SLOTS * SLOT]
        Trades waiting for their mid, one memory.
    vf : float64[symbols, 2 * buckets]
        VPIN rings.
    c, k : int64, float64
        Constants.
    now, ts : int64
        The symbol's clock and the trade's own event time, ns.
    px : int64
        Price, 1e-9.
    size : float64
        Volume.
    aggressor : int64
        +1 buyer, −1 seller, 0 unknown.
    """
    has_quote = True
    if si[row, BOOK_TS] < ts:
        bid = si[row, BID]
        ask = si[row, ASK]
    else:
        bid = si[row, PREV_BID]
        ask = si[row, PREV_ASK]
        has_quote = si[row, PREV_TS] < ts
    _track_price(sf, si, row, px)
    sign = aggressor
    if sign == 0:
        sign = sign_by_rule(c[C_RULE], px, has_quote, bid, ask, si[row, TICK_DIR])

    si[row, ACC + A_TRADES] += 1
    sf[row, ACC + A_VOLUME] += size
    sf[row, ACC + A_NOTIONAL] += float(px) * size
    sf[row, ACC + A_BUY] += size if sign > 0 else 0.0
    sf[row, ACC + A_SELL] += size if sign < 0 else 0.0
    if has_quote and sign != 0:
        sf[row, ACC + A_EFFECTIVE] += float(sign * (2 * px - (bid + ask)))
        si[row, ACC + A_EFFECTIVE_N] += 1
        wait(sf, si, wf, wi, c, row, now, px, bid + ask, sign)
    add_volume(sf, si, vf, c, row, px, size, sign)
    excite(sf, si, k, row, now)


@jit
def _track_price(sf, si, row, px):  # type: ignore[no-untyped-def]
    """The bar, the tick rule, and Roll's pairs of successive price changes (in 1e-9)."""
    if si[row, ACC + A_TRADES] == 0:
        si[row, ACC + A_OPEN] = px
        si[row, ACC + A_HIGH] = px
        si[row, ACC + A_LOW] = px
    else:
        si[row, ACC + A_HIGH] = max(si[row, ACC + A_HIGH], px)
        si[row, ACC + A_LOW] = min(si[row, ACC + A_LOW], px)
    last = si[row, LAST_PX]
    if last != 0:
        change = px - last
        if si[row, N_DPX] != 0:
            x = float(si[row, DPX])
            y = float(change)
            sf[row, ACC + A_ROLL_X] += x
            sf[row, ACC + A_ROLL_Y] += y
            sf[row, ACC + A_ROLL_XY] += x * y
            si[row, ACC + A_ROLL_N] += 1
        si[row, DPX] = change
        si[row, N_DPX] = 1
        kept = si[row, TICK_DIR]
        si[row, TICK_DIR] = 1 if change > 0 else (-1 if change < 0 else kept)
    si[row, LAST_PX] = px
