"""Arrays by their addresses: one table in place of twenty arguments. Imports NumPy and numba.

Each array argument costs a compiled call about 0.14 µs, which over the state's and the result's
arrays would be a twentieth of a frame of 1,000 ticks. A table of (address, rows, columns) is made
when the arrays are and read by the compiled code. Who makes a table keeps its arrays alive.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from agents.kernels.scalar.target import jit


def addresses(arrays: tuple[Any, ...]) -> npt.NDArray[np.int64]:
    """The table of some C-ordered arrays; a one-dimensional one is a single row."""
    entries = [(array.ctypes.data, *(1, *array.shape)[-2:]) for array in arrays]
    return np.array(entries, np.int64).ravel()


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing_context: Any, address: Any) -> Any:
    del typing_context

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@jit
def floats(table, number):  # type: ignore[no-untyped-def]
    """Array ``number`` of the table as float64[rows, columns]."""
    at = 3 * number
    return numba.carray(_pointer(table[at]), (table[at + 1], table[at + 2]), np.float64)


@jit
def ints(table, number):  # type: ignore[no-untyped-def]
    """Array ``number`` of the table as int64[rows, columns]."""
    at = 3 * number
    return numba.carray(_pointer(table[at]), (table[at + 1], table[at + 2]), np.int64)


@jit
def flat_floats(table, number):  # type: ignore[no-untyped-def]
    """Array ``number`` of the table as float64[columns]."""
    return numba.carray(_pointer(table[3 * number]), (table[3 * number + 2],), np.float64)


@jit
def flat_ints(table, number):  # type: ignore[no-untyped-def]
    """Array ``number`` of the table as int64[columns]."""
    return numba.carray(_pointer(table[3 * number]), (table[3 * number + 2],), np.int64)


@jit
def flat_bytes(table, number):  # type: ignore[no-untyped-def]
    """Array ``number`` of the table as uint8[columns]."""
    return numba.carray(_pointer(table[3 * number]), (table[3 * number + 2],), np.uint8)
