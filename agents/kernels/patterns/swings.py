"""Swing points, the levels they cluster at, and the triangles they draw. Compiled.

A swing high is a high above those of ``width`` bars before it and not below those of ``width`` bars after it
(Williams' fractal); a swing low likewise. It is known ``width`` bars later.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from agents.kernels.entry import compiled_for, given, own
from agents.kernels.scalar.target import jit, jit_call

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOW, HIGH = 0, 1


def _find(high, low, width, bars, kinds):  # type: ignore[no-untyped-def]
    """Write bar and kind of each swing, in order of bars, a low before a high; returns how many."""
    count = 0
    for t in range(width, len(high) - width):
        if _stands_out(low, t, width, -1.0):
            bars[count], kinds[count] = t, LOW
            count += 1
        if _stands_out(high, t, width, 1.0):
            bars[count], kinds[count] = t, HIGH
            count += 1
    return count


@jit
def _stands_out(values, t, width, sign):  # type: ignore[no-untyped-def]
    """Whether sign·values is highest at ``t`` within ``width``, the first of equals."""
    x = sign * values[t]
    i = 1
    while i <= width and sign * values[t - i] < x and sign * values[t + i] <= x:
        i += 1
    return i > width


def find(high: Floats, low: Floats, width: int) -> tuple[Ints, Ints]:
    """Bars and kinds (LOW, HIGH) of the swings of a series; known ``width`` bars later."""
    bars, kinds = np.empty(2 * len(high), np.int64), np.empty(2 * len(high), np.int64)
    f8, i8 = types.float64, types.int64
    count = _entry("find", _find, i8(given(f8), given(f8), i8, own(i8), own(i8)))(
        high, low, width, bars, kinds
    )
    return bars[:count].copy(), kinds[:count].copy()


def _cluster(prices, tolerance, anchors, order, labels):  # type: ignore[no-untyped-def]
    """Give each price, in turn, the level within ``tolerance`` of it, or found one; returns how many.

    ``anchors`` stay what the founding price was, so that a level cannot wander; ``order`` has them by price.
    """
    count = 0
    for i in range(len(prices)):
        x = prices[i]
        at = _place(anchors, order, count, x)
        nearest, gap = -1, tolerance
        for candidate in range(max(at - 1, 0), min(at + 1, count)):
            away = abs(x / anchors[order[candidate]] - 1.0)
            if away <= gap:
                nearest, gap = order[candidate], away
        if nearest < 0:
            for j in range(count, at, -1):
                order[j] = order[j - 1]
            order[at] = nearest = count
            anchors[count] = x
            count += 1
        labels[i] = nearest
    return count


@jit
def _place(anchors, order, count, x):  # type: ignore[no-untyped-def]
    """First place whose anchor is not below ``x``."""
    begin, end = 0, count
    while begin < end:
        middle = (begin + end) // 2
        if anchors[order[middle]] < x:
            begin = middle + 1
        else:
            end = middle
    return begin


def cluster(prices: Floats, tolerance: float) -> Ints:
    """The level of each price, numbered as they are founded; what comes later changes no label."""
    n = len(prices)
    labels = np.empty(n, np.int64)
    f8, i8 = types.float64, types.int64
    signature = i8(given(f8), f8, own(f8), own(i8), own(i8))
    _entry("cluster", _cluster, signature)(prices, tolerance, np.empty(n), np.empty(n + 1, np.int64), labels)
    return labels


ASCENDING, DESCENDING, SYMMETRIC = range(3)
INTS = 7
"""Of a triangle: kind, swings, numbers of first and last, bar it is known, bar and side of the break-out."""
FLOATS = 6
"""Upper line at the first swing and its slope a bar, the lower one's, apex (bar), mean price."""


def _triangles(  # type: ignore[no-untyped-def]
    high, low, close, bars, kinds, width, limits, ints, floats
):
    """Write triangles of the last ``least`` to ``most`` swings, the most that fit; returns how many.

    ``limits``: least, most, touch, flat, convergence. One begins after the last swing of the one before.
    """
    least, most = int(limits[0]), int(limits[1])
    count, after = 0, -1
    for last in range(least - 1, len(bars)):
        for size in range(min(most, last - after), least - 1, -1):
            first = last - size + 1
            if not _fits(high, low, bars, kinds, first, last, limits, ints[count], floats[count]):
                continue
            known = bars[last] + width
            if _crossed(close, bars[last] + 1, known + 1, bars[first], floats[count], limits[2])[0] >= 0:
                continue
            end = min(len(close), int(min(floats[count, 4], 1e15)) + 1)
            at, side = _crossed(close, known + 1, end, bars[first], floats[count], limits[2])
            ints[count, 1], ints[count, 2], ints[count, 3] = size, first, last
            ints[count, 4], ints[count, 5], ints[count, 6] = known, at, side
            after = last
            count += 1
            break
    return count


