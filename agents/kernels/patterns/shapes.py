"""The ten shapes of Lo, Mamaysky and Wang (2000), definitions 1 to 5, on consecutive extrema. Compiled.

An extremum is a bar and its raw price. Prices are positive; "within x of their average" is relative.
"""

from __future__ import annotations

from agents.kernels.scalar.target import jit

KINDS = ("HS", "IHS", "BTOP", "BBOT", "TTOP", "TBOT", "RTOP", "RBOT", "DTOP", "DBOT")
HS, IHS, BTOP, BBOT, TTOP, TBOT, RTOP, RBOT, DTOP, DBOT = range(10)

SHOULDERS = 0.015
RECTANGLE = 0.0075
DOUBLE = 0.015
APART = 22
"""Bars that the two tops of a double top are more than apart."""


@jit
def near(a, b, share):  # type: ignore[no-untyped-def]
    """Whether two prices are within ``share`` of their average."""
    average = (a + b) / 2.0
    return max(a, b) - average <= share * average and average - min(a, b) <= share * average


@jit
def near_three(a, b, c, share):  # type: ignore[no-untyped-def]
    """Whether three prices are within ``share`` of their average."""
    average = (a + b + c) / 3.0
    highest, lowest = max(a, max(b, c)), min(a, min(b, c))
    return highest - average <= share * average and average - lowest <= share * average


@jit
def shapes_of_five(e1, e2, e3, e4, e5, top):  # type: ignore[no-untyped-def]
    """Bits of the shapes that five extrema in a row make; ``top``: the first is a maximum.

    Bit i stands for ``KINDS[i]``.
    """
    found = 0
    sides = near(e1, e5, SHOULDERS) and near(e2, e4, SHOULDERS)
    flat_odd, flat_even = near_three(e1, e3, e5, RECTANGLE), near(e2, e4, RECTANGLE)
    if top:
        if e3 > e1 and e3 > e5 and sides:
            found |= 1 << HS
        if e1 < e3 < e5 and e2 > e4:
            found |= 1 << BTOP
        if e1 > e3 > e5 and e2 < e4:
            found |= 1 << TTOP
        if flat_odd and flat_even and min(e1, min(e3, e5)) > max(e2, e4):
            found |= 1 << RTOP
    else:
        if e3 < e1 and e3 < e5 and sides:
            found |= 1 << IHS
        if e1 > e3 > e5 and e2 < e4:
            found |= 1 << BBOT
        if e1 < e3 < e5 and e2 > e4:
            found |= 1 << TBOT
        if flat_odd and flat_even and min(e2, e4) > max(e1, max(e3, e5)):
            found |= 1 << RBOT
    return found


@jit
def double(bars, prices, count, top):  # type: ignore[no-untyped-def]
    """Whether the first and the last of ``count`` extrema make a double top (or bottom).

    Both are of one kind, and the last is the highest (lowest) of those of its kind after the first.
    """
    last = count - 1
    if last < 2 or last % 2 == 1 or bars[last] - bars[0] <= APART:
        return False
    for i in range(2, last, 2):
        if (prices[i] > prices[last]) if top else (prices[i] < prices[last]):
            return False
    return near(prices[0], prices[last], DOUBLE)
