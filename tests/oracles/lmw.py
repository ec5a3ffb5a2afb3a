"""Lo, Mamaysky and Wang (2000) as printed: sums over a window, a bar at a time, plain lists.

The candidates for h_CV are given; all else follows sections II.C and III.A of the paper.
"""

from __future__ import annotations

import math

L, D = 35, 3


def kernel(u: float, h: float) -> float:
    return math.exp(-(u * u) / (2 * h * h))


def smoothed(p: list[float], tau: int, h: float, without: int | None = None) -> float:
    rows = [s for s in range(len(p)) if s != without]
    return math.fsum(kernel(tau - s, h) * p[s] for s in rows) / math.fsum(kernel(tau - s, h) for s in rows)


def cross_validation(p: list[float], h: float) -> float:
    return math.fsum((p[t] - smoothed(p, t, h, without=t)) ** 2 for t in range(len(p))) / len(p)


def slope(p: list[float], tau: int, h: float) -> float:
    """m′(τ), by the quotient rule."""
    k = [kernel(tau - s, h) for s in range(len(p))]
    dk = [-(tau - s) / (h * h) * k[s] for s in range(len(p))]
    total, d_total = math.fsum(k), math.fsum(dk)
    top = math.fsum(k[s] * p[s] for s in range(len(p)))
    d_top = math.fsum(dk[s] * p[s] for s in range(len(p)))
    return (d_top * total - top * d_total) / total**2


def extrema(p: list[float], candidates: list[float]) -> list[tuple[int, int, bool]]:
    """(bar of the smoothed extremum, bar of the raw one, whether a maximum) in a window."""
    level = [x - p[0] for x in p]
    h = 0.3 * min(candidates, key=lambda candidate: cross_validation(level, candidate))
    reach = max(abs(x) for x in level)
    signs, last = [], 0
    for tau in range(len(p)):
        m = slope(level, tau, h)
        last = last if abs(m) <= 1e-12 * reach else (1 if m > 0 else -1)
        signs.append(last)
    found = []
    for tau in range(L + 1):  # one at bar l may be moved to bar l − 1
        if signs[tau] != 0 and signs[tau] == -signs[tau + 1]:
            near = [t for t in (tau - 1, tau, tau + 1) if 0 <= t < len(p)]
            is_max = signs[tau] > 0
            pick = max(near, key=lambda t: p[t]) if is_max else min(near, key=lambda t: p[t])
            found.append((tau, pick, is_max))
    return found


def within(values: list[float], share: float) -> bool:
    average = sum(values) / len(values)
    return all(abs(v - average) <= share * average for v in values)


def names(e: list[float], e1_is_max: bool) -> list[str]:
    """The shapes of definitions 1 to 4 that five extrema make."""
    e1, e2, e3, e4, e5 = e
    sides = within([e1, e5], 0.015) and within([e2, e4], 0.015)
    rectangle = within([e1, e3, e5], 0.0075) and within([e2, e4], 0.0075)
    rules = {
        "HS": e1_is_max and e3 > e1 and e3 > e5 and sides,
        "IHS": not e1_is_max and e3 < e1 and e3 < e5 and sides,
        "BTOP": e1_is_max and e1 < e3 < e5 and e2 > e4,
        "BBOT": not e1_is_max and e1 > e3 > e5 and e2 < e4,
        "TTOP": e1_is_max and e1 > e3 > e5 and e2 < e4,
        "TBOT": not e1_is_max and e1 < e3 < e5 and e2 > e4,
        "RTOP": e1_is_max and rectangle and min(e1, e3, e5) > max(e2, e4),
        "RBOT": not e1_is_max and rectangle and min(e2, e4) > max(e1, e3, e5),
    }
    return [name for name, holds in rules.items() if holds]


def double(p: list[float], found: list[tuple[int, int, bool]]) -> str | None:
    """Definition 5 on the extrema of a window up to the completing one."""
    (_, first, first_max), (_, last, last_max) = found[0], found[-1]
    later = [p[bar] for _, bar, is_max in found[1:] if is_max == first_max]
    if (
        len(found) < 3
        or first_max != last_max
        or last - first <= 22
        or not within([p[first], p[last]], 0.015)
    ):
        return None
    if p[last] != (max(later) if first_max else min(later)):
        return None
    return "DTOP" if first_max else "DBOT"


def scan(prices: list[float], candidates: list[float]) -> list[tuple[str, int, tuple[int, ...]]]:
    """(shape, bar at which it is known, bars of its extrema)."""
    out: list[tuple[str, int, tuple[int, ...]]] = []
    for t in range(len(prices) - L - D + 1):
        p = prices[t : t + L + D]
        found = extrema(p, candidates)
        ends = [i for i, (_, bar, _) in enumerate(found) if bar == L - 1]
        if not ends:
            continue
        found = found[: ends[0] + 1]
        five = found[-5:]
        bars = [bar for _, bar, _ in five]
        if len(five) == 5 and bars == sorted(set(bars)):
            shapes = names([p[bar] for bar in bars], five[0][2])
            out += [(name, t + L + D - 1, tuple(t + bar for bar in bars)) for name in shapes]
        twice = double(p, found)
        if twice:
            out.append((twice, t + L + D - 1, (t + found[0][1], t + found[-1][1])))
    return out
