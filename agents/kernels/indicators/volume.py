"""Steps that need volume; rules as in :mod:`.overlap`."""

from __future__ import annotations

import math

from agents.kernels.indicators.averages import EMA, compensated
from agents.kernels.indicators.windows import window_sums
from agents.kernels.scalar.target import jit

EPSILON = 2.0**-52


@jit
def flow(high, low, close, volume):  # type: ignore[no-untyped-def]
    """Chaikin's money flow of a bar: volume weighted by where the close lies, −1 to 1; 0 without a range."""
    reach = high - low
    return ((close - low) - (high - close)) / reach * volume if reach > 0.0 else 0.0


@jit
def obv(f, k, p, close, volume):  # type: ignore[no-untyped-def]
    """Granville's on-balance volume, begun by the first bar's volume."""
    last = f[EMA]
    f[EMA] = close
    change = (volume if close > last else 0.0) - (volume if close < last else 0.0)
    if k[EMA + 1] == 0:
        k[EMA + 1] = 1
        change = volume
    return (compensated(f, 0, change),)


@jit
def ad(f, k, p, high, low, close, volume):  # type: ignore[no-untyped-def]
    """Chaikin's accumulation and distribution line."""
    return (compensated(f, 0, flow(high, low, close, volume)),)


@jit
def adosc(f, k, p, high, low, close, volume):  # type: ignore[no-untyped-def]
    """Chaikin's oscillator: fast − slow EMA of the line, both begun by its first value."""
    fast, slow = 2.0 / (p[0] + 1.0), 2.0 / (p[1] + 1.0)
    line = compensated(f, 0, flow(high, low, close, volume))
    seen = k[EMA]
    if seen == 0:
        f[EMA + 1] = f[EMA + 2] = line
    f[EMA + 1] += fast * (line - f[EMA + 1])
    f[EMA + 2] += slow * (line - f[EMA + 2])
    k[EMA] = seen + 1
    return (f[EMA + 1] - f[EMA + 2] if seen + 1 >= max(p[0], p[1]) else math.nan,)


@jit
def mfi(f, k, p, high, low, close, volume):  # type: ignore[no-untyped-def]
    """Money flow index (Quong and Soudack 1989); 0 without a flow.

    Typical prices that differ by the rounding of their sums alone count as equal.
    """
    n = int(p[0])
    typical = (high + low + close) / 3.0
    noise = 4.0 * EPSILON * abs(typical)
    last = f[0]
    f[0] = typical
    if k[1] == 0:
        k[1] = 1
        return (math.nan,)
    money = typical * volume
    rise = money if typical - last > noise else 0.0
    fall = money if last - typical > noise else 0.0
    into, out_of = window_sums(f, k, 2, n, rise, fall)
    return (100.0 * (into / (into + out_of)) if into + out_of != 0.0 else 0.0,)


@jit
def cmf(f, k, p, high, low, close, volume):  # type: ignore[no-untyped-def]
    """Chaikin's money flow over n bars, −1 to 1: Σ flow / Σ volume; NaN without volume."""
    n = int(p[0])
    moved, traded = window_sums(f, k, 0, n, flow(high, low, close, volume), volume)
    return (moved / traded if traded > 0.0 else math.nan,)


@jit
def vwap(f, k, p, high, low, close, volume):  # type: ignore[no-untyped-def]
    """Σ typical price × volume / Σ volume, of n bars or, with 0, since the first; NaN without volume."""
    n = int(p[0])
    money = (high + low + close) / 3.0 * volume
    if n > 0:
        turnover, traded = window_sums(f, k, 0, n, money, volume)
    else:
        turnover = compensated(f, 0, money)
        traded = compensated(f, EMA, volume)
    return (turnover / traded if traded > 0.0 else math.nan,)
