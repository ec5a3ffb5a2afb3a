"""Averages that other indicators are made of, TA-Lib's seeds included.

State and rules as in :mod:`.windows`: words from ``at`` on, zero at the start, NaN until warm.
"""

from __future__ import annotations

import math

from agents.kernels.indicators.windows import WEIGHTED, window_sum, window_weighted
from agents.kernels.scalar.target import jit

EMA = 2
"""Words of :func:`exponential`, :func:`wilder` and :func:`compensated`."""
AVERAGE = WEIGHTED
"""Words of :func:`average` beside 2n."""

SIMPLE, EXPONENTIAL = 0, 1
"""``matype`` as TA-Lib numbers it; 2 is the weighted one."""


@jit
def exponential(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """EMA with weight 2/(n+1), begun by the mean of the first ``n`` values."""
    if k[at] < n:
        return _seed(f, k, at, n, x)
    last = f[at + 1]
    value = (x - last) * (2.0 / (n + 1)) + last
    f[at + 1] = value
    return value


@jit
def exponentials(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """EMA, EMA of it and EMA of that, each begun when the one before is; three times :data:`EMA` words."""
    once = exponential(f, k, at, n, x)
    if once != once:
        return once, math.nan, math.nan
    twice = exponential(f, k, at + EMA, n, once)
    if twice != twice:
        return once, twice, math.nan
    return once, twice, exponential(f, k, at + 2 * EMA, n, twice)


@jit
def wilder(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """Wilder's average, weight 1/n, begun by the mean of the first ``n`` values."""
    if k[at] < n:
        return _seed(f, k, at, n, x)
    value = f[at + 1] * ((n - 1.0) / n) + x * (1.0 / n)
    f[at + 1] = value
    return value


@jit
def _seed(f, k, at, n, x):  # type: ignore[no-untyped-def]
    k[at] += 1
    total = f[at + 1] + x
    if k[at] < n:
        f[at + 1] = total
        return math.nan
    f[at + 1] = total / n
    return f[at + 1]


@jit
def average(f, k, at, n, kind, x):  # type: ignore[no-untyped-def]
    """The moving average of TA-Lib's ``matype`` 0, 1 or 2: simple, exponential, weighted."""
    if kind == SIMPLE:
        return window_sum(f, k, at, n, x) / n
    if kind == EXPONENTIAL:
        return exponential(f, k, at, n, x)
    return window_weighted(f, k, at, n, x) / (n * (n + 1) / 2)


@jit
def compensated(f, at, x):  # type: ignore[no-untyped-def]
    """Sum of everything so far, with what rounding lost kept beside it (Knuth's two-sum)."""
    total = f[at]
    grown = total + x
    got = grown - total
    f[at] = grown
    f[at + 1] += (total - (grown - got)) + (x - got)
    return grown + f[at + 1]


@jit
def true_range(high, low, last_close):  # type: ignore[no-untyped-def]
    """Wilder's true range: the bar with the close before it."""
    return max(high - low, max(abs(high - last_close), abs(low - last_close)))
