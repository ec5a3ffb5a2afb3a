"""The scan of a price series for the ten shapes: a window a bar, 64 windows side by side. Compiled.

The windows of a block start a bar after each other, so that bar s of all of them is one stretch of the
series, and the regression runs over windows as fast as over a vector. No sum depends on where in a block, or
in which, a window is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from agents.kernels.entry import compiled_for, given
from agents.kernels.indicators.blocks import side_by_side
from agents.kernels.patterns.shapes import DBOT, DTOP, double, shapes_of_five
from agents.kernels.patterns.smoothing import HALF, LENGTH, WINDOW, derivatives, triangles
from agents.kernels.scalar.target import jit, jit_call

LANES = 64
NOISE = 1e-12
"""A derivative below this share of the window's reach is rounding, and has no sign."""
_CLEAR = 10.0 * NOISE
COLUMNS = 8
"""Of a finding: kind, the bar at which it is known, how many extrema, their bars."""
MOST = 4
"""Shapes that one window can show."""
_LAST = LENGTH - 1
_SLOPES = _LAST + 3  # those that tell an extremum at bar _LAST + 1, which may be moved to _LAST


@jit_call
def choose_bandwidths(  # type: ignore[no-untyped-def]
    prices, start, r, even, odd, errors, total, least, best
):
    """The best bandwidth of each of LANES windows, the smallest of equals; of prices less the first one."""
    stop = len(prices) - WINDOW
    for j in range(HALF):
        for lane in range(LANES):
            at = min(start + lane, stop)
            a, b = prices[at + j] - prices[at], prices[at + WINDOW - 1 - j] - prices[at]
            even[j, lane] = a + b
            odd[j, lane] = a - b
    for number in range(r.shape[0]):
        total[:] = 0.0
        _add_squares(r, number, 0, even, errors, total)
        _add_squares(r, number, 1, odd, errors, total)
        for lane in range(LANES):
            if number == 0 or total[lane] < least[lane]:
                least[lane] = total[lane]
                best[lane] = number


@jit_call
def _add_squares(r, number, part, values, errors, total):  # type: ignore[no-untyped-def]
    """Add the squares of R·values to ``total``, for all lanes."""
    for i in range(HALF):
        row = r[number, part, i]
        factor = row[i]
        for lane in range(LANES):
            errors[lane] = factor * values[i, lane]
        j = i + 1
        while j + 3 < HALF:
            f0, f1, f2, f3 = row[j], row[j + 1], row[j + 2], row[j + 3]
            for lane in range(LANES):
                errors[lane] += (f0 * values[j, lane] + f1 * values[j + 1, lane]) + (
                    f2 * values[j + 2, lane] + f3 * values[j + 3, lane]
                )
            j += 4
        while j < HALF:
            factor = row[j]
            for lane in range(LANES):
                errors[lane] += factor * values[j, lane]
            j += 1
        for lane in range(LANES):
            total[lane] += errors[lane] * errors[lane]


@jit
def slope_at(d, number, bar, x):  # type: ignore[no-untyped-def]
    """m′ at one bar of a window."""
    a = b = 0.0
    for s in range(0, WINDOW, 2):
        a += d[number, s, bar] * x[s]
        b += d[number, s + 1, bar] * x[s + 1]
    return a + b


@jit_call
def extrema(prices, start, d, number, x, slopes, bars, values):  # type: ignore[no-untyped-def]
    """The extrema of a window up to the one whose raw bar is l − 1, if there is one.

    Returns
    -------
    tuple of int, bool
        How many were written to ``bars`` (of the series) and ``values``, 0 when bar l − 1 is none; and
        whether the first is a maximum.
    """
    reach = 0.0
    for s in range(WINDOW):
        x[s] = prices[start + s] - prices[start]
        reach = max(reach, abs(x[s]))
    if _runs_on(d, number, x, _CLEAR * reach):
        return 0, False
    slopes[:] = 0.0
    for s in range(WINDOW):
        for bar in range(_SLOPES):
            slopes[bar] += d[number, s, bar] * x[s]
    count = 0
    first_is_top = False
    sign = 0
    for bar in range(_SLOPES):
        slope = slopes[bar]
        if abs(slope) <= NOISE * reach:
            continue  # keeps the sign before it
        new = 1 if slope > 0.0 else -1
        if new == -sign:
            top = sign > 0
            if count == 0:
                first_is_top = top
            bars[count] = _anchor(prices, start, bar - 1, top)
            values[count] = prices[bars[count]]
            count += 1
            if bars[count - 1] == start + _LAST:
                return count, first_is_top
        sign = new
    return 0, False


@jit
def _runs_on(d, number, x, clear):  # type: ignore[no-untyped-def]
    """Whether the smoothed price certainly has no extremum within a bar of bar l − 1."""
    up = down = True
    for bar in range(_LAST - 1, _SLOPES):
        slope = slope_at(d, number, bar, x)
        up &= slope > clear
        down &= slope < -clear
    return up or down


