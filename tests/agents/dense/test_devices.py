"""The path that a GPU takes, on ``cpu:0`` against NumPy and compiled code, and its shapes on ``meta``."""

import numpy as np
import pytest
import torch

from agents import patterns
from agents.dense import device as devices
from agents.dense.products import products, weighted_square
from agents.kernels.patterns.scan import scan
from agents.kernels.patterns.smoothing import BANDWIDTHS, HALF, WINDOW
from agents.patterns.regression import BYTES_A_WINDOW, bandwidths, least_errors
from agents.portfolio import cvar_frontier, min_cvar, optimise, simulate

pytestmark = pytest.mark.gpu_path

TORCH = "cpu:0"
ROUNDING = 1e-12


@pytest.fixture
def history():
    rng = np.random.default_rng(4)
    return rng.standard_t(5, (300, 12)) * 0.01 + 0.0005


def test_products_are_numpys_to_rounding():
    rng = np.random.default_rng(1)
    matrix, x, v, weight = (
        rng.normal(size=(200, 7)),
        rng.normal(size=7),
        rng.normal(size=200),
        rng.random(200),
    )
    ours, theirs = products(matrix, TORCH), products(matrix)
    np.testing.assert_allclose(ours.times(x), theirs.times(x), rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(ours.onto(v), theirs.onto(v), rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(ours.square(weight), theirs.square(weight), rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("generator", ["gaussian", "student_t", "block_bootstrap", "filtered_historical"])
def test_a_seed_means_the_same_scenarios_on_every_device(history, generator):
    there = simulate(history, generator, 500, seed=3, horizon=4, device=TORCH)
    here = simulate(history, generator, 500, seed=3, horizon=4)
    np.testing.assert_allclose(there.paths, here.paths, rtol=1e-10, atol=1e-15)
    assert there.parameters == here.parameters


def test_the_least_cvar_on_a_device_is_proven_and_that_of_the_cpu(history):
    there, here = min_cvar(history, 0.9, device=TORCH), min_cvar(history, 0.9)
    assert there.gap <= 1e-6 * there.objective
    assert there.objective == pytest.approx(here.objective, rel=2e-6)
    np.testing.assert_allclose(there.weights, here.weights, atol=1e-3)


def test_a_frontier_on_a_device_has_the_cpus_risks(history):
    there, here = (cvar_frontier(history, 0.9, points=4, device=device) for device in (TORCH, "cpu"))
    np.testing.assert_allclose(there.risks, here.risks, rtol=5e-6)


def test_a_request_is_done_on_the_device_that_it_was_granted(history):
    request = {
        "objective": "min_cvar",
        "returns": history.tolist(),
        "scenarios": {"generator": "student_t", "count": 2_000, "seed": 1},
    }
    there, here = optimise(request, TORCH), optimise(request)
    assert there.portfolios[0].objective == pytest.approx(here.portfolios[0].objective, rel=2e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_products_of_matrices_find_the_shapes_of_the_compiled_regression(seed, monkeypatch):
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(size=4_000) * 0.01))
    monkeypatch.setattr("agents.patterns.regression.rows_that_fit", lambda size, device: 1_000)
    np.testing.assert_array_equal(scan(closes, chosen=bandwidths(closes, TORCH)), scan(closes))
    ours, compiled = patterns.shapes(closes, device=TORCH), patterns.shapes(closes)
    assert len(compiled) > 50
    assert [(s.kind, s.bars) for s in ours] == [(s.kind, s.bars) for s in compiled]


def test_the_regression_has_these_shapes_on_meta():
    closes = torch.empty(1_000, dtype=torch.float64, device="meta")
    factors = torch.empty(len(BANDWIDTHS), 2, HALF, HALF, dtype=torch.float64, device="meta")
    found = least_errors(closes, factors)
    assert (found.shape, found.dtype, found.device.type) == ((1_000 - WINDOW + 1,), torch.int64, "meta")


def test_a_weighted_square_has_these_shapes_on_meta():
    matrix, root = (torch.empty(*shape, dtype=torch.float64, device="meta") for shape in ((50, 3), (50,)))
    found = weighted_square(matrix, root)
    assert (found.shape, found.dtype) == ((3, 3), torch.float64)


def test_a_batch_is_half_of_what_is_free_and_never_nothing(monkeypatch):
    monkeypatch.setattr(devices, "free_bytes", lambda device: 10_000 * BYTES_A_WINDOW)
    assert devices.rows_that_fit(BYTES_A_WINDOW, TORCH) == 5_000
    assert devices.rows_that_fit(10**12, TORCH) == 1


@pytest.mark.parametrize(("fraction", "free"), [(1.0, 1_100), (0.1, 300), (0.01, 0)])
def test_free_memory_of_a_gpu_counts_what_torch_holds_and_ends_at_what_was_granted(
    monkeypatch, fraction, free
):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000, 5_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: fraction)
    assert devices.free_bytes("cuda:0") == free


@pytest.mark.parametrize(("name", "tf32", "cast"), [("float32", 0, 0), ("tf32", 1, 0), ("bfloat16", 0, 1)])
def test_products_are_only_as_inexact_as_was_chosen(name, tf32, cast):
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with devices.precision(name, TORCH):
        found = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        assert found == (bool(tf32),) * 2
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if cast else torch.float32)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
