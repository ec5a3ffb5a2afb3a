"""Ways in from Python: compiled for one signature, on first use, cached on disk. Imports numba only."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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


def compiled_for(signature: Any, function: Callable[..., Any], *, nogil: bool = True) -> Any:
    """``function`` for this signature and no other, with a cache tied to all kernel sources.

    Parameters
    ----------
    nogil
        Whether other threads may run meanwhile. Not for what takes microseconds: to get the interpreter's
        lock back can take longer than that.
    """
    dispatcher = stamped(numba.njit(nogil=nogil, cache=True, error_model="numpy")(function))
    with compiling_alone(dispatcher):
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


@contextmanager
def compiling_alone(dispatcher: Any) -> Iterator[None]:
    """Compile a cached function inside: of processes that start at once one does, and the others load it.

    They wait for its lock, a file beside its place in the cache; where none can be made, nobody waits.
    """
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    with ExitStack() as stack:
        if cache_file is not None:
            with suppress(OSError):
                lock = stack.enter_context(open(f"{cache_file._index_path}.lock", "ab"))
                fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        yield
