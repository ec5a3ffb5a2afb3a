"""From an exception that an agent let out to the failure that its sender reads.

Libraries say "out of memory" in many ways. They are told by class name, module and text, so that none of
them is imported here.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.tasks.agent import TaskCancelled
from schemas.errors import TapestreamError, TaskError
from schemas.tasks import Failure

MAX_TEXT = 2_000

LESS_MEMORY = "ask for more memory_required, or for less work in one task"


@dataclass(frozen=True, slots=True)
class Sign:
    """How a library says that memory has run out; empty means any.

    Parameters
    ----------
    module
        First part of the class's module.
    name
        Of the class, or of one that it derives from.
    text
        Part of the message.
    """

    module: str = ""
    name: str = ""
    text: str = ""

    def fits(self, exc: BaseException) -> bool:
        """Whether this exception is of that kind."""
        kinds = [kind for kind in type(exc).__mro__ if kind.__module__.partition(".")[0] == self.module]
        return (
            (not self.module or bool(kinds))
            and (not self.name or any(kind.__name__ == self.name for kind in kinds))
            and self.text.lower() in str(exc).lower()
        )


OUT_OF_MEMORY = (
    Sign("builtins", "MemoryError"),  # Python, NumPy, Arrow, and RMM through Cython's std::bad_alloc
    Sign("torch", "OutOfMemoryError"),
    Sign("torch", "AcceleratorError", "out of memory"),
    Sign("cupy", "OutOfMemoryError"),
    Sign("rmm", "", "out_of_memory"),
    Sign("rmm", "", "out of memory"),
    Sign("rmm", "", "bad_alloc"),
    Sign("numba", "CudaAPIError", "OUT_OF_MEMORY"),
    Sign("builtins", "RuntimeError", "DefaultCPUAllocator"),  # torch on the CPU
    Sign("builtins", "RuntimeError", "CUDA out of memory"),
    Sign("builtins", "RuntimeError", "CUDA error: out of memory"),
    Sign("builtins", "RuntimeError", "CUBLAS_STATUS_ALLOC_FAILED"),
    Sign("builtins", "RuntimeError", "cudaErrorMemoryAllocation"),
    Sign("cupy_backends", "CUDARuntimeError", "cudaErrorMemoryAllocation"),
    Sign("builtins", "RuntimeError", "std::bad_alloc"),  # cuDF
)


def ran_out_of_memory(exc: BaseException) -> bool:
    """Whether this exception, one that it was raised from or one of its group says so."""
    return any(sign.fits(link) for link in _chain(exc) for sign in OUT_OF_MEMORY)


def failure_of(exc: BaseException) -> Failure:
    """The failure that an exception amounts to; the exception itself is not kept."""
    if isinstance(exc, TaskError):
        return Failure.model_validate(
            {"code": exc.code, "problem": _cut(exc.problem), "remedy": exc.remedy, "field": exc.field}
        )
    if isinstance(exc, TaskCancelled | asyncio.CancelledError):
        return Failure(code="CANCELLED", problem="it ended when asked to")
    if ran_out_of_memory(exc):
        return Failure(code="OUT_OF_MEMORY", problem=_cut(f"{_said(exc)}{_where(exc)}"), remedy=LESS_MEMORY)
    if isinstance(exc, TapestreamError):
        return Failure(code="TASK_ERROR", problem=_cut(exc.problem), remedy=exc.remedy)
    return Failure(
        code="TASK_ERROR",
        problem=_cut(f"{_said(exc)}{_where(exc)}"),
        remedy="the traceback is in the agent's log",
    )


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """The exception, those of its group, and what each was explicitly raised from."""
    seen: set[int] = set()
    waiting = [exc]
    while waiting:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting.extend(link.exceptions)
        if link.__cause__ is not None:
            waiting.append(link.__cause__)


def _said(exc: BaseException) -> str:
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _where(exc: BaseException) -> str:
    """The innermost line of the agent's own, by file name alone: no path of this machine leaves it."""
    frames = traceback.extract_tb(exc.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
