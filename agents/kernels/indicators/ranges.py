"""Steps of ranges and deviations: TRANGE, ATR, NATR, STDDEV, VAR, channels; rules as in :mod:`.overlap`."""

from __future__ import annotations

import math

from agents.kernels.indicators.averages import EMA, exponential, true_range, wilder
from agents.kernels.indicators.windows import PAIR, delayed, window_range, window_spread
from agents.kernels.scalar.target import jit


@jit
def next_range(f, k, at, high, low, close):  # type: ignore[no-untyped-def]
    """True range, NaN at the first bar; two words: the last close, whether there is one."""
    last = f[at]
    f[at] = close
    if k[at + 1] == 0:
        k[at + 1] = 1
        return math.nan
    return true_range(high, low, last)


@jit
def average_range(f, k, at, n, high, low, close):  # type: ignore[no-untyped-def]
    """Wilder's average true range; EMA + 2 words."""
    reach = next_range(f, k, at + EMA, high, low, close)
    if reach != reach:
        return math.nan
    return wilder(f, k, at, n, reach)


@jit
def trange(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """True range (Wilder 1978)."""
    return (next_range(f, k, 0, high, low, close),)


@jit
def atr(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Average true range (Wilder 1978)."""
    return (average_range(f, k, 0, int(p[0]), high, low, close),)


@jit
def natr(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Average true range in percent of the close."""
    reach = average_range(f, k, 0, int(p[0]), high, low, close)
    return (reach / close * 100.0 if close != 0.0 else 0.0 * reach,)


@jit
def var(f, k, p, x):  # type: ignore[no-untyped-def]
    """Population variance."""
    n = int(p[0])
    return (window_spread(f, k, 0, n, x) / n,)


@jit
def stddev(f, k, p, x):  # type: ignore[no-untyped-def]
    """So many population standard deviations."""
    n = int(p[0])
    return (math.sqrt(window_spread(f, k, 0, n, x) / n) * p[1],)


@jit
def donchian(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Donchian's channel: highest high, middle and lowest low of n bars, the newest included."""
    n = int(p[0])
    upper, lower = window_range(f, k, 0, n, high, low)
    return upper, (upper + lower) / 2.0, lower


@jit
def kc(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Keltner's channel in Raschke's form: EMA of the typical price and so many ATR about it.

    The one that needs fewer bars begins later, so that both have their first value at the same bar.
    """
    n, m = int(p[0]), int(p[1])
    first = max(n - 1, m)
    at = k[0]
    if at <= first:
        k[0] = at + 1
    reach = next_range(f, k, 1, high, low, close)
    middle = exponential(f, k, 3, n, (high + low + close) / 3.0) if at > first - n else math.nan
    if at > first - m:
        reach = wilder(f, k, 3 + EMA, m, reach) * p[2]
    if at < first:
        return math.nan, math.nan, math.nan
    return middle + reach, middle, middle - reach


@jit
def ichimoku(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Hosoda's lines as they stand at this bar: conversion, base and the two spans of the cloud.

    The spans are those computed ``displacement`` bars ago. The lagging span is left out: at this bar it
    would be a close yet to come.
    """
    tenkan, kijun, senkou, displacement = int(p[0]), int(p[1]), int(p[2]), int(p[3])
    at = 0
    conversion = _middle(f, k, at, tenkan, high, low)
    at += 2 * tenkan + PAIR
    base = _middle(f, k, at, kijun, high, low)
    at += 2 * kijun + PAIR
    wide = _middle(f, k, at, senkou, high, low)
    if wide != wide or base != base or conversion != conversion:
        return math.nan, math.nan, math.nan, math.nan
    at += 2 * senkou + PAIR
    first = delayed(f, k, at, displacement, (conversion + base) / 2.0)
    second = delayed(f, k, at + displacement + 2, displacement, wide)
    if second != second:
        return math.nan, math.nan, math.nan, math.nan
    return conversion, base, first, second


@jit
def _middle(f, k, at, n, high, low):  # type: ignore[no-untyped-def]
    top, bottom = window_range(f, k, at, n, high, low)
    return (top + bottom) / 2.0
