"""The GPU's kernels without a GPU: interpreted against the CPU's bits."""

from __future__ import annotations

import pytest

from tests.agents.kernels.recorded import DATA, USDM
from tests.simulated import said_by

pytestmark = pytest.mark.gpu_path


@pytest.mark.parametrize("what", ["frames", "batches", "blocks"])
def test_the_simulated_gpu_gives_the_cpus_bits(what: str) -> None:
    assert said_by("tests.agents.kernels.simulated_gpu", what, 1) == "same bits"


def test_the_simulated_gpu_gives_the_cpus_bits_on_recorded_ticks() -> None:
    if not (DATA / f"{USDM}.gz").exists():
        pytest.skip("the recorded file is not here")
    assert said_by("tests.agents.kernels.simulated_gpu", "recorded", 0) == "same bits"
