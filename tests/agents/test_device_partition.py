"""A partition on a GPU gives the bytes of one on the CPU, and either goes on from the other's checkpoint."""

from __future__ import annotations

import pytest

from tests.simulated import said_by

pytestmark = pytest.mark.gpu_path


def test_tables_over_a_data_frame_give_the_values_of_tables_over_arrays() -> None:
    assert said_by("tests.agents.simulated_tables") == "same values"


@pytest.mark.parametrize("lateness_ms", [0, 40])
def test_outputs_and_checkpoints_are_the_cpus_byte_for_byte_however_messages_are_batched(
    lateness_ms: int,
) -> None:
    assert said_by("tests.agents.simulated_partition", lateness_ms) == "same bytes"
