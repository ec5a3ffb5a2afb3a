"""Fits over the closed windows of a (symbol, window): Kyle's λ, Amihud, predictive OFI.

Recomputed from the ring at each close, so that no running sum drifts and the result depends on the
ring alone. Sums are taken about one of the points instead of about the mean: a point lies within √n
standard deviations of it, so that the one pass loses log₂ n bits at most.
"""

from __future__ import annotations

import math

from .layout import H_HEAD, RING_FLOW, RING_ILLIQUIDITY, RING_LAGGED_OFI, RING_MOVE
from .target import jit, jit_call

_MIN_POINTS = 8


@jit_call
def fit_history(hf, row, history, rolling, count):  # type: ignore[no-untyped-def]
    """Fit what a row reports of the windows before it, the one now closing included.

    Parameters
    ----------
    hf : float64[symbols, words]
        Histories; the one read starts at word ``history`` of ``row``, its rings ``H_HEAD`` further.
    rolling, count : int
        Words a ring, and how many of them are filled. What is NaN is left out.

    Returns
    -------
    tuple of float64
        Kyle's λ (1985), the OLS slope of the mid's moves on signed volume; Amihud (2002), the mean
        of |log mid return| / notional; and slope, intercept, t statistic of the slope and R² of the
        moves on the order-flow imbalance of the window before. Slopes are NaN with under 8 points
        or a constant regressor, t and R² also where no variance is left to speak of.
    """
    # Slices, since an index that might be negative costs a test each; CUDA lets no function return one.
    rings = hf[row, history + H_HEAD :]
    moves = rings[RING_MOVE * rolling : RING_MOVE * rolling + count]
    flows = rings[RING_FLOW * rolling : RING_FLOW * rolling + count]
    terms = rings[RING_ILLIQUIDITY * rolling : RING_ILLIQUIDITY * rolling + count]
    lagged = rings[RING_LAGGED_OFI * rolling : RING_LAGGED_OFI * rolling + count]
    nan = math.nan
    first = _first_known(moves, 0)
    if first == count:
        return nan, nan, nan, nan, nan, nan
    paired = _first_known(lagged, first)
    y0, x0 = moves[first], flows[first]
    z0 = lagged[paired] if paired < count else 0.0
    n = terms_n = pairs = 0
    x_sum = y_sum = xx = xy = terms_sum = 0.0
    z_sum = pair_y_sum = zz = zy = yy = 0.0
    for j in range(count):
        y = moves[j] - y0
        if y != y:
            continue
        x = flows[j] - x0
        n += 1
        x_sum += x
        y_sum += y
        xx += x * x
        xy += x * y
        if terms[j] == terms[j]:
            terms_n += 1
            terms_sum += terms[j]
        z = lagged[j] - z0
        if z == z:
            pairs += 1
            z_sum += z
            pair_y_sum += y
            zz += z * z
            zy += z * y
            yy += y * y
    kyle = nan
    if n >= _MIN_POINTS:
        kyle = _ratio(xy - x_sum * y_sum / n, xx - x_sum * x_sum / n)
    amihud = terms_sum / terms_n if terms_n > 0 else nan
    if pairs < _MIN_POINTS:
        return kyle, amihud, nan, nan, nan, nan
    zz -= z_sum * z_sum / pairs
    zy -= z_sum * pair_y_sum / pairs
    yy -= pair_y_sum * pair_y_sum / pairs
    slope = _ratio(zy, zz)
    intercept = y0 + pair_y_sum / pairs - slope * (z0 + z_sum / pairs)
    if not (yy > 0.0 and slope == slope):
        return kyle, amihud, slope, intercept, nan, nan
    left = max(yy - slope * zy, 0.0)
    t = slope / math.sqrt(left / (pairs - 2) / zz) if left > 0.0 else nan
    return kyle, amihud, slope, intercept, t, 1.0 - left / yy


@jit
def _first_known(values, start):  # type: ignore[no-untyped-def]
    """Position of the first value at or after ``start`` that is not NaN, or the length."""
    at = start
    while at < len(values) and values[at] != values[at]:
        at += 1
    return at


@jit
def _ratio(top, bottom):  # type: ignore[no-untyped-def]
    return top / bottom if bottom > 0.0 else math.nan
