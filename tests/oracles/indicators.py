"""Indicators as their formulas are printed: exact sums over plain lists, a window at a time."""

from __future__ import annotations

import math
from fractions import Fraction


def windows(values: list[float], n: int) -> list[list[float] | None]:
    """The last ``n`` values at each place, None while there are fewer."""
    return [values[i - n + 1 : i + 1] if i >= n - 1 else None for i in range(len(values))]


def exact_sum(values: list[float], n: int) -> list[float]:
    """Sums of n, rounded once."""
    return [math.nan if w is None else math.fsum(w) for w in windows(values, n)]


def exact_weighted(values: list[float], n: int) -> list[float]:
    """WMA, rounded once."""
    weights = n * (n + 1) // 2
    return [
        math.nan if w is None else float(sum(Fraction(v) * (i + 1) for i, v in enumerate(w)) / weights)
        for w in windows(values, n)
    ]


def exact_variance(values: list[float], n: int) -> list[float]:
    """Population variance, rounded once."""

    def variance(w: list[float]) -> float:
        parts = [Fraction(v) for v in w]
        mean = sum(parts) / n
        return float(sum((v - mean) ** 2 for v in parts) / n)

    return [math.nan if w is None else variance(w) for w in windows(values, n)]


def exact_slope(values: list[float], n: int) -> list[float]:
    """Slope of the least-squares line, rounded once."""

    def slope(w: list[float]) -> float:
        top = sum(Fraction(2 * i - n + 1, 2) * Fraction(v) for i, v in enumerate(w))
        return float(top * 12 / (n * (n * n - 1)))

    return [math.nan if w is None else slope(w) for w in windows(values, n)]


def ichimoku(
    high: list[float], low: list[float], tenkan: int, kijun: int, senkou: int, displacement: int
) -> list[list[float]]:
    """Hosoda's lines, NaN until all four are there."""

    def middle(n: int) -> list[float]:
        pairs = zip(windows(high, n), windows(low, n), strict=True)
        return [math.nan if h is None or lo is None else (max(h) + min(lo)) / 2 for h, lo in pairs]

    def later(values: list[float]) -> list[float]:
        return [math.nan] * displacement + values[:-displacement]

    conversion, base, wide = middle(tenkan), middle(kijun), middle(senkou)
    first = later([(a + b) / 2 for a, b in zip(conversion, base, strict=True)])
    lines = [conversion, base, first, later(wide)]
    start = max(tenkan, kijun, senkou) - 1 + displacement
    return [[math.nan] * min(start, len(line)) + line[start:] for line in lines]


def rolling_vwap(bars: dict[str, list[float]], n: int) -> list[float]:
    """Σ typical price × volume / Σ volume over n bars."""
    typical = [(h + lo + c) / 3 for h, lo, c in zip(bars["high"], bars["low"], bars["close"], strict=True)]
    money = exact_sum([t * v for t, v in zip(typical, bars["volume"], strict=True)], n)
    return [m / v if v > 0 else math.nan for m, v in zip(money, exact_sum(bars["volume"], n), strict=True)]
