"""A step looped over the bars of many symbols. Compiled by indicator, on first use, cached on disk.

The loops differ in nothing but the number of columns that they read. Each is a template, whose
global ``step`` is replaced by the indicator's: a closure over it would do the same but could not be cached.
"""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import Any

from numba import types

from agents.kernels.entry import compiled_for, given

PARAMETERS = 5
"""Numbers that every step is given; an indicator with fewer parameters ignores the rest."""


def step(*_: Any) -> tuple[float, ...]:
    """Stands where an indicator's step will."""
    raise NotImplementedError


def _one(f_all, k_all, rows, begins, ends, fresh, p, out, a):  # type: ignore[no-untyped-def]
    for group in range(len(rows)):
        f, k = f_all[rows[group]], k_all[rows[group]]
        if fresh:
            f[:] = 0.0
        for t in range(begins[group], ends[group]):
            values = step(f, k, p, a[t])
            for column in range(len(values)):
                out[column, t] = values[column]


def _two(f_all, k_all, rows, begins, ends, fresh, p, out, a, b):  # type: ignore[no-untyped-def]
    for group in range(len(rows)):
        f, k = f_all[rows[group]], k_all[rows[group]]
        if fresh:
            f[:] = 0.0
        for t in range(begins[group], ends[group]):
            values = step(f, k, p, a[t], b[t])
            for column in range(len(values)):
                out[column, t] = values[column]


def _three(f_all, k_all, rows, begins, ends, fresh, p, out, a, b, c):  # type: ignore[no-untyped-def]
    for group in range(len(rows)):
        f, k = f_all[rows[group]], k_all[rows[group]]
        if fresh:
            f[:] = 0.0
        for t in range(begins[group], ends[group]):
            values = step(f, k, p, a[t], b[t], c[t])
            for column in range(len(values)):
                out[column, t] = values[column]


def _four(f_all, k_all, rows, begins, ends, fresh, p, out, a, b, c, d):  # type: ignore[no-untyped-def]
    for group in range(len(rows)):
        f, k = f_all[rows[group]], k_all[rows[group]]
        if fresh:
            f[:] = 0.0
        for t in range(begins[group], ends[group]):
            values = step(f, k, p, a[t], b[t], c[t], d[t])
            for column in range(len(values)):
                out[column, t] = values[column]


_TEMPLATES = (_one, _two, _three, _four)


@cache
def compiled(name: str, step: Any, inputs: int) -> Any:
    """The loop of one indicator.

    Parameters
    ----------
    name
        Tells the loops apart in numba's cache.
    step
        ``step(f, k, p, *values of one bar) -> tuple of outputs``.
    inputs
        How many columns the step reads, 1 to 4.

    Returns
    -------
    Any
        ``loop(f_all, k_all, rows, begins, ends, fresh, p, out, *columns)``: records float64 and int64
        [records, words], one memory; int64 [groups] the record of each group and the bars it
        takes; whether records are zeroed first; parameters; float64 [outputs, bars]; float64 [bars] each.
    """
    template = _TEMPLATES[inputs - 1]
    label = f"loop_{name}"
    loop = FunctionType(template.__code__, {**template.__globals__, "step": step}, label)
    loop.__qualname__, loop.__module__ = label, __name__
    i8, f8 = types.int64, types.float64
    state = types.Array(f8, 2, "C"), types.Array(i8, 2, "C")
    groups = (given(i8),) * 3
    columns = (given(f8),) * inputs
    signature = types.void(
        *state, *groups, types.boolean, types.UniTuple(f8, PARAMETERS), types.Array(f8, 2, "C"), *columns
    )
    return compiled_for(signature, loop)
