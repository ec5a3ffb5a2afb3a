"""Steps of directional movement (Wilder 1978) and the vortex; rules as in :mod:`.overlap`."""

from __future__ import annotations

import math

from agents.kernels.indicators.averages import true_range
from agents.kernels.indicators.windows import PAIR, delayed, window_sum, window_sums
from agents.kernels.scalar.target import jit

DIRECTION = 7
"""Words of :func:`movement`: bars seen, last high, low and close, the three sums."""


@jit
def movement(f, k, at, n, high, low, close):  # type: ignore[no-untyped-def]
    """Wilder's sums of +DM, −DM and true range, and how many changes they hold, up to n.

    The first n − 1 changes are added up; from then on a sum loses its nth part a bar.
    """
    seen = k[at]
    last_high, last_low, last_close = f[at + 1], f[at + 2], f[at + 3]
    f[at + 1], f[at + 2], f[at + 3] = high, low, close
    if seen <= n:
        k[at] = seen + 1
    if seen == 0:
        return 0.0, 0.0, 0.0, 0
    up, down = high - last_high, last_low - low
    plus, minus, reach = f[at + 4], f[at + 5], f[at + 6]
    if seen >= n:
        keep = (n - 1.0) / n
        plus *= keep
        minus *= keep
        reach *= keep
    plus += up if (up > 0.0) & (up > down) else 0.0  # no branch: which of them it is cannot be foretold
    minus += down if (down > 0.0) & (down > up) else 0.0
    reach += true_range(high, low, last_close)
    f[at + 4], f[at + 5], f[at + 6] = plus, minus, reach
    return plus, minus, reach, min(seen, n)


@jit
def plus_dm(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Directional movement up."""
    n = int(p[0])
    plus, _, _, changes = movement(f, k, 0, n, high, low, low)
    return (plus if changes >= n - 1 else math.nan,)


@jit
def minus_dm(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Directional movement down."""
    n = int(p[0])
    _, minus, _, changes = movement(f, k, 0, n, high, low, low)
    return (minus if changes >= n - 1 else math.nan,)


@jit
def plus_di(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Directional indicator up; 0 without a range."""
    n = int(p[0])
    plus, _, reach, changes = movement(f, k, 0, n, high, low, close)
    if changes < n:
        return (math.nan,)
    return (100.0 * (plus / reach) if reach != 0.0 else 0.0,)


@jit
def minus_di(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Directional indicator down; 0 without a range."""
    n = int(p[0])
    _, minus, reach, changes = movement(f, k, 0, n, high, low, close)
    if changes < n:
        return (math.nan,)
    return (100.0 * (minus / reach) if reach != 0.0 else 0.0,)


@jit
def index(plus, minus, reach):  # type: ignore[no-untyped-def]
    """|+DI − −DI| / (+DI + −DI) in percent, NaN where it does not exist."""
    if reach == 0.0:
        return math.nan
    up, down = 100.0 * (plus / reach), 100.0 * (minus / reach)
    return 100.0 * (abs(down - up) / (down + up)) if up + down != 0.0 else math.nan


@jit
def dx(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Directional movement index; its last value, at first 0, where nothing moved."""
    n = int(p[0])
    plus, minus, reach, changes = movement(f, k, 0, n, high, low, close)
    if changes < n:
        return (math.nan,)
    value = index(plus, minus, reach)
    if value == value:
        f[DIRECTION] = value
    return (f[DIRECTION],)


@jit
def average_index(f, k, at, n, high, low, close):  # type: ignore[no-untyped-def]
    """Wilder's average of the index, begun by the mean of n of them; DIRECTION + 2 words."""
    plus, minus, reach, changes = movement(f, k, at, n, high, low, close)
    if changes < n:
        return math.nan
    value = index(plus, minus, reach)
    at += DIRECTION
    if k[at] < n:
        k[at] += 1
        if value == value:
            f[at + 1] += value
        if k[at] < n:
            return math.nan
        f[at + 1] /= n
    elif value == value:
        f[at + 1] = (f[at + 1] * (n - 1) + value) / n
    return f[at + 1]


@jit
def adx(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Average directional movement index."""
    return (average_index(f, k, 0, int(p[0]), high, low, close),)


@jit
def adxr(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Mean of the ADX and of what it was n − 1 bars ago."""
    n = int(p[0])
    value = average_index(f, k, 0, n, high, low, close)
    if value != value:
        return (math.nan,)
    return ((value + delayed(f, k, DIRECTION + 2, n - 1, value)) / 2.0,)


@jit
def vortex(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Botes and Siepman's vortex: Σ|high − last low| and Σ|low − last high| over Σ true range, or 0."""
    n = int(p[0])
    last_high, last_low, last_close = f[1], f[2], f[3]
    f[1], f[2], f[3] = high, low, close
    if k[0] == 0:
        k[0] = 1
        return math.nan, math.nan
    up, down = window_sums(f, k, 4, n, abs(high - last_low), abs(low - last_high))
    reach = window_sum(f, k, 4 + 2 * n + PAIR, n, true_range(high, low, last_close))
    if reach == 0.0:
        return 0.0, 0.0
    return up / reach, down / reach
