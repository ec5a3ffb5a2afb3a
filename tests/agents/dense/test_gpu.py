"""Dense work on a real GPU against the CPU, where there is one."""

import numpy as np
import pytest
import torch

from agents import patterns
from agents.dense import memory
from agents.dense.products import products
from agents.models.network import Network
from agents.portfolio import min_cvar, simulate
from agents.tasks import needs

GPU = "cuda:0"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use"),
]


@pytest.fixture
def history():
    return np.random.default_rng(4).standard_t(5, (2_000, 40)) * 0.01 + 0.0005


def test_products_on_a_gpu_are_numpys_to_rounding(history):
    here, there = products(history), products(history, GPU)
    weight = np.random.default_rng(1).random(len(history))
    np.testing.assert_allclose(there.square(weight), here.square(weight), rtol=1e-11, atol=1e-15)


def test_the_least_cvar_on_a_gpu_is_proven_and_that_of_the_cpu(history):
    there, here = min_cvar(history, device=GPU), min_cvar(history)
    assert there.gap <= 1e-6 * there.objective
    assert there.objective == pytest.approx(here.objective, rel=2e-6)


@pytest.mark.parametrize("generator", ["student_t", "filtered_historical"])
def test_a_seed_means_the_same_scenarios_on_a_gpu(history, generator):
    there, here = (simulate(history, generator, 5_000, seed=1, horizon=3, device=d) for d in (GPU, "cpu"))
    np.testing.assert_allclose(there.paths, here.paths, rtol=1e-9, atol=1e-14)


def test_shapes_found_on_a_gpu_are_the_cpus():
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(size=50_000) * 0.01))
    ours, compiled = patterns.shapes(closes, device=GPU), patterns.shapes(closes)
    assert [(s.kind, s.bars) for s in ours] == [(s.kind, s.bars) for s in compiled]


def test_a_gpu_takes_for_scoring_about_what_was_predicted():
    network, x = Network(8, 64).to(GPU).eval(), torch.zeros(4_000, 60, 8, device=GPU)
    torch.cuda.reset_peak_memory_stats(GPU)
    with torch.inference_mode():
        network(x)
    assert torch.cuda.max_memory_allocated(GPU) <= memory.scoring(4_000, 60, 8, 64)


def test_a_context_takes_no_more_than_was_believed():
    torch.zeros(1, device=GPU)
    products(np.ones((10, 10)), GPU).square(np.ones(10))
    free, total = torch.cuda.mem_get_info(GPU)
    others = torch.cuda.device_memory_used(GPU)
    assert min(total - free, others) - torch.cuda.memory_reserved(GPU) <= needs.CONTEXT
