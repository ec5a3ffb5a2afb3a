"""The GPU's kernels without a GPU: interpreted against the CPU's bits, and compiled to PTX."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run_module(name: str, argument: int, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", f"tests.agents.kernels.{name}", str(argument)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_the_simulated_gpu_gives_the_cpus_bits(seed):
    done = run_module("simulated_gpu", seed, NUMBA_ENABLE_CUDASIM="1")
    assert done.stdout.strip() == "same bits", done.stderr


@pytest.mark.parametrize("major", [8, 9])
def test_the_kernels_compile_to_ptx_without_a_contracted_product(major):
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed, so there is no NVVM to compile with")
    done = run_module("offline_ptx", major)
    expected = [f"{name} 0 True True" for name in ("advance", "close_base", "close_longer")]
    assert done.stdout.splitlines() == expected, done.stderr
