"""Steps that see one bar only, and extremes of plain values; rules as in :mod:`.overlap`."""

from __future__ import annotations

from agents.kernels.indicators.windows import window_high, window_range, window_sum
from agents.kernels.scalar.target import jit


@jit
def avgprice(f, k, p, open_, high, low, close):  # type: ignore[no-untyped-def]
    """Mean of open, high, low and close."""
    return ((high + low + close + open_) / 4.0,)


@jit
def medprice(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Mean of high and low."""
    return ((high + low) / 2.0,)


@jit
def typprice(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Mean of high, low and close."""
    return ((high + low + close) / 3.0,)


@jit
def wclprice(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Mean of high, low and twice the close."""
    return ((high + low + close * 2.0) / 4.0,)


@jit
def midpoint(f, k, p, x):  # type: ignore[no-untyped-def]
    """Middle of the highest and the lowest of n values."""
    n = int(p[0])
    top, bottom = window_range(f, k, 0, n, x, x)
    return ((top + bottom) / 2.0,)


@jit
def midprice(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Middle of the highest high and the lowest low of n bars."""
    n = int(p[0])
    top, bottom = window_range(f, k, 0, n, high, low)
    return ((top + bottom) / 2.0,)


@jit
def highest(f, k, p, x):  # type: ignore[no-untyped-def]
    """Highest of n values."""
    return (window_high(f, k, 0, int(p[0]), x),)


@jit
def lowest(f, k, p, x):  # type: ignore[no-untyped-def]
    """Lowest of n values."""
    return (-window_high(f, k, 0, int(p[0]), -x),)


@jit
def total(f, k, p, x):  # type: ignore[no-untyped-def]
    """Sum of n values."""
    return (window_sum(f, k, 0, int(p[0]), x),)
