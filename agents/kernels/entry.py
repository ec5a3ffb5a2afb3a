"""Ways in from Python: compiled for one signature, on first use, cached on disk. Imports numba only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import types

from agents.kernels.scalar.target import stamped


def given(dtype: Any) -> Any:
    """A column that is read: declared read-only, as Arrow's are, to which writable ones convert."""
    return types.Array(dtype, 1, "C", readonly=True)


def own(dtype: Any) -> Any:
    """A one-dimensional array that is written."""
    return types.Array(dtype, 1, "C")


def compiled_for(signature: Any, function: Callable[..., Any]) -> Any:
    """``function`` for this signature and no other, with a cache tied to all kernel sources."""
    dispatcher = stamped(numba.njit(nogil=True, cache=True, error_model="numpy")(function))
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher
