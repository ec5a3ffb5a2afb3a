"""The CPU pool within the limits of control groups, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from orchestrator.discovery import CpuPool, cpu_pool
from orchestrator.discovery.cpu import CgroupLimits, cgroup_limits

GIB = 1 << 30


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def own(folder: Path, text: str) -> Path:
    (folder / "own").write_text(text)
    return folder / "own"


def test_without_limits_the_pool_is_the_machine(tmp_path: Path) -> None:
    pool = cpu_pool("here", tmp_path, own(tmp_path, "0::/\n"))
    memory = psutil.virtual_memory()
    cores = len(psutil.Process().cpu_affinity())
    assert (pool.gpu_uuid, pool.slots, pool.memory_bytes, pool.limited_by) == (
        "CPU-here",
        cores,
        memory.total,
        "",
    )
    assert 0 < pool.free_bytes <= pool.memory_bytes


def test_the_narrowest_group_around_us_counts(tmp_path: Path) -> None:
    groups = tree(
        tmp_path,
        {
            "pod/memory.max": f"{4 * GIB}\n",
            "pod/memory.current": f"{3 * GIB}\n",
            "pod/memory.stat": f"anon 1\ninactive_file {GIB // 2}\nactive_file {GIB // 2}\n",
            "pod/cpu.max": "150000 100000\n",
            "pod/box/memory.max": f"{2 * GIB}\n",
            "pod/box/memory.current": f"{GIB // 2}\n",
            "pod/box/cpu.max": "max 100000\n",
        },
    )
    limits = cgroup_limits(groups, own(tmp_path, "0::/pod/box\n"))
    assert limits == CgroupLimits(2 * GIB, 3 * GIB // 2, 1.5)


def test_groups_of_the_first_version_are_read_too(tmp_path: Path) -> None:
    groups = tree(
        tmp_path,
        {
            "memory/box/memory.limit_in_bytes": f"{GIB}\n",
            "memory/box/memory.usage_in_bytes": f"{2 * GIB}\n",
            "memory/memory.limit_in_bytes": f"{(1 << 63) - 4096}\n",
            "cpu/box/cpu.cfs_quota_us": "50000\n",
            "cpu/box/cpu.cfs_period_us": "100000\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
        },
    )
    found = own(tmp_path, "4:memory:/box\n3:cpu,cpuacct:/box\n2:pids:/\n")
    assert cgroup_limits(groups, found) == CgroupLimits(GIB, 0, 0.5)
    pool = cpu_pool("here", groups, found)
    assert pool == CpuPool("CPU-here", 1, GIB, 0, pool.utilisation, "control groups: memory, cores")


@pytest.mark.parametrize("text", ["", "garbage without colons"])
def test_a_system_without_groups_has_no_limits(tmp_path: Path, text: str) -> None:
    assert cgroup_limits(tmp_path, own(tmp_path, text)) == CgroupLimits()
    assert cgroup_limits(tmp_path, tmp_path / "absent") == CgroupLimits()
