"""Steps of the least-squares line through the last n values; rules as in :mod:`.overlap`."""

from __future__ import annotations

from agents.kernels.indicators.windows import WEIGHTED, window_moments
from agents.kernels.scalar.target import jit

LINE = WEIGHTED + 2
"""Words of :func:`line` beside 2n."""


@jit
def line(f, k, n, x):  # type: ignore[no-untyped-def]
    """Slope and mean of the last ``n`` values; sums are of differences to the first value ever."""
    if k[0] == 0:
        k[0] = 1
        f[1] = x
    total, weighted = window_moments(f, k, 2, n, x - f[1])
    slope = (weighted - total * ((n + 1) / 2.0)) * (12.0 / (n * (n * n - 1.0)))
    return slope, f[1] + total / n


@jit
def linearreg(f, k, p, x):  # type: ignore[no-untyped-def]
    """The least-squares line through n values, at the newest."""
    n = int(p[0])
    slope, mean = line(f, k, n, x)
    return (mean + slope * ((n - 1) / 2.0),)


@jit
def linearreg_slope(f, k, p, x):  # type: ignore[no-untyped-def]
    """Slope a bar of the least-squares line through n values."""
    return (line(f, k, int(p[0]), x)[0],)


@jit
def linearreg_intercept(f, k, p, x):  # type: ignore[no-untyped-def]
    """The least-squares line through n values, at the oldest."""
    n = int(p[0])
    slope, mean = line(f, k, n, x)
    return (mean - slope * ((n - 1) / 2.0),)


@jit
def tsf(f, k, p, x):  # type: ignore[no-untyped-def]
    """Time series forecast: the least-squares line through n values, a bar ahead."""
    n = int(p[0])
    slope, mean = line(f, k, n, x)
    return (mean + slope * ((n + 1) / 2.0),)
