"""Steps of oscillators; rules as in :mod:`.overlap`."""

from __future__ import annotations

import math

from agents.kernels.indicators.averages import AVERAGE, average, true_range
from agents.kernels.indicators.windows import (
    NEWEST,
    PAIR,
    RAW,
    RING,
    delayed,
    window_high_age,
    window_range,
    window_sum,
    window_sums,
    window_values,
)
from agents.kernels.scalar.target import jit

DEVIATION = 2 + RING + RAW
"""Words of :func:`deviation` beside 3n."""
GAINS = 4
"""Words of :func:`gains`."""


@jit
def mom(f, k, p, x):  # type: ignore[no-untyped-def]
    """Change over n bars."""
    return (x - delayed(f, k, 0, int(p[0]), x),)


@jit
def roc(f, k, p, x):  # type: ignore[no-untyped-def]
    """Change over n bars in percent; 0 after a 0."""
    before = delayed(f, k, 0, int(p[0]), x)
    return ((x / before - 1.0) * 100.0 if before != 0.0 else 0.0,)


@jit
def rocp(f, k, p, x):  # type: ignore[no-untyped-def]
    """Change over n bars as a share; 0 after a 0."""
    before = delayed(f, k, 0, int(p[0]), x)
    return ((x - before) / before if before != 0.0 else 0.0,)


@jit
def rocr(f, k, p, x):  # type: ignore[no-untyped-def]
    """Ratio to n bars ago; 0 after a 0."""
    before = delayed(f, k, 0, int(p[0]), x)
    return (x / before if before != 0.0 else 0.0,)


@jit
def rocr100(f, k, p, x):  # type: ignore[no-untyped-def]
    """Ratio to n bars ago, times 100; 0 after a 0."""
    before = delayed(f, k, 0, int(p[0]), x)
    return (x / before * 100.0 if before != 0.0 else 0.0,)


