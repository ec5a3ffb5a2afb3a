"""The kernels on a real GPU, where there is one."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("seed", range(5))
def test_a_gpu_gives_the_cpus_bits(seed):
    cuda = pytest.importorskip("numba.cuda")
    if not cuda.is_available():
        pytest.skip("no GPU that numba can use")
    from tests.agents.kernels.simulated_gpu import assert_same_bits

    assert_same_bits(seed, 20_000)
