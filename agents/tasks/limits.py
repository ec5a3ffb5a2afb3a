"""Holding a task to its memory, as far as a process can hold itself.

What is enforced, and what is not:

- *CPU*: ``RLIMIT_DATA``, at what the process has at the start of the task plus the grant. It bounds private
  writable memory: Python's, NumPy's, torch's and Arrow's. Exceeding it fails the allocation, so the task
  sees a ``MemoryError``, and nothing is killed. ``RLIMIT_AS`` is not used, since it counts what is only
  reserved, of which every thread's allocator and CUDA have gigabytes. A new thread's stack counts with 8 MiB.
  Not bounded: shared and mapped files, and each process that the task starts has the same limit again.
- *torch on a GPU*: ``set_per_process_memory_fraction``, on each device.
- *RMM* (cuDF, cuML), when loaded: a limiting resource on each device. torch and RMM have the whole grant
  each.
- Not bounded on a GPU: Numba's and CuPy's own allocations, CUDA's context (300 to 500 MB), libraries'
  workspaces. The device's own measure sees those.
"""

from __future__ import annotations

import importlib
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from agents.loaded import loaded
from agents.tasks.measure import process_memory


@contextmanager
def memory_limit(on_cpu: bool, memory_bytes: int) -> Iterator[None]:
    """Inside the block this process has ``memory_bytes`` more than now, on the CPU or on each GPU."""
    with limit_data(memory_bytes) if on_cpu else limit_gpus(memory_bytes):
        yield


@contextmanager
def limit_data(memory_bytes: int) -> Iterator[None]:
    """Bound private writable memory at what there is now and ``memory_bytes`` more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = process_memory().private_bytes + memory_bytes
    bounds = [bound for bound in (limit, soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def limit_gpus(memory_bytes: int) -> Iterator[None]:
    """Bound torch's allocator and RMM's on every visible device."""
    torch = importlib.import_module("torch")
    ordinals = range(torch.cuda.device_count())
    limit_torch(torch, memory_bytes, ordinals)
    rmm: Any = loaded("rmm")
    before = limit_rmm(rmm, memory_bytes, ordinals) if rmm is not None else []
    try:
        yield
    finally:
        for ordinal, pool in before:
            rmm.mr.set_per_device_resource(ordinal, pool)


def limit_torch(torch: Any, memory_bytes: int, ordinals: Sequence[int]) -> None:
    """Bound torch's caching allocator on each device; it raises ``OutOfMemoryError`` beyond."""
    for ordinal in ordinals:
        total = torch.cuda.get_device_properties(ordinal).total_memory
        torch.cuda.set_per_process_memory_fraction(min(memory_bytes / total, 1.0), ordinal)


def limit_rmm(rmm: Any, memory_bytes: int, ordinals: Sequence[int]) -> list[tuple[int, Any]]:
    """Put a limit before RMM's resource of each device; returns what was there, to be put back."""
    before = [(ordinal, rmm.mr.get_per_device_resource(ordinal)) for ordinal in ordinals]
    for ordinal, pool in before:
        limited = rmm.mr.LimitingResourceAdaptor(pool, allocation_limit=memory_bytes)
        rmm.mr.set_per_device_resource(ordinal, limited)
    return before
