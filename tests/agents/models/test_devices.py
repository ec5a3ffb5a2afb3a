"""The LSTM by torch on a device: ``cpu:0`` against the fast path, and shapes on ``meta``."""

import numpy as np
import pytest
import torch

from agents.dense import device as devices
from agents.models import network as networks
from agents.models.graph import Graph
from agents.models.network import Network, Scorer, new_network
from agents.models.training import Trainer, Training
from schemas.errors import SettingsError

pytestmark = pytest.mark.gpu_path

TOLERANCE = 1e-5


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((50, 20, 8), np.float32)


def test_logits_on_a_device_are_the_cpus(x, monkeypatch):
    here = Scorer(new_network(8, 16, 1)).logits(x)
    monkeypatch.setattr(networks, "rows_that_fit", lambda size, device: 17)
    there = Scorer(new_network(8, 16, 1), "cpu:0").logits(x)
    assert (there.shape, there.dtype) == ((50, 3), np.float32)
    np.testing.assert_allclose(there, here, atol=TOLERANCE)


needs_bfloat16 = pytest.mark.skipif(not devices.cpu_has_bfloat16(), reason="no bfloat16 in this processor")


@needs_bfloat16
def test_bfloat16_is_a_choice_and_is_coarser(x):
    exact = Scorer(new_network(8, 16, 1), "cpu:0").logits(x)
    coarse = Scorer(new_network(8, 16, 1), "cpu:0", "bfloat16").logits(x)
    assert coarse.dtype == np.float32
    assert TOLERANCE < np.abs(coarse - exact).max() < 0.1


def test_a_network_has_these_shapes_on_meta():
    network = Network(8, 16).to("meta")
    logits = network(torch.empty(50, 20, 8, device="meta"))
    assert (logits.shape, logits.dtype, logits.device.type) == ((50, 3), torch.float32, "meta")
    logits.sum().backward()
    assert {name: tuple(weight.grad.shape) for name, weight in network.named_parameters()} == {
        "lstm.weight_ih_l0": (64, 8),
        "lstm.weight_hh_l0": (64, 16),
        "lstm.bias_ih_l0": (64,),
        "lstm.bias_hh_l0": (64,),
        "head.weight": (3, 16),
        "head.bias": (3,),
    }


def trained(x, device="cpu", **options):
    y = (x[:, -1, 0] > 0).astype(np.int64) * 2
    training = Training(hidden=8, max_epochs=3, batch=16, **options)
    return Trainer(x[:40], y[:40], x[40:], y[40:], training, 1, device).run()


@pytest.mark.parametrize("on_device", [True, False])
def test_training_on_a_device_is_the_cpus(x, on_device, monkeypatch):
    here = trained(x)
    monkeypatch.setattr(
        devices, "free_bytes", lambda device: 10**9 if on_device else 0
    )  # else the samples stay on the host
    there = trained(x, "cpu:0")
    np.testing.assert_allclose(there.losses, here.losses, atol=TOLERANCE)


def test_a_processor_without_bfloat16_says_so_before_any_work(x, monkeypatch):
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: False)
    with pytest.raises(SettingsError, match="cpu:0: this processor has no bfloat16"):
        Scorer(new_network(8, 16, 1), "cpu:0", "bfloat16")
    with pytest.raises(SettingsError, match="cpu: this processor has no bfloat16"):
        trained(x, "cpu", exactness="bfloat16")


@needs_bfloat16
def test_training_in_bfloat16_is_a_choice_and_still_learns(x):
    losses = trained(x, "cpu:0", exactness="bfloat16").losses
    assert losses[-1] < losses[0]
    assert losses != trained(x, "cpu:0").losses


def test_a_graph_needs_a_device_that_has_them(x):
    with pytest.raises(SettingsError, match="cpu: has no CUDA graphs"):
        Graph(Network(8, 16), torch.from_numpy(x))


@pytest.mark.gpu
@pytest.mark.parametrize("graph", [False, True])
def test_logits_on_a_gpu_are_the_cpus(x, graph):
    if not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use")
    here = Scorer(new_network(8, 16, 1)).logits(x)
    scorer = Scorer(new_network(8, 16, 1), "cuda:0", graph=graph)
    np.testing.assert_allclose(scorer.logits(x), here, atol=TOLERANCE)
    np.testing.assert_allclose(scorer.logits(-x), Scorer(new_network(8, 16, 1)).logits(-x), atol=TOLERANCE)


@pytest.mark.gpu
def test_training_on_a_gpu_is_the_cpus(x):
    if not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use")
    np.testing.assert_allclose(trained(x, "cuda:0").losses, trained(x).losses, atol=1e-3)