@jit_call
def _fits(high, low, bars, kinds, first, last, limits, ints, floats):  # type: ignore[no-untyped-def]
    """Whether two lines through the swings make a triangle; writes its kind and lines."""
    origin = bars[first]
    upper, upper_slope, highs = _line(high, bars, kinds, first, last, HIGH)
    lower, lower_slope, lows = _line(low, bars, kinds, first, last, LOW)
    if highs < 2 or lows < 2:
        return False
    span = float(bars[last] - origin)
    mean = (upper + lower + (upper_slope + lower_slope) * span / 2.0) / 2.0
    wide = upper - lower
    touch, flat = limits[2] * mean, limits[3] * wide
    for i in range(first, last + 1):
        x = bars[i] - origin
        if kinds[i] == HIGH:
            away = high[bars[i]] - (upper + upper_slope * x)
        else:
            away = low[bars[i]] - (lower + lower_slope * x)
        if abs(away) > touch:
            return False
    rise, fall = lower_slope * span, -upper_slope * span
    if rise > flat and abs(fall) <= flat:
        ints[0] = ASCENDING
    elif fall > flat and abs(rise) <= flat:
        ints[0] = DESCENDING
    elif rise > flat and fall > flat:
        ints[0] = SYMMETRIC
    else:
        return False
    narrow = wide - rise - fall
    if not (0.0 < narrow <= limits[4] * wide and wide > 2.0 * touch):
        return False
    floats[0], floats[1], floats[2], floats[3] = upper, upper_slope, lower, lower_slope
    floats[4], floats[5] = origin + wide / (lower_slope - upper_slope), mean
    return True


@jit
def _line(prices, bars, kinds, first, last, kind):  # type: ignore[no-untyped-def]
    """Least-squares line through the swings of a kind: at the first swing's bar, slope, how many."""
    n = 0
    x_sum = y_sum = xx = xy = base = 0.0
    for i in range(first, last + 1):
        if kinds[i] == kind:
            x = float(bars[i] - bars[first])
            if n == 0:
                base = prices[bars[i]]
            y = prices[bars[i]] - base
            n += 1
            x_sum += x
            y_sum += y
            xx += x * x
            xy += x * y
    if n < 2:
        return 0.0, 0.0, n
    slope = (xy - x_sum * y_sum / n) / (xx - x_sum * x_sum / n)
    return base + (y_sum - slope * x_sum) / n, slope, n


@jit_call
def _crossed(close, begin, end, origin, lines, touch):  # type: ignore[no-untyped-def]
    """First bar in [begin, end) that closes outside by more than a touch, and its side; −1 and 0 if none."""
    margin = touch * lines[5]
    for t in range(begin, min(end, len(close))):
        x = t - origin
        if close[t] > lines[0] + lines[1] * x + margin:
            return t, 1
        if close[t] < lines[2] + lines[3] * x - margin:
            return t, -1
    return -1, 0


def triangles(
    high: Floats, low: Floats, close: Floats, bars: Ints, kinds: Ints, width: int, limits: tuple[float, ...]
) -> tuple[Ints, Floats]:
    """Triangles of a series and its swings; columns as INTS and FLOATS say."""
    ints = np.zeros((len(bars) + 1, INTS), np.int64)
    floats = np.zeros((len(bars) + 1, FLOATS))
    f8, i8 = types.float64, types.int64
    prices, swings = (given(f8),) * 3, (given(i8),) * 2
    tables = types.Array(i8, 2, "C"), types.Array(f8, 2, "C")
    loop = _entry("triangles", _triangles, i8(*prices, *swings, i8, given(f8), *tables))
    count = loop(high, low, close, bars, kinds, width, np.array(limits, np.float64), ints, floats)
    return ints[:count].copy(), floats[:count].copy()


_ENTRIES: dict[str, Any] = {}


def _entry(name: str, function: Any, signature: Any) -> Any:
    """A loop, compiled on first use."""
    if name not in _ENTRIES:
        _ENTRIES[name] = compiled_for(signature, function)
    return _ENTRIES[name]
