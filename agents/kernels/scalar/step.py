"""One tick of one symbol."""

from __future__ import annotations

from .book import apply_quote
from .impact import resolve
from .layout import (
    A_QUOTES,
    ACC,
    CLOCK,
    DUPLICATE,
    FLAG_CROSSED,
    NEXT_DUE,
    QUOTE_SEQ,
    TRADE_SEQ,
)
from .sequence import admit
from .target import jit
from .trade import apply_trade


@jit
def step_quote(  # type: ignore[no-untyped-def]
    sf, si, wf, wi, c, row, window_open, ts, bid, ask, bid_sz, ask_sz, sequence, dense, ea, eb, tick
):
    """Apply a quote that lies in the open base window.

    Parameters
    ----------
    sf, si : float64, int64 [symbols, RECORD]
        Records, one memory; only ``row`` is touched.
    wf, wi : float64, int64 [symbols, SLOTS * SLOT]
        Trades waiting for their mid, one memory.
    c : int64[C_WINDOWS + windows]
        Constants.
    window_open, ts : int64
        Open of the base window and the tick's event time, ns.
    bid, ask : int64
        Prices, 1e-9.
    bid_sz, ask_sz : float64
        Sizes.
    sequence : int64
        The tick's number as a bit pattern, 0 = unknown.
    dense : bool
        Whether numbers rise by one.
    ea, eb : int64[ticks]
        Coordinates of the event of tick ``tick``.

    Returns
    -------
    int
        Class in the two lowest bits (``PROCESSED`` or ``DUPLICATE``), ``FLAG_*`` above.
    """
    outcome = 0
    if sequence != 0:
        outcome = admit(si, row, QUOTE_SEQ, sequence, ts, dense, ea, eb, tick)
        if outcome == DUPLICATE:
            return outcome
    now = max(si[row, CLOCK], ts)
    si[row, CLOCK] = now
    if si[row, NEXT_DUE] <= now:
        resolve(sf, si, wf, wi, row, now)
    si[row, ACC + A_QUOTES] += 1
    if bid > ask:
        return outcome | FLAG_CROSSED
    apply_quote(sf, si, row, now, window_open, bid, ask, bid_sz, ask_sz)
    return outcome


@jit
def step_trade(  # type: ignore[no-untyped-def]
    sf, si, wf, wi, vf, c, k, row, ts, px, size, aggressor, sequence, dense, ea, eb, tick
):
    """Apply a trade that lies in the open base window; parameters and result as :func:`step_quote`."""
    outcome = 0
    if sequence != 0:
        outcome = admit(si, row, TRADE_SEQ, sequence, ts, dense, ea, eb, tick)
        if outcome == DUPLICATE:
            return outcome
    now = max(si[row, CLOCK], ts)
    si[row, CLOCK] = now
    if si[row, NEXT_DUE] <= now:
        resolve(sf, si, wf, wi, row, now)
    apply_trade(sf, si, wf, wi, vf, c, k, row, now, ts, px, size, aggressor)
    return outcome
