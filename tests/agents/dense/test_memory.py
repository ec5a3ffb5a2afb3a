"""Predicted peaks against what torch really allocates on the CPU for the same work."""

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from agents.dense import memory
from agents.dense.products import products
from agents.kernels.patterns.smoothing import WINDOW
from agents.models.network import Network, bytes_a_row
from agents.patterns import regression
from agents.tasks import needs

pytestmark = pytest.mark.gpu_path

# What torch's tracker sees is exact; oneDNN's LSTM takes workspaces inside one call.
EXACT, LIBRARY = 0.02, 0.5


def measured(work) -> int:
    """The most bytes that torch's allocator had given out at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    steps = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return int(np.cumsum(steps).max())


def scored():
    network, x = Network(8, 64).eval(), torch.zeros(1_000, 60, 8)
    with torch.inference_mode():
        network(x)


def trained():
    network, data = Network(8, 64), torch.zeros(2_000, 60, 8)
    optimizer = torch.optim.AdamW(network.parameters())
    for _ in range(2):
        network(data[torch.arange(512)]).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def squared():
    returns = np.zeros((20_000, 50))
    kept = products(returns.copy(), "cpu:0")
    torch.zeros(20_000, 50, dtype=torch.float64), torch.zeros(20_000, 51, dtype=torch.float64)
    kept.square(np.ones(20_000))


def regressed():
    factors = torch.zeros(regression.triangles().shape, dtype=torch.float64)
    regression.least_errors(torch.zeros(5_000 + WINDOW - 1, dtype=torch.float64), factors)


@pytest.mark.parametrize(
    ("predicted", "work", "tolerance"),
    [
        (lambda: memory.scoring(1_000, 60, 8, 64), scored, LIBRARY),
        (lambda: memory.training(2_000, 60, 8, 64, 512), trained, LIBRARY),
        (lambda: memory.pattern_regression(5_000), regressed, EXACT),
        (
            lambda: memory.scenarios(5_000, 4, 100),
            lambda: (
                torch.zeros(5_000, 4, 100, dtype=torch.float64) @ torch.zeros(100, 100, dtype=torch.float64)
            ),
            EXACT,
        ),
    ],
    ids=["scoring", "training", "patterns", "scenarios"],
)
def test_a_predicted_peak_is_the_measured_one(predicted, work, tolerance):
    assert predicted() == pytest.approx(measured(work), rel=tolerance)


@pytest.mark.parametrize(
    ("need", "predicted"),
    [
        (needs.SCORING, lambda: memory.scoring(4_000, 60, 8, 64)),
        (needs.TRAINING, lambda: memory.training(500_000, 30, 8, 64, 512)),
        (needs.PORTFOLIO, lambda: memory.least_cvar(100_000, 500)),
        (needs.PATTERNS, lambda: memory.pattern_regression(100_000)),
    ],
    ids=["scoring", "training", "portfolio", "patterns"],
)
def test_what_a_task_asks_for_by_default_is_what_was_predicted(need, predicted):
    assert need.predicted == predicted()
    assert need.memory_bytes >= need.predicted + needs.CONTEXT
    assert need.memory_bytes >= need.host


def test_scenarios_and_their_optimum_follow_each_other_and_the_larger_counts():
    assert memory.scenarios(100_000, 1, 500) < needs.PORTFOLIO.predicted


def test_batches_by_free_memory_take_no_more_than_was_predicted_a_row():
    assert memory.scoring(1_000, 60, 8, 64) / 1_000 == pytest.approx(bytes_a_row(60, 8, 64), rel=0.5)
    assert memory.pattern_regression(1_000) / 1_000 == pytest.approx(regression.BYTES_A_WINDOW, rel=0.5)
