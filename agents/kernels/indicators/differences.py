"""Steps of averages against each other: MACD, APO, PPO, TRIX; rules as in :mod:`.overlap`."""

from __future__ import annotations

import math

from agents.kernels.indicators.averages import AVERAGE, EMA, average, exponential, exponentials
from agents.kernels.scalar.target import jit


@jit
def apart(f, k, fast, slow, kind, x):  # type: ignore[no-untyped-def]
    """Fast − slow average and the slow one; 2(fast + slow + AVERAGE) words."""
    late = average(f, k, 0, slow, kind, x)
    return average(f, k, 2 * slow + AVERAGE, fast, kind, x) - late, late


@jit
def macd(f, k, p, x):  # type: ignore[no-untyped-def]
    """Appel's MACD; the fast EMA begins late, so that both stand on their first value at the same bar."""
    fast, slow, signal = min(p[0], p[1]), max(p[0], p[1]), int(p[2])
    late = exponential(f, k, 0, int(slow), x)
    if k[2 * EMA] < slow - fast:
        k[2 * EMA] += 1
        return math.nan, math.nan, math.nan
    difference = exponential(f, k, EMA, int(fast), x) - late
    if difference != difference:
        return math.nan, math.nan, math.nan
    smooth = exponential(f, k, 2 * EMA + 1, signal, difference)
    if smooth != smooth:
        return math.nan, math.nan, math.nan
    return difference, smooth, difference - smooth


@jit
def apo(f, k, p, x):  # type: ignore[no-untyped-def]
    """Fast average − slow average."""
    return (apart(f, k, int(min(p[0], p[1])), int(max(p[0], p[1])), int(p[2]), x)[0],)


@jit
def ppo(f, k, p, x):  # type: ignore[no-untyped-def]
    """Fast average − slow average, in percent of the slow one."""
    difference, slow = apart(f, k, int(min(p[0], p[1])), int(max(p[0], p[1])), int(p[2]), x)
    return (difference / slow * 100.0 if slow != 0.0 else 0.0,)


@jit
def trix(f, k, p, x):  # type: ignore[no-untyped-def]
    """Change in percent of an EMA of an EMA of an EMA."""
    thrice = exponentials(f, k, 0, int(p[0]), x)[2]
    if thrice != thrice:
        return (math.nan,)
    last, known = f[3 * EMA], k[3 * EMA + 1]
    f[3 * EMA] = thrice
    k[3 * EMA + 1] = 1
    if known == 0:
        return (math.nan,)
    return ((thrice / last - 1.0) * 100.0 if last != 0.0 else 0.0,)
