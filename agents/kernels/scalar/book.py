"""The level-1 book of a symbol: order-flow imbalance, time-weighted spread, returns of the mid."""

from __future__ import annotations

from .layout import (
    A_BP,
    A_MED,
    A_OFI,
    A_PAIRS,
    A_RETURNS,
    A_RV,
    A_TRIPLES,
    A_TWA,
    A_TWA_NS,
    ACC,
    ASK,
    ASK_SZ,
    BID,
    BID_SZ,
    BOOK_TS,
    NEVER,
    PREV_ASK,
    PREV_BID,
    PREV_TS,
    R1,
    R2,
    SPREAD_SINCE,
)
from .maths import log_ratio
from .target import jit


@jit
def apply_quote(sf, si, row, now, window_open, bid, ask, bid_sz, ask_sz):  # type: ignore[no-untyped-def]
    """Let a quote that is not crossed replace the standing one.

    OFI is that of Cont, Kukanov and Stoikov (2014):
    eₙ = 1{bₙ ≥ bₙ₋₁}Bₙ − 1{bₙ ≤ bₙ₋₁}Bₙ₋₁ − 1{aₙ ≤ aₙ₋₁}Aₙ + 1{aₙ ≥ aₙ₋₁}Aₙ₋₁.

    Parameters
    ----------
    sf, si : float64, int64 [symbols, RECORD]
        Records, one memory.
    now : int64
        The symbol's clock, ns; at or after the tick's own time.
    window_open : int64
        Open of the base window, ns.
    bid, ask : int64
        Prices, 1e-9; ``bid <= ask``.
    bid_sz, ask_sz : float64
        Sizes.
    """
    stood = si[row, BOOK_TS]
    if stood == NEVER:
        si[row, SPREAD_SINCE] = now
    else:
        bid0 = si[row, BID]
        ask0 = si[row, ASK]
        # Values are loaded first and chosen between after, so that no branch waits to be guessed.
        bid0_sz = sf[row, BID_SZ]
        ask0_sz = sf[row, ASK_SZ]
        bid_came = bid_sz if bid >= bid0 else 0.0
        bid_went = bid0_sz if bid <= bid0 else 0.0
        ask_came = ask_sz if ask <= ask0 else 0.0
        ask_went = ask0_sz if ask >= ask0 else 0.0
        sf[row, ACC + A_OFI] += bid_came - bid_went - ask_came + ask_went
        if now > stood:
            si[row, PREV_TS] = stood
            si[row, PREV_BID] = bid0
            si[row, PREV_ASK] = ask0
        if (bid != bid0) | (ask != ask0):
            if ask - bid != ask0 - bid0:
                weigh_spread(sf, si, row, now, window_open)
            if bid + ask != bid0 + ask0:
                _add_return(sf, si, row, log_ratio(float(bid + ask), float(bid0 + ask0)))
    si[row, BOOK_TS] = now
    si[row, BID] = bid
    si[row, ASK] = ask
    sf[row, BID_SZ] = bid_sz
    sf[row, ASK_SZ] = ask_sz


@jit
def weigh_spread(sf, si, row, now, window_open):  # type: ignore[no-untyped-def]
    """Add the standing spread times the nanoseconds it stood in the base window, up to ``now``."""
    since = max(si[row, SPREAD_SINCE], window_open)
    if now > since:
        sf[row, ACC + A_TWA] += float(si[row, ASK] - si[row, BID]) * float(now - since)
        si[row, ACC + A_TWA_NS] += now - since
    si[row, SPREAD_SINCE] = now


@jit
def _add_return(sf, si, row, log_return):  # type: ignore[no-untyped-def]
    """Realized, bipower and median variation; the terms belong to the window of the latest return."""
    r = abs(log_return)
    r1 = sf[row, R1]
    r2 = sf[row, R2]
    sf[row, ACC + A_RV] += r * r
    si[row, ACC + A_RETURNS] += 1
    if r1 == r1:
        sf[row, ACC + A_BP] += r * r1
        si[row, ACC + A_PAIRS] += 1
        if r2 == r2:
            median = max(min(r, r1), min(max(r, r1), r2))
            sf[row, ACC + A_MED] += median * median
            si[row, ACC + A_TRIPLES] += 1
    sf[row, R2] = r1
    sf[row, R1] = r
