"""Many symbols at once: fresh over whole histories, or on from a state that is kept. NumPy and threads.

Symbols do not touch each other, so groups of them go to threads as they are, and the bits do not depend
on how many there are. (Loops release the interpreter's lock; numba's own ``prange`` would give the same
for five times the compile time an indicator.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from agents.kernels.indicators.loops import PARAMETERS, compiled
from agents.kernels.indicators.table import Indicator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Work = Callable[[], None]

WORTH_A_THREAD = 20_000
"""Bars below which a thread would cost more than it saves."""


def words(row: Indicator, parameters: tuple[float, ...]) -> int:
    """State words of a symbol, at least 1."""
    return max(1, row.words(*_sizes(row, parameters)))


def lookback(row: Indicator, parameters: tuple[float, ...]) -> int:
    """Leading bars without a value."""
    return row.lookback(*_sizes(row, parameters))


def _sizes(row: Indicator, parameters: tuple[float, ...]) -> list[float]:
    pairs = zip(row.parameters, parameters, strict=True)
    return [int(value) if parameter.whole else value for parameter, value in pairs]


def proceed(
    row: Indicator,
    parameters: tuple[float, ...],
    state: Floats,
    rows: Ints,
    begins: Ints,
    ends: Ints,
    columns: tuple[Floats, ...],
    out: Floats,
) -> None:
    """Take each group's bars from where its record stands.

    Parameters
    ----------
    row, parameters
        The indicator.
    state
        float64 [records, words], C order; changed.
    rows
        int64 [groups], the record of each group; each at most once.
    begins, ends
        int64 [groups], the bars of each, in order of time, as positions in the columns.
    columns
        float64 [bars] each, in the order of ``row.inputs``.
    out
        float64 [outputs, bars], written where bars are taken.
    """
    _loop(row)(state, state.view(np.int64), rows, begins, ends, False, _padded(parameters), out, *columns)


def histories(
    row: Indicator,
    parameters: tuple[float, ...],
    begins: Ints,
    ends: Ints,
    columns: tuple[Floats, ...],
    out: Floats,
    threads: int = 1,
) -> list[Work]:
    """Each group from its beginning, as work for at most ``threads`` threads; rest as in :func:`proceed`."""
    loop, padded, size = _loop(row), _padded(parameters), words(row, parameters)

    def part(first: int, last: int) -> Work:
        def compute() -> None:
            state = np.zeros((1, size))
            rows = np.zeros(last - first, np.int64)
            groups = rows, begins[first:last], ends[first:last]
            loop(state, state.view(np.int64), *groups, True, padded, out, *columns)

        return compute

    return [part(first, last) for first, last in pairwise(shares(ends - begins, threads))]


def shares(bars: Ints, threads: int) -> list[int]:
    """Edges that cut groups into at most ``threads`` runs of about equally many bars."""
    total = int(bars.sum())
    threads = max(1, min(threads, len(bars), math.ceil(total / WORTH_A_THREAD)))
    wanted = np.arange(1, threads) * (total / threads)
    inner = np.searchsorted(np.cumsum(bars), wanted) + 1
    return sorted({0, *(int(edge) for edge in inner), len(bars)})


def side_by_side(parts: list[Work], threads: int) -> None:
    """Do all parts, and raise what one of them raised."""
    if threads == 1 or len(parts) < 2:
        for part in parts:
            part()
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(part) for part in parts]:
            done.result()


def _loop(row: Indicator) -> Callable[..., None]:
    loop: Callable[..., None] = compiled(row.name, row.step, len(row.inputs))
    return loop


def _padded(parameters: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float(value) for value in parameters) + (0.0,) * (PARAMETERS - len(parameters))
