"""Benchmarks with a device, small, on ``cpu:0``, which goes the way of a GPU."""

import pytest

from bench import lstm, patterns, portfolio
from schemas.errors import SettingsError
from tapestream.commands.bench import measure
from tests.simulated import said_by

pytestmark = pytest.mark.gpu_path

FIGURES = {"device", "cpu_s", "device_s", "times_the_cpu"}


def test_scoring_is_measured_on_the_cpu_and_beside_it_on_the_device():
    figures = lstm.run(repeats=1, device="cpu:0")
    assert figures.keys() == {"name", "symbols", "steps", "largest_difference", *FIGURES}
    assert figures["largest_difference"] < 1e-5


def test_portfolios_are_measured_in_both_sizes():
    figures = portfolio.run(scenarios=500, assets=5, large=(1_000, 10), device="cpu:0")
    assert figures.keys() == {"name", "cvar", "large"}
    assert figures["large"].keys() == {"scenarios", "assets", "relative_gap", *FIGURES}


def test_the_scan_for_patterns_is_measured():
    figures = patterns.run(points=2_000, repeats=1, device="cpu:0")
    assert figures.keys() == {"name", "points", *FIGURES}


def test_a_benchmark_without_a_device_refuses_one():
    with pytest.raises(SettingsError, match="fold: takes no device"):
        measure("fold", "cuda:0")


def test_the_kernels_are_measured_on_a_simulated_gpu():
    said = said_by("tests.bench.simulated_kernel")
    assert said == "{'symbols': 3, 'batch': 100, 'ticks': 100} True"