@jit
def gains(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """Wilder's averages of rises and of falls; NaN until there are n changes. Words: seen, last, averages."""
    change = x - f[at + 1]
    seen = k[at]
    f[at + 1] = x
    if seen <= n:
        k[at] = seen + 1
    if seen == 0:
        return math.nan, math.nan
    rise, fall = max(change, 0.0), max(-change, 0.0)
    if seen <= n:
        up, down = f[at + 2] + rise, f[at + 3] + fall
        if seen == n:
            up, down = up / n, down / n
    else:
        keep, share = (n - 1.0) / n, 1.0 / n
        up, down = f[at + 2] * keep + rise * share, f[at + 3] * keep + fall * share
    f[at + 2], f[at + 3] = up, down
    if seen < n:
        return math.nan, math.nan
    return up, down


@jit
def strength(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """RSI as a number; 0 where nothing moved."""
    up, down = gains(f, k, at, n, x)
    return 100.0 * (up / (up + down)) if up + down != 0.0 else 0.0


@jit
def rsi(f, k, p, x):  # type: ignore[no-untyped-def]
    """Relative strength index (Wilder 1978)."""
    return (strength(f, k, 0, int(p[0]), x),)


@jit
def cmo(f, k, p, x):  # type: ignore[no-untyped-def]
    """Chande's momentum oscillator, on Wilder's averages as in TA-Lib."""
    up, down = gains(f, k, 0, int(p[0]), x)
    return (100.0 * ((up - down) / (up + down)) if up + down != 0.0 else 0.0,)


@jit
def place_in_range(f, k, at, n, high, low, close):  # type: ignore[no-untyped-def]
    """Where the close lies between lowest low and highest high, 0 to 100; 0 without a range."""
    highest, lowest = window_range(f, k, at, n, high, low)
    reach = (highest - lowest) / 100.0
    return (close - lowest) / reach if reach != 0.0 else 0.0


@jit
def stoch(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Lane's slow stochastic: %K smoothed, and its average %D."""
    n, slow, smooth = int(p[0]), int(p[1]), int(p[3])
    raw = place_in_range(f, k, 0, n, high, low, close)
    if raw != raw:
        return math.nan, math.nan
    at = 2 * n + PAIR
    slow_k = average(f, k, at, slow, int(p[2]), raw)
    if slow_k != slow_k:
        return math.nan, math.nan
    slow_d = average(f, k, at + 2 * slow + AVERAGE, smooth, int(p[4]), slow_k)
    return (slow_k if slow_d == slow_d else math.nan), slow_d


@jit
def fast_stochastic(f, k, at, n, smooth, kind, high, low, close):  # type: ignore[no-untyped-def]
    """%K and its average; 2n + PAIR + 2·smooth + AVERAGE words."""
    fast_k = place_in_range(f, k, at, n, high, low, close)
    if fast_k != fast_k:
        return math.nan, math.nan
    fast_d = average(f, k, at + 2 * n + PAIR, smooth, kind, fast_k)
    return (fast_k if fast_d == fast_d else math.nan), fast_d


@jit
def stochf(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Lane's fast stochastic."""
    return fast_stochastic(f, k, 0, int(p[0]), int(p[1]), int(p[2]), high, low, close)


@jit
def stochrsi(f, k, p, x):  # type: ignore[no-untyped-def]
    """Fast stochastic of the RSI (Chande and Kroll 1994)."""
    value = strength(f, k, 0, int(p[0]), x)
    if value != value:
        return math.nan, math.nan
    return fast_stochastic(f, k, GAINS, int(p[1]), int(p[2]), int(p[3]), value, value, value)


@jit
def willr(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Williams' %R, −100 to 0; 0 without a range."""
    n = int(p[0])
    highest, lowest = window_range(f, k, 0, n, high, low)
    reach = (highest - lowest) / -100.0
    return ((highest - close) / reach if reach != 0.0 else 0.0,)


@jit
def cci(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Lambert's commodity channel index; 0 without a deviation."""
    away, spread = deviation(f, k, int(p[0]), (high + low + close) / 3.0)
    return (away / (0.015 * spread) if away != 0.0 and spread != 0.0 else 0.0,)


@jit
def avgdev(f, k, p, x):  # type: ignore[no-untyped-def]
    """Mean absolute deviation from the mean."""
    return (deviation(f, k, int(p[0]), x)[1],)


@jit
def deviation(f, k, n, x):  # type: ignore[no-untyped-def]
    """How far the newest of n values is above their mean, and the mean of |value − mean|.

    The mean is that of differences to the first value ever, so that values that are equal have no deviation
    at all. Distances are added in four sums side by side, since an addition waits for the one before it.
    """
    if k[0] == 0:
        k[0] = 1
        f[1] = x
    mean = f[1] + window_sum(f, k, 2, n, x - f[1]) / n
    first = window_values(f, k, 2 + n + RING, n, x)
    if first < 0:
        return math.nan, math.nan
    whole = first + n - n % 4
    a = b = c = d = 0.0
    for i in range(first, whole, 4):
        a += abs(f[i] - mean)
        b += abs(f[i + 1] - mean)
        c += abs(f[i + 2] - mean)
        d += abs(f[i + 3] - mean)
    for i in range(whole, first + n):
        a += abs(f[i] - mean)
    return x - mean, ((a + b) + (c + d)) / n


@jit
def ultosc(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Williams' ultimate oscillator; the shortest period weighs 4, the longest 1."""
    shortest = int(min(p[0], min(p[1], p[2])))
    longest = int(max(p[0], max(p[1], p[2])))
    middle = int(p[0] + p[1] + p[2]) - shortest - longest
    last = f[0]
    f[0] = close
    if k[1] == 0:
        k[1] = 1
        return (math.nan,)
    pressure = close - min(low, last)
    reach = true_range(high, low, last)
    at = 2
    result = 4.0 * _pressed(f, k, at, shortest, pressure, reach)
    at += 2 * shortest + PAIR
    result += 2.0 * _pressed(f, k, at, middle, pressure, reach)
    at += 2 * middle + PAIR
    result += _pressed(f, k, at, longest, pressure, reach)
    return (100.0 * (result / 7.0),)


@jit
def _pressed(f, k, at, n, pressure, reach):  # type: ignore[no-untyped-def]
    """Σ pressure / Σ range over n bars; 0 without a range."""
    top, bottom = window_sums(f, k, at, n, pressure, reach)
    return top / bottom if bottom != 0.0 else 0.0


@jit
def aroon(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Chande's Aroon (1995), down and up: how lately the extreme of n + 1 bars came, 100 = now."""
    n = int(p[0])
    low_age = window_high_age(f, k, 0, n + 1, -low)
    high_age = window_high_age(f, k, 2 * (n + 1) + NEWEST, n + 1, high)
    if low_age < 0:
        return math.nan, math.nan
    unit = 100.0 / n
    return unit * (n - low_age), unit * (n - high_age)


@jit
def aroonosc(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Aroon up − down."""
    n = int(p[0])
    low_age = window_high_age(f, k, 0, n + 1, -low)
    high_age = window_high_age(f, k, 2 * (n + 1) + NEWEST, n + 1, high)
    return (100.0 / n * (low_age - high_age) if low_age >= 0 else math.nan,)


@jit
def bop(f, k, p, open_, high, low, close):  # type: ignore[no-untyped-def]
    """Balance of power: (close − open) / (high − low); 0 without a range."""
    reach = high - low
    return ((close - open_) / reach if reach > 0.0 else 0.0,)
