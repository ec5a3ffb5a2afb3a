"""The textbook formulas, over lists of numbers. Exact fractions where a difference could cancel."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from statistics import median

NAN = math.nan


def mean(xs):
    return sum(xs) / len(xs) if xs else NAN


def ols(xs, ys):
    """Slope, intercept, t statistic of the slope, R²; NaN with under 8 points."""
    if len(xs) < 8:
        return NAN, NAN, NAN, NAN
    n = len(xs)
    xs, ys = [Fraction(x) for x in xs], [Fraction(y) for y in ys]
    mx, my = sum(xs) / n, sum(ys) / n
    xx = sum((x - mx) ** 2 for x in xs)
    xy = sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True))
    yy = sum((y - my) ** 2 for y in ys)
    if xx == 0:
        return NAN, NAN, NAN, NAN
    slope = xy / xx
    intercept = my - slope * mx
    if yy == 0:
        return float(slope), float(intercept), NAN, NAN
    residuals = sum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    t = float(slope) / math.sqrt(float(residuals / (n - 2) / xx)) if residuals else NAN
    return float(slope), float(intercept), t, float(1 - residuals / yy)


def roll(pairs):
    """2·√(−cov) of (Δp₋₁, Δp) pairs; NaN with under 3 pairs or a covariance not below 0."""
    covariance = roll_covariance(pairs)
    return 2 * math.sqrt(-covariance) if covariance is not None and covariance < 0 else NAN


def roll_covariance(pairs):
    if len(pairs) < 3:
        return None
    n = len(pairs)
    mx = Fraction(sum(x for x, _ in pairs), n)
    my = Fraction(sum(y for _, y in pairs), n)
    return sum((x - mx) * (y - my) for x, y in pairs) / (n - 1)


def bipower(n, products):
    """(π/2)·Σ|rᵢ||rᵢ₋₁|·n/n₂."""
    return math.pi / 2 * sum(products) * n / len(products) if products else NAN


def medrv(n, triples):
    """π/(6−4√3+π)·Σ med²·n/n₃."""
    factor = math.pi / (6 - 4 * math.sqrt(3) + math.pi)
    return factor * sum(median(t) ** 2 for t in triples) * n / len(triples) if triples else NAN


def normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def stdev(xs):
    m = sum(xs) / len(xs)
    return math.sqrt(sum((x - m) ** 2 for x in xs) / (len(xs) - 1))


def ofi(quotes):
    """Σ eₙ over successive (bid, ask, bid size, ask size), as printed in Cont, Kukanov, Stoikov (2014)."""
    total = 0.0
    for (b0, a0, B0, A0), (b, a, B, A) in itertools.pairwise(quotes):
        total += (b >= b0) * B - (b <= b0) * B0 - (a <= a0) * A + (a >= a0) * A0
    return total


def sign(x):
    return (x > 0) - (x < 0)


def tick_rule(prices):
    """Sign of the last price against the last different one before it."""
    for earlier in reversed(prices[:-1]):
        if earlier != prices[-1]:
            return sign(prices[-1] - earlier)
    return 0


def trade_sign(rule, prices, quote):
    """Sign by rule of the last of ``prices``; ``quote`` (bid, ask) strictly before it, or None."""
    p = Fraction(prices[-1])
    tick = tick_rule(prices)
    if rule == "tick":
        return tick
    if quote is None:
        return 0 if rule == "quote" else tick
    bid, ask = Fraction(quote[0]), Fraction(quote[1])
    mid = (bid + ask) / 2
    if rule == "quote":
        return sign(p - mid)
    if rule == "lee_ready":
        return sign(p - mid) or tick
    if rule == "emo":
        return tick if p == bid == ask else 1 if p == ask else -1 if p == bid else tick
    if rule == "clnv":
        if bid == ask or not bid <= p <= ask:
            return tick
        where = (p - bid) / (ask - bid)
        return 1 if where >= Fraction(7, 10) else -1 if where <= Fraction(3, 10) else tick
    raise ValueError(rule)


def micro_price(mid, spread, tick_size, share, table):
    """Mid plus the table's entry for the spread in ticks (nearest, clipped) and the imbalance's bucket."""
    rows, columns = len(table), len(table[0])
    ticks = min(max(math.floor(Fraction(spread, tick_size) + Fraction(1, 2)), 1), rows)
    return mid + table[ticks - 1][min(int(share * columns), columns - 1)]
