"""Devices: what this version computes on, and what is said of the others."""

from __future__ import annotations

import pytest

from agents.frames import choose_device
from schemas.errors import SettingsError


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_path_everything_runs_on_the_cpu(device: str) -> None:
    assert choose_device(device) == "cpu"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:0", "computes on the CPU only"),
        ("GPU-1234", "computes on the CPU only"),
        ("tpu", "is unknown"),
    ],
)
def test_a_device_that_cannot_be_used_is_refused_instead_of_replaced(device: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        choose_device(device)
