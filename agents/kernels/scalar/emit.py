"""A closed window's row: features from its accumulators, the book at the close and the windows before."""

from __future__ import annotations

import math

from .intensity import intensity
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
    ASK,
    ASK_SZ,
    BID,
    BID_SZ,
    BOOK_TS,
    C_ROLLING,
    C_WINDOWS,
    H_COUNT,
    H_HEAD,
    H_INDEX,
    H_MID,
    H_OFI,
    MICRO_TABLE,
    MICRO_TICK,
    NEVER,
    RING_FLOW,
    RING_ILLIQUIDITY,
    RING_LAGGED_OFI,
    RING_MOVE,
    RINGS,
)
from .maths import log_ratio
from .rolling import fit_history
from .target import jit, jit_call
from .vpin import vpin

_UNIT = 1e-9
_HALF_UNIT = 0.5e-9
_MEDRV = math.pi / (6.0 - 4.0 * math.sqrt(3.0) + math.pi)


@jit_call
def emit_row(  # type: ignore[no-untyped-def]
    sf, si, vf, hf, hi, micro, c, k, row, window, af, ai, acc, close, fi, ff, at
):
    """Write the feature row of (symbol ``row``, ``window``), whose accumulators start at ``acc``.

    Parameters
    ----------
    sf, si : float64, int64 [symbols, RECORD]
        Records, one memory.
    vf : float64[symbols, 2 * buckets]
        VPIN rings.
    hf, hi : float64, int64 [symbols, windows * (H_HEAD + RINGS * rolling)]
        Histories, one memory; the window now closing is entered.
    micro : float64[words]
        Micro-price tables, see ``PartitionState.set_micro_price``.
    c, k : int64, float64
        Constants.
    af, ai : float64, int64 [symbols, words]
        Where the accumulators are: the records for the base window, the blocks of the longer ones.
    close : int64
        Close of the window, ns.
    fi, ff : int64[len(INT_NAMES), rows], float64[len(FEATURE_NAMES), rows]
        The result, column by column; column order as in ``agents.kernels.names``.
    at : int
        The row to write.
    """
    length = c[C_WINDOWS + window]
    fi[0, at] = row
    fi[1, at] = window
    fi[2, at] = close - length
    fi[3, at] = close
    fi[4, at] = ai[row, acc + A_QUOTES]
    fi[5, at] = ai[row, acc + A_TRADES]
    _emit_flow(af, row, acc, ff, at)
    doubled_mid = _emit_book(sf, si, micro, row, ff, at)
    _emit_costs(af, ai, row, acc, ff, at)
    ff[18, at] = vpin(sf, si, vf, c, row)
    _emit_variation(af, ai, row, acc, doubled_mid, ff, at)
    ff[22, at], ff[23, at] = intensity(sf, si, c, k, row, close)
    _emit_rolling(af, hf, hi, c, row, window, acc, close // length - 1, doubled_mid, ff, at)


@jit
def _emit_flow(af, row, acc, ff, at):  # type: ignore[no-untyped-def]
    volume = af[row, acc + A_VOLUME]
    buy = af[row, acc + A_BUY]
    sell = af[row, acc + A_SELL]
    ff[0, at] = volume
    ff[1, at] = buy
    ff[2, at] = sell
    ff[4, at] = af[row, acc + A_OFI]
    if volume > 0.0:
        ff[3, at] = af[row, acc + A_NOTIONAL] / volume * _UNIT
        ff[5, at] = (buy - sell) / volume
    else:
        ff[3, at] = math.nan
        ff[5, at] = math.nan


@jit
def _emit_book(sf, si, micro, row, ff, at):  # type: ignore[no-untyped-def]
    """The book as it stands at the close; returns the doubled mid, 0 when there is no book."""
    if si[row, BOOK_TS] == NEVER:
        ff[6, at] = math.nan
        ff[7, at] = math.nan
        ff[8, at] = math.nan
        ff[10, at] = math.nan
        ff[11, at] = math.nan
        return 0
    bid = si[row, BID]
    ask = si[row, ASK]
    doubled_mid = bid + ask
    mid = float(doubled_mid) * _HALF_UNIT
    bid_sz = sf[row, BID_SZ]
    depth = bid_sz + sf[row, ASK_SZ]
    ff[7, at] = mid
    ff[8, at] = float(ask - bid) * _UNIT
    if depth > 0.0:
        share = bid_sz / depth
        ff[6, at] = (bid_sz - sf[row, ASK_SZ]) / depth
        ff[10, at] = (share * float(ask) + (1.0 - share) * float(bid)) * _UNIT
        ff[11, at] = _micro_price(si, micro, row, mid, ask - bid, share)
    else:
        ff[6, at] = math.nan
        ff[10, at] = math.nan
        ff[11, at] = math.nan
    return doubled_mid


@jit
def _micro_price(si, micro, row, mid, spread, share):  # type: ignore[no-untyped-def]
    """Mid plus g(imbalance, spread) of the symbol's table; NaN without one or when locked."""
    table = si[row, MICRO_TABLE] - 1
    if table < 0 or spread <= 0:
        return math.nan
    spreads = int(micro[table])
    imbalances = int(micro[table + 1])
    tick = si[row, MICRO_TICK]
    s = min(max((spread + tick // 2) // tick, 1), spreads) - 1
    i = min(int(share * imbalances), imbalances - 1)
    return mid + micro[table + 2 + s * imbalances + i]


@jit
def _emit_costs(af, ai, row, acc, ff, at):  # type: ignore[no-untyped-def]
    """Spreads paid, impact, and Roll (1984): 2·√(−cov) of successive trade price changes."""
    ff[9, at] = math.nan
    ff[12, at] = math.nan
    ff[13, at] = math.nan
    ff[14, at] = math.nan
    ff[17, at] = math.nan
    stood = ai[row, acc + A_TWA_NS]
    if stood > 0:
        ff[9, at] = af[row, acc + A_TWA] / float(stood) * _UNIT
    n = ai[row, acc + A_EFFECTIVE_N]
    if n > 0:
        ff[12, at] = af[row, acc + A_EFFECTIVE] / float(n) * _UNIT
    n = ai[row, acc + A_RESOLVED]
    if n > 0:
        ff[13, at] = af[row, acc + A_REALIZED] / float(n) * _UNIT
        ff[14, at] = af[row, acc + A_IMPACT] / float(n) * _UNIT
    n = ai[row, acc + A_ROLL_N]
    if n >= 3:
        x = af[row, acc + A_ROLL_X]
        covariance = (af[row, acc + A_ROLL_XY] - x * af[row, acc + A_ROLL_Y] / float(n)) / float(n - 1)
        if covariance < 0.0:
            ff[17, at] = 2.0 * math.sqrt(-covariance) * _UNIT


@jit
def _emit_variation(af, ai, row, acc, doubled_mid, ff, at):  # type: ignore[no-untyped-def]
    """RV, bipower (Barndorff-Nielsen and Shephard 2004), medRV (Andersen, Dobrev, Schaumburg 2012).

    Over returns of the log mid at each change of the mid (tick-time sampling). With n returns, n₂
    products and n₃ medians in the window: bipower (π/2)·(n/n₂)·Σ|rᵢ||rᵢ₋₁| and medRV
    π/(6 − 4√3 + π)·(n/n₃)·Σ med²; the usual n/(n−1) and n/(n−2) when a chain starts in the window.
    """
    n = ai[row, acc + A_RETURNS]
    if n == 0:
        nothing = 0.0 if doubled_mid != 0 else math.nan
        ff[19, at] = nothing
        ff[20, at] = nothing
        ff[21, at] = nothing
        return
    pairs = ai[row, acc + A_PAIRS]
    triples = ai[row, acc + A_TRIPLES]
    ff[19, at] = af[row, acc + A_RV]
    ff[20, at] = math.nan
    ff[21, at] = math.nan
    if pairs > 0:
        ff[20, at] = (math.pi / 2.0) * af[row, acc + A_BP] * (float(n) / float(pairs))
    if triples > 0:
        ff[21, at] = _MEDRV * af[row, acc + A_MED] * (float(n) / float(triples))


@jit
def _emit_rolling(af, hf, hi, c, row, window, acc, number, doubled_mid, ff, at):  # type: ignore[no-untyped-def]
    """Enter window ``number`` into its history and fit what is fitted on the history.

    The OFI regression is predictive: the move of a window on the imbalance of the window just before
    it (Cont, Kukanov and Stoikov 2014 fit the same window's), so ``expected_move_bps`` is what it
    expects of the *next* window.
    """
    rolling = c[C_ROLLING]
    h = window * (H_HEAD + RINGS * rolling)
    emitted = hi[row, h + H_COUNT]
    previous = hi[row, h + H_MID]
    ofi = af[row, acc + A_OFI]
    move = math.nan
    lagged = math.nan
    illiquidity = math.nan
    if previous != 0:
        move = float(doubled_mid - previous) * _HALF_UNIT
        if hi[row, h + H_INDEX] == number - 1:
            lagged = hf[row, h + H_OFI]
        notional = af[row, acc + A_NOTIONAL] * _UNIT
        if notional > 0.0:
            illiquidity = abs(log_ratio(float(doubled_mid), float(previous))) / notional
    ring = h + H_HEAD + emitted % rolling
    hf[row, ring + RING_MOVE * rolling] = move
    hf[row, ring + RING_FLOW * rolling] = af[row, acc + A_BUY] - af[row, acc + A_SELL]
    hf[row, ring + RING_ILLIQUIDITY * rolling] = illiquidity
    hf[row, ring + RING_LAGGED_OFI * rolling] = lagged
    hi[row, h + H_COUNT] = emitted + 1
    hi[row, h + H_MID] = doubled_mid
    hi[row, h + H_INDEX] = number
    hf[row, h + H_OFI] = ofi

    count = min(emitted + 1, rolling)
    kyle, illiquid, slope, intercept, t, r2 = fit_history(hf, row, h, rolling, count)
    ff[15, at] = kyle
    ff[16, at] = illiquid
    ff[24, at] = move
    ff[25, at] = slope
    ff[26, at] = intercept
    ff[27, at] = t
    ff[28, at] = r2
    ff[29, at] = math.nan
    if doubled_mid != 0:
        ff[29, at] = (intercept + slope * ofi) / (float(doubled_mid) * _HALF_UNIT) * 1e4


@jit_call
def emit_bar(c, row, window, af, ai, acc, close, bi, bf, at):  # type: ignore[no-untyped-def]
    """Write the bar of a window with trades; columns as ``BAR_INT_NAMES`` and ``BAR_FLOAT_NAMES``."""
    bi[0, at] = row
    bi[1, at] = window
    bi[2, at] = close - c[C_WINDOWS + window]
    bi[3, at] = close
    bi[4, at] = ai[row, acc + A_OPEN]
    bi[5, at] = ai[row, acc + A_HIGH]
    bi[6, at] = ai[row, acc + A_LOW]
    bi[7, at] = ai[row, acc + A_CLOSE]
    bi[8, at] = ai[row, acc + A_TRADES]
    volume = af[row, acc + A_VOLUME]
    bf[0, at] = volume
    bf[1, at] = af[row, acc + A_NOTIONAL] * _UNIT
    bf[2, at] = af[row, acc + A_NOTIONAL] / volume * _UNIT if volume > 0.0 else math.nan
    bf[3, at] = af[row, acc + A_BUY]
