"""What the scalar functions are compiled for: here the CPU. Imports numba only.

``fastmath`` stays off: LLVM then neither reorders float additions nor contracts a multiply and an
add into one rounding, so that a result does not depend on the vector width or the model of the CPU.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def _stamp() -> tuple[str, int]:
    """Names, times and sizes of all kernel sources, the form in which numba stamps a cached function."""
    digest = hashlib.sha256(numba.__version__.encode())
    sources = sorted(Path(__file__).parent.parent.rglob("*.py"))
    for source in sources:
        stat = source.stat()
        digest.update(f"{source.name}:{stat.st_mtime_ns}:{stat.st_size};".encode())
    return digest.hexdigest(), len(sources)


_STAMP = _stamp()

# Inner functions are never called from Python; making the way in would take half of the compile time.
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def jit(function: Callable[..., Any]) -> Any:
    """Compile for the CPU, inlined into the caller.

    A call passes each array as nine words on the stack, which would cost more than most of these
    functions do.
    """
    return numba.njit(nogil=True, error_model="numpy", forceinline=True, **_INNER)(function)


def jit_call(function: Callable[..., Any]) -> Any:
    """Compile for the CPU, called: for what is rare or large."""
    return numba.njit(nogil=True, error_model="numpy", **_INNER)(function)


def stamped(compiled: Any) -> Any:
    """Tie a cached function to the sources of all kernels instead of its own file alone.

    A cached function holds the functions it calls and the constants of the layout inside it, while
    numba watches only the file it stands in: without this a change of ``maths.py`` would go unseen.
    """
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:
        cache_file._source_stamp = _STAMP
    return compiled
