"""Hawkes intensity with an exponential kernel, its branching ratio from the variance of counts.

λ(t) = μ + α·Σ exp(−β(t − tᵢ)) by the recursion Aᵢ = 1 + exp(−β(tᵢ − tᵢ₋₁))·Aᵢ₋₁ (Ozaki 1979). The
branching ratio n = α/β is the moment estimator 1 − √(mean/variance) of Hardiman and Bouchaud (2014)
over trade counts a base window, with weights that fall by exp(−1/rolling_windows) a window; idle
windows count as zeros. μ is then the mean rate times 1 − n.
"""

from __future__ import annotations

import math

from .layout import (
    C_BASE,
    HAWKES_A,
    HAWKES_TS,
    K_BASE_S,
    K_BETA,
    K_BETA_NS,
    K_FORGET,
    M0,
    M1,
    M2,
    M_FIRST,
    M_LAST,
    NEVER,
)
from .maths import exp_neg
from .target import jit

_MIN_WINDOWS = 8


@jit
def excite(sf, si, k, row, now):  # type: ignore[no-untyped-def]
    """Count a trade at the symbol's clock ``now`` (ns) into the decaying sum."""
    elapsed = now - si[row, HAWKES_TS]
    if elapsed > 0:
        sf[row, HAWKES_A] = 1.0 + exp_neg(elapsed * k[K_BETA_NS]) * sf[row, HAWKES_A]
        si[row, HAWKES_TS] = now
    else:
        sf[row, HAWKES_A] += 1.0


@jit
def count_window(sf, si, k, row, number, trades):  # type: ignore[no-untyped-def]
    """Take the trade count of base window ``number`` into the moments, and the idle ones before it."""
    if si[row, M_LAST] == NEVER:
        si[row, M_FIRST] = number
    else:
        idle = number - si[row, M_LAST] - 1
        if idle > 0:
            kept = exp_neg(idle * k[K_FORGET])
            sf[row, M0] = kept * sf[row, M0] + (1.0 - kept) / (1.0 - exp_neg(k[K_FORGET]))
            sf[row, M1] *= kept
            sf[row, M2] *= kept
    kept = exp_neg(k[K_FORGET])
    n = float(trades)
    sf[row, M0] = 1.0 + kept * sf[row, M0]
    sf[row, M1] = n + kept * sf[row, M1]
    sf[row, M2] = n * n + kept * sf[row, M2]
    si[row, M_LAST] = number


@jit
def intensity(sf, si, c, k, row, close):  # type: ignore[no-untyped-def]
    """Intensity and branching ratio at ``close`` (ns, a base window's boundary).

    Returns
    -------
    tuple of float64
        λ in trades a second, and n in [0, 1). Both NaN before 8 base windows and without a trade.
    """
    number = close // c[C_BASE]
    if si[row, M_LAST] == NEVER or number - si[row, M_FIRST] < _MIN_WINDOWS or not sf[row, M1] > 0.0:
        return math.nan, math.nan
    weight = sf[row, M0]
    first = sf[row, M1]
    second = sf[row, M2]
    idle = number - 1 - si[row, M_LAST]
    if idle > 0:
        kept = exp_neg(idle * k[K_FORGET])
        weight = kept * weight + (1.0 - kept) / (1.0 - exp_neg(k[K_FORGET]))
        first *= kept
        second *= kept
    mean = first / weight
    variance = second / weight - mean * mean
    branching = 0.0
    if variance > mean:
        branching = 1.0 - math.sqrt(mean / variance)
    alive = exp_neg((close - si[row, HAWKES_TS]) * k[K_BETA_NS]) * sf[row, HAWKES_A]
    base_rate = mean / k[K_BASE_S] * (1.0 - branching)
    return base_rate + branching * k[K_BETA] * alive, branching
