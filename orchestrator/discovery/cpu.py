"""The CPU as a device: slots for tasks and bytes for them, within what this process is allowed to use.

Memory and cores are those of the machine or of the control groups around this process, whichever is less:
in a container the machine's size is not ours.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from schemas.devices import cpu_pool_uuid

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class CpuPool:
    """The CPU of this host, as one device.

    Attributes
    ----------
    gpu_uuid
        ``CPU-<host>``: the pool's identity where devices are told apart.
    slots
        Tasks that may run at once: whole cores that we may use, at least one.
    limited_by
        What makes it smaller than the machine, for people; empty when nothing does.
    """

    gpu_uuid: str
    slots: int
    memory_bytes: int
    free_bytes: int
    utilisation: float | None
    limited_by: str = ""


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    """What control groups allow: None where they set no limit."""

    memory_bytes: int | None = None
    free_bytes: int | None = None
    cores: float | None = None


def cpu_pool(host: str | None = None, cgroups: Path = CGROUPS, own_cgroups: Path = OWN_CGROUPS) -> CpuPool:
    """Measure the pool now; utilisation is since the call before, None the first time."""
    limits = cgroup_limits(cgroups, own_cgroups)
    memory = psutil.virtual_memory()
    cores = float(_our_cores())
    smaller = [
        name
        for name, limit, whole in (
            ("memory", limits.memory_bytes, memory.total),
            ("cores", limits.cores, cores),
        )
        if limit is not None and limit < whole
    ]
    total = min(memory.total, limits.memory_bytes or memory.total)
    free = memory.available if limits.free_bytes is None else min(memory.available, limits.free_bytes)
    return CpuPool(
        gpu_uuid=cpu_pool_uuid(host or socket.gethostname()),
        slots=max(1, math.floor(min(cores, limits.cores or cores))),
        memory_bytes=total,
        free_bytes=min(total, free),
        utilisation=psutil.cpu_percent() / 100,
        limited_by=f"control groups: {', '.join(smaller)}" if smaller else "",
    )


def cgroup_limits(cgroups: Path, own_cgroups: Path) -> CgroupLimits:
    """The narrowest limits of the groups that this process is in and of those around them.

    Parameters
    ----------
    cgroups
        Where the groups' files are, version 1 or 2.
    own_cgroups
        The file that says in which groups we are.
    """
    memory, free, cores = [], [], []
    for folder in _groups(cgroups, own_cgroups):
        limit, used = _memory(folder)
        if limit is not None:
            memory.append(limit)
            free.append(max(0, limit - used))
        quota = _cores(folder)
        if quota is not None:
            cores.append(quota)
    return CgroupLimits(min(memory, default=None), min(free, default=None), min(cores, default=None))


def _groups(cgroups: Path, own_cgroups: Path) -> Iterator[Path]:
    """Each group around us, from ours outwards; some may not be visible from inside a container."""
    try:
        lines = own_cgroups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        for root in [cgroups / name for name in controllers.split(",")] if controllers else [cgroups]:
            group = root / path.lstrip("/")
            while group != root.parent:
                yield group
                group = group.parent


def _memory(group: Path) -> tuple[int | None, int]:
    """The limit, and what of it cannot be given back."""
    for limit_file, usage_file, prefix in (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        limit = _number(group / limit_file)
        if limit is not None and limit < 1 << 60:  # version 1 says "none" as a number
            words = _words(group / "memory.stat")
            # Pages of files that were read or written lately are given back too, when memory is needed.
            dropped = sum(words.get(f"{prefix}{age}_file", 0) for age in ("inactive", "active"))
            return limit, max(0, (_number(group / usage_file) or 0) - dropped)
    return None, 0


def _cores(group: Path) -> float | None:
    words = _text(group / "cpu.max").split()
    quota = int(words[0]) if len(words) == 2 and words[0] != "max" else _number(group / "cpu.cfs_quota_us")
    period = int(words[1]) if len(words) == 2 else _number(group / "cpu.cfs_period_us")
    return quota / period if quota is not None and quota > 0 and period else None


def _our_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _words(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
