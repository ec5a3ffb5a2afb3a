"""Steps of averages and of what lies over the price: one bar in, one tuple of outputs out.

Every step is ``step(f, k, p, *values of the bar)``: the symbol's record as float64 and int64 (one memory,
zero at the start), the parameters in the table's order, then the bar. It answers NaN until it is warm.
Definitions are TA-Lib's; where TA-Lib takes anything under 1e-14 for zero, here only zero is zero, so that
an asset that costs 1e-6 has indicators too.
"""

from __future__ import annotations

import math

from agents.kernels.indicators.averages import EMA, average, exponential, exponentials
from agents.kernels.indicators.windows import (
    RING,
    SPREAD,
    WEIGHTED,
    delayed,
    window_spread,
    window_sum,
    window_sums,
    window_weighted,
)
from agents.kernels.scalar.target import jit


@jit
def sma(f, k, p, x):  # type: ignore[no-untyped-def]
    """Simple moving average."""
    n = int(p[0])
    return (window_sum(f, k, 0, n, x) / n,)


@jit
def ema(f, k, p, x):  # type: ignore[no-untyped-def]
    """Exponential moving average."""
    return (exponential(f, k, 0, int(p[0]), x),)


@jit
def wma(f, k, p, x):  # type: ignore[no-untyped-def]
    """Linearly weighted moving average."""
    n = int(p[0])
    return (window_weighted(f, k, 0, n, x) / (n * (n + 1) / 2),)


@jit
def dema(f, k, p, x):  # type: ignore[no-untyped-def]
    """2·EMA − EMA of EMA (Mulloy 1994)."""
    n = int(p[0])
    once = exponential(f, k, 0, n, x)
    if once != once:
        return (math.nan,)
    return (2.0 * once - exponential(f, k, EMA, n, once),)


@jit
def tema(f, k, p, x):  # type: ignore[no-untyped-def]
    """3·EMA − 3·EMA² + EMA³ (Mulloy 1994)."""
    once, twice, thrice = exponentials(f, k, 0, int(p[0]), x)
    return (thrice + (3.0 * once - 3.0 * twice),)


@jit
def trima(f, k, p, x):  # type: ignore[no-untyped-def]
    """Triangular average: a simple one of a simple one, which together reach over n bars."""
    n = int(p[0])
    outer = (n + 1) // 2
    inner = n + 1 - outer
    once = window_sum(f, k, 0, inner, x) / inner
    if once != once:
        return (math.nan,)
    return (window_sum(f, k, inner + RING, outer, once) / outer,)


@jit
def kama(f, k, p, x):  # type: ignore[no-untyped-def]
    """Kaufman's adaptive average (1995): as fast as EMA(2) in a straight run, as slow as EMA(30) in noise."""
    n = int(p[0])
    last = f[1]
    f[1] = x
    before = delayed(f, k, 3 + n + RING, n, x)
    if k[0] == 0:
        k[0] = 1
        return (math.nan,)
    way = window_sum(f, k, 3, n, abs(x - last))
    if before != before:
        return (math.nan,)
    if k[0] == 1:
        k[0] = 2
        f[2] = last
    gone = x - before
    efficiency = 1.0 if way <= gone or way == 0.0 else abs(gone / way)
    slow = 2.0 / 31.0
    weight = efficiency * (2.0 / 3.0 - slow) + slow
    f[2] += (x - f[2]) * (weight * weight)
    return (f[2],)


@jit
def t3(f, k, p, x):  # type: ignore[no-untyped-def]
    """Tillson's T3 (1998): six EMAs in a row, weighted by the volume factor."""
    n = int(p[0])
    v = p[1]
    e1 = exponential(f, k, 0, n, x)
    if e1 != e1:
        return (math.nan,)
    e2 = exponential(f, k, EMA, n, e1)
    if e2 != e2:
        return (math.nan,)
    e3 = exponential(f, k, 2 * EMA, n, e2)
    if e3 != e3:
        return (math.nan,)
    e4 = exponential(f, k, 3 * EMA, n, e3)
    if e4 != e4:
        return (math.nan,)
    e5 = exponential(f, k, 4 * EMA, n, e4)
    if e5 != e5:
        return (math.nan,)
    e6 = exponential(f, k, 5 * EMA, n, e5)
    square = v * v
    c1 = -(square * v)
    c2 = 3.0 * (square - c1)
    c3 = -6.0 * square - 3.0 * (v - c1)
    c4 = 1.0 + 3.0 * v - c1 + 3.0 * square
    return (c1 * e6 + c2 * e5 + c3 * e4 + c4 * e3,)


@jit
def hma(f, k, p, x):  # type: ignore[no-untyped-def]
    """Hull's average (2005): WMA(√n) of 2·WMA(n/2) − WMA(n), roots and halves cut to integers."""
    n = int(p[0])
    half = n // 2
    root = int(math.sqrt(n))
    second = 2 * n + WEIGHTED
    third = second + 2 * half + WEIGHTED
    slow = window_weighted(f, k, 0, n, x) / (n * (n + 1) / 2)
    fast = window_weighted(f, k, second, half, x) / (half * (half + 1) / 2)
    if slow != slow:
        return (math.nan,)
    return (window_weighted(f, k, third, root, 2.0 * fast - slow) / (root * (root + 1) / 2),)


@jit
def vwma(f, k, p, x, volume):  # type: ignore[no-untyped-def]
    """Average weighted by volume: Σpv/Σv of n bars, NaN without volume."""
    n = int(p[0])
    turnover, traded = window_sums(f, k, 0, n, x * volume, volume)
    return (turnover / traded if traded > 0.0 else math.nan,)


@jit
def bbands(f, k, p, x):  # type: ignore[no-untyped-def]
    """Bollinger's bands: an average and so many population standard deviations about it."""
    n = int(p[0])
    middle = average(f, k, 2 * n + SPREAD, n, int(p[3]), x)
    deviation = math.sqrt(window_spread(f, k, 0, n, x) / n)
    return middle + p[1] * deviation, middle, middle - p[2] * deviation