@jit
def _anchor(prices, start, bar, top):  # type: ignore[no-untyped-def]
    """The raw extreme within a bar of ``bar``, the first of equals."""
    best = start + max(bar - 1, 0)
    for at in range(best + 1, start + bar + 2):
        if (prices[at] > prices[best]) if top else (prices[at] < prices[best]):
            best = at
    return best


def _scan(prices, first, last, r, d, out):  # type: ignore[no-untyped-def]
    """Windows that start at bars ``first`` to ``last`` − 1; rows of COLUMNS to ``out``; returns how many."""
    even, odd = np.empty((HALF, LANES)), np.empty((HALF, LANES))
    errors, total, least = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    best = np.empty(LANES, np.int64)
    x, slopes, values = np.empty(WINDOW), np.empty(_SLOPES), np.empty(WINDOW)
    bars = np.empty(WINDOW, np.int64)
    rows = 0
    for block in range(first, last, LANES):
        choose_bandwidths(prices, block, r, even, odd, errors, total, least, best)
        for lane in range(min(LANES, last - block)):
            start = block + lane
            count, top = extrema(prices, start, d, best[lane], x, slopes, bars, values)
            if count > 0:
                rows = _write(start, count, top, bars, values, out, rows)
    return rows


def _scan_chosen(prices, first, last, chosen, d, out):  # type: ignore[no-untyped-def]
    """The same with the bandwidth of each window given."""
    x, slopes, values = np.empty(WINDOW), np.empty(_SLOPES), np.empty(WINDOW)
    bars = np.empty(WINDOW, np.int64)
    rows = 0
    for start in range(first, last):
        count, top = extrema(prices, start, d, chosen[start], x, slopes, bars, values)
        if count > 0:
            rows = _write(start, count, top, bars, values, out, rows)
    return rows


@jit_call
def _write(start, count, top, bars, values, out, rows):  # type: ignore[no-untyped-def]
    """Add a row for each shape that the window's extrema make."""
    if count >= 5 and in_order(bars, count - 5, count):
        i = count - 5
        first_top = top == (i % 2 == 0)
        found = shapes_of_five(
            values[i], values[i + 1], values[i + 2], values[i + 3], values[i + 4], first_top
        )
        for kind in range(DTOP):
            if found & (1 << kind):
                out[rows, 0], out[rows, 1], out[rows, 2] = kind, start + WINDOW - 1, 5
                for e in range(5):
                    out[rows, 3 + e] = bars[i + e]
                rows += 1
    if double(bars, values, count, top):
        out[rows, 0], out[rows, 1], out[rows, 2] = (DTOP if top else DBOT), start + WINDOW - 1, 2
        out[rows, 3], out[rows, 4] = bars[0], bars[count - 1]
        out[rows, 5:] = -1
        rows += 1
    return rows


@jit
def in_order(bars, first, last):  # type: ignore[no-untyped-def]
    """Whether extrema are still in order of time after they were moved to the raw ones."""
    ordered = True
    for i in range(first + 1, last):
        ordered &= bars[i] > bars[i - 1]
    return ordered


@cache
def _compiled() -> Any:
    f8, i8 = types.float64, types.int64
    matrices = types.Array(f8, 4, "C"), types.Array(f8, 3, "C")
    return compiled_for(i8(given(f8), i8, i8, *matrices, types.Array(i8, 2, "C")), _scan)


@cache
def _compiled_chosen() -> Any:
    f8, i8 = types.float64, types.int64
    tables = types.Array(f8, 3, "C"), types.Array(i8, 2, "C")
    return compiled_for(i8(given(f8), i8, i8, given(i8), *tables), _scan_chosen)


CHUNK = 16_384
"""Windows a part."""


def scan(
    prices: npt.NDArray[np.float64], threads: int = 1, chosen: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """All shapes of a series.

    Parameters
    ----------
    prices
        float64 [bars], positive.
    threads
        How many share the windows; changes no bit.
    chosen
        int64 [windows], the number of each window's bandwidth, where that was computed elsewhere.

    Returns
    -------
    numpy.ndarray
        int64 (findings, COLUMNS) in order of the bar at which they are known, then of kind: kind as in
        ``KINDS``, that bar, number of extrema, their bars, −1 behind.
    """
    windows = len(prices) - WINDOW + 1
    found: dict[int, npt.NDArray[np.int64]] = {}

    def part(first: int) -> Callable[[], None]:
        def compute() -> None:
            last = min(first + CHUNK, windows)
            out = np.empty((MOST * (last - first), COLUMNS), np.int64)
            if chosen is None:
                rows = _compiled()(prices, first, last, triangles(), derivatives(), out)
            else:
                rows = _compiled_chosen()(prices, first, last, chosen, derivatives(), out)
            found[first] = out[:rows].copy()

        return compute

    parts = [part(first) for first in range(0, max(windows, 0), CHUNK)]
    if not parts:
        return np.empty((0, COLUMNS), np.int64)
    side_by_side(parts, threads)
    return np.concatenate([found[first] for first in sorted(found)])
