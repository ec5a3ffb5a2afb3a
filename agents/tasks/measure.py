"""How much memory this process uses, by the kernel's own account.

Linux only, as are the devices that tasks run on.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.allocators import cuda_torch
from agents.heap import give_back
from agents.loaded import loaded

KIB = 1_024
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Of this process, in bytes.

    Attributes
    ----------
    rss_bytes
        Resident now.
    peak_bytes
        Most that was resident since the last :func:`reset_peak`, or ever.
    private_bytes
        Writable memory of its own, resident or not: what ``RLIMIT_DATA`` bounds.
    """

    rss_bytes: int
    peak_bytes: int
    private_bytes: int


def process_memory() -> ProcessMemory:
    """Look now."""
    lines = (PROC / "self/status").read_text().splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in map(_parted, lines) if name.startswith("Vm")}
    return ProcessMemory(kib["VmRSS"] * KIB, kib["VmHWM"] * KIB, kib["VmData"] * KIB)


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def reset_peak() -> bool:
    """Let the peak begin anew; False where the kernel does not allow it."""
    try:
        (PROC / "self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_growth(before: ProcessMemory, was_reset: bool, now: ProcessMemory) -> int | None:
    """Bytes by which the resident memory grew at most since ``before``; None when that cannot be told."""
    if not was_reset and now.peak_bytes <= before.peak_bytes:
        return None  # the peak is an earlier task's
    return max(now.peak_bytes - before.rss_bytes, 0)


def give_memory_back() -> None:
    """Collect garbage and return what the allocators keep for later, as far as they are loaded."""
    gc.collect()
    for torch in _cuda_torch():
        torch.cuda.empty_cache()
    _free_what_numba_has_put_off()
    give_back()


def _free_what_numba_has_put_off() -> None:
    """Numba frees device memory in batches, later; asking must not start CUDA, which may have failed to."""
    numba_cuda: Any = loaded("numba.cuda")
    module: Any = loaded("numba.cuda.cudadrv.driver")
    if numba_cuda is None or module is None:
        return
    if not module.driver.is_initialized or module.driver.initialization_error:
        return
    with suppress(module.CudaAPIError):  # a context that a task has broken goes with its process
        numba_cuda.current_context().deallocations.clear()


def held_bytes(on_cpu: bool) -> int | None:
    """What this process holds on its device: resident memory, or what torch has; None if unknown."""
    if on_cpu:
        return process_memory().rss_bytes
    return gpu_kept_bytes() if any(True for _ in _cuda_torch()) else None


def spill_cudf(on: bool) -> bool:
    """Whether cuDF is loaded; if so it spills from now on, or not, and what it holds goes to the host now."""
    cudf: Any = loaded("cudf")
    if cudf is None:
        return False
    if bool(cudf.get_option("spill")) != on:
        cudf.set_option("spill", on)
    if on:
        manager = sys.modules["cudf.core.buffer.spill_manager"].get_global_manager()
        manager.spill_to_device_limit(0)
    return True


def settle() -> None:
    """What is loaded now stays: collecting garbage after each task need not look at it, and is quick."""
    gc.collect()
    gc.freeze()


def unsettle() -> None:
    """What was settled may be garbage now."""
    gc.unfreeze()


def reset_gpu_peak() -> None:
    """Let torch's peak begin anew."""
    for torch in _cuda_torch():
        for ordinal in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(ordinal)


def gpu_peak_bytes() -> int | None:
    """Most that torch's allocator gave out on one device; None when it is not at work."""
    peaks = [
        torch.cuda.max_memory_allocated(ordinal)
        for torch in _cuda_torch()
        for ordinal in range(torch.cuda.device_count())
    ]
    return max(peaks, default=None)


def gpu_kept_bytes() -> int:
    """What torch's allocator holds on all devices, given out or not."""
    return sum(
        torch.cuda.memory_reserved(ordinal)
        for torch in _cuda_torch()
        for ordinal in range(torch.cuda.device_count())
    )


def _cuda_torch() -> Iterator[Any]:
    """torch, if it is loaded and has a GPU in use; asking must not start CUDA."""
    torch = cuda_torch()
    if torch is not None:
        yield torch


def oom_kills(proc: Path = PROC, cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """How often the kernel has killed for want of memory: in our control group, else on the machine.

    Returns
    -------
    int or None
        A count that only rises; None where nothing tells it.
    """
    for path, name in _counters(proc, cgroups):
        with suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                found, _, count = line.partition(" ")
                if found == name:
                    return int(count)
    return None


def _counters(proc: Path, cgroups: Path) -> Iterator[tuple[Path, str]]:
    groups = ""
    with suppress(OSError):
        groups = (proc / "self/cgroup").read_text()
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if "memory" in controllers.split(","):
            yield cgroups / "memory" / inside / "memory.oom_control", "oom_kill"
        if not controllers and inside:
            yield cgroups / inside / "memory.events", "oom_kill"
    yield proc / "vmstat", "oom_kill"


def prefer_to_be_killed() -> None:
    """When the machine runs out of memory, let the kernel take a task and not the agent or the log."""
    with suppress(OSError):
        (PROC / "self/oom_score_adj").write_text("500")


def end_now(code: int) -> None:
    """End this process without further ado, its output written."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
