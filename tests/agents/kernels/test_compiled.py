"""What compiling promises: exact rounding, a cache that works and notices every change, read-only columns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np

from agents.kernels import KernelConfig, drive, run
from agents.kernels.scalar.target import jit
from tests.agents.kernels.compare import fresh
from tests.agents.kernels.tapes import seeded_tape
from tests.oracles.ticks import columns

ROOT = Path(__file__).parents[3]


@jit
def product_minus(a, b, c):
    return a * b - c


def test_a_product_is_rounded_before_it_is_added():
    """Fused, (1 + 2^-30)² − (1 + 2^-29) would be 2^-60."""

    @numba.njit
    def call(a, b, c):
        return product_minus(a, b, c)

    a = 1.0 + 2.0**-30
    assert call(a, a, 1.0 + 2.0**-29) == 0.0


REPORT = """
import numpy as np
from agents.kernels import hawkes
from agents.kernels import KernelConfig, reorder
compiled = hawkes._compiled()
out = np.empty(2)
compiled(np.array([0.0, 1.0]), 1.0, 1.0, out)
reorder._compiled()
stats = [f._compiled().stats for f in (hawkes, reorder)]
print(sum(map(len, [s.cache_hits for s in stats])), sum(map(len, [s.cache_misses for s in stats])), out[1])
"""


def report(folder: Path) -> str:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", REPORT],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_second_process_compiles_nothing_until_any_kernel_source_changes(tmp_path):
    """Also a source that the cached function only calls: numba alone would not see that."""
    shutil.copytree(ROOT / "agents" / "kernels", tmp_path / "agents" / "kernels")
    shutil.copy(ROOT / "agents" / "__init__.py", tmp_path / "agents" / "__init__.py")
    assert report(tmp_path) == f"0 2 {np.exp(-1.0)}"
    assert report(tmp_path) == f"2 0 {np.exp(-1.0)}"
    maths = tmp_path / "agents" / "kernels" / "scalar" / "maths.py"
    maths.write_text(maths.read_text().replace("if not x < _UNDERFLOW:", "if x < _UNDERFLOW:"))
    assert report(tmp_path) == "0 2 0.0"


TOGETHER = """
import sys
from agents.kernels import hawkes
print("ready", flush=True)
sys.stdin.readline()
print(len(hawkes._compiled().stats.cache_misses))
"""


def test_of_processes_that_need_a_kernel_at_once_one_compiles_it(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", TOGETHER]
    processes = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(3)
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(process.communicate(timeout=120)[0] for process in processes) == ["0\n", "0\n", "1\n"]


def test_read_only_and_writable_columns_run_the_same_compiled_loop():
    ticks = columns(seeded_tape(300))
    writable = run(fresh(KernelConfig(), 2), **ticks).n_processed
    for column in ticks.values():
        column.flags.writeable = False
    assert run(fresh(KernelConfig(), 2), **ticks).n_processed == writable
    assert len(drive.compiled().signatures) == 1
