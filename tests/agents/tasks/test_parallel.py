"""One device or several: the same numbers, the same order, the same gradients."""

from __future__ import annotations

import threading
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from agents.tasks.parallel import (
    Stages,
    balanced_stages,
    data_parallel,
    map_on_devices,
    pipeline,
    split_evenly,
)

TWO = ("cpu", "cpu")


def model(seed: int = 0, width: int = 16) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = (nn.Linear(8, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 3))
    return nn.Sequential(*layers).double()


def batch(rows: int) -> torch.Tensor:
    return torch.randn(rows, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(rows))


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


@given(items=st.lists(st.integers(), max_size=40), parts=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_pieces_are_in_order_full_and_even(items, parts):
    pieces = split_evenly(items, parts)
    assert [item for piece in pieces for item in piece] == items
    assert len(pieces) == min(parts, len(items))
    sizes = [len(piece) for piece in pieces]
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_parts_run_at_once_and_their_results_keep_the_order():
    meeting = threading.Barrier(3, timeout=20)  # breaks unless all three are there together

    def run(part: str, device: str) -> tuple[str, str]:
        meeting.wait()
        return part, device

    devices = ("cpu", "cpu:0", "cpu")
    assert map_on_devices(run, ["a", "b", "c"], devices) == [("a", "cpu"), ("b", "cpu:0"), ("c", "cpu")]


def test_more_parts_than_devices_are_refused():
    with pytest.raises(ValueError, match="3 parts for 2 devices"):
        map_on_devices(lambda part, device: part, [1, 2, 3], TWO)


def test_the_first_failing_part_is_what_the_caller_sees():
    def run(part: int, device: str) -> int:
        raise KeyError(part)

    with pytest.raises(KeyError, match="1"):
        map_on_devices(run, [1, 2], TWO)


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_data_parallel_gives_what_one_device_gives(rows):
    module, rows_in = model(), batch(rows)
    expected = module(rows_in)
    found = data_parallel(module, rows_in, TWO)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_data_parallel_gradients_reach_the_module():
    alone, split, rows_in = model(), model(), batch(33)
    alone(rows_in).square().sum().backward()
    data_parallel(split, rows_in, TWO).square().sum().backward()
    torch.testing.assert_close(gradients(split), gradients(alone), rtol=1e-12, atol=1e-12)


def test_data_parallel_writes_no_buffer_of_the_module():
    module = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4)).double().train()
    before = {name: value.clone() for name, value in module.named_buffers()}
    data_parallel(module, batch(20), TWO)
    torch.testing.assert_close(dict(module.named_buffers()), before, rtol=0, atol=0)


def test_without_gradients_there_are_none_on_any_device():
    with torch.inference_mode():
        found = data_parallel(model(), batch(6), TWO)
        staged = pipeline(Stages(balanced_stages(model(), 2), TWO), batch(6), 3)
    assert (found.requires_grad, staged.requires_grad) == (False, False)
    with torch.no_grad():
        assert not data_parallel(model(), batch(6), TWO).requires_grad


def test_model_parallel_gives_the_bits_of_one_device():
    rows_in = batch(50)
    expected = model()(rows_in)
    assert torch.equal(Stages(balanced_stages(model(), 2), TWO)(rows_in), expected)
    assert torch.equal(Stages(balanced_stages(model(), 5), ("cpu",) * 5)(rows_in), expected)


@pytest.mark.parametrize(("rows", "micro"), [(1, 4), (5, 2), (16, 16), (64, 5), (64, 1)])
def test_a_pipeline_gives_what_one_device_gives(rows, micro):
    rows_in = batch(rows)
    found = pipeline(Stages(balanced_stages(model(), 3), ("cpu",) * 3), rows_in, micro)
    torch.testing.assert_close(found, model()(rows_in), rtol=1e-13, atol=1e-13)


def test_pipeline_gradients_are_those_of_one_device():
    alone, stages, rows_in = model(), Stages(balanced_stages(model(), 2), TWO), batch(40)
    alone(rows_in).square().sum().backward()
    pipeline(stages, rows_in, 4).square().sum().backward()
    found = [parameter.grad for parameter in stages.parameters()]
    torch.testing.assert_close(found, [p.grad for p in alone.parameters()], rtol=1e-12, atol=1e-12)


class Meets(nn.Module):
    """A stage that waits for another one to be at work on another micro-batch at the same time."""

    meeting: ClassVar[threading.Barrier]

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.meeting.wait()
        return rows


def test_the_stages_of_a_pipeline_work_at_the_same_time():
    # Of two micro-batches, the second is in the first stage while the first is in the second one.
    class First(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            if rows[0, 0] == 1:
                Meets.meeting.wait()
            return rows

    class Second(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            if rows[0, 0] == 0:
                Meets.meeting.wait()
            return rows

    Meets.meeting = threading.Barrier(2, timeout=20)
    rows_in = torch.tensor([[0.0], [1.0]])
    assert torch.equal(pipeline(Stages([First(), Second()], TWO), rows_in, 2), rows_in)


class Fails(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"rows from {rows[0, 0]:g}")


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_failing_stage_ends_the_pipeline_with_the_first_failure(at):
    stages: list[nn.Module] = [nn.Identity(), nn.Identity(), nn.Identity()]
    stages[at] = Fails()
    with pytest.raises(RuntimeError, match="rows from 0"):
        pipeline(Stages(stages, ("cpu",) * 3), torch.arange(24.0)[:, None], 12)


def test_stages_are_balanced_by_bytes():
    layers = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(10, 10), nn.Linear(10, 10))
    assert [len(stage) for stage in balanced_stages(layers, 2)] == [1, 3]
    assert [len(stage) for stage in balanced_stages(layers, 4)] == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="4 layers cannot be 5 stages"):
        balanced_stages(layers, 5)


def test_stages_and_devices_must_be_as_many():
    with pytest.raises(ValueError, match="2 stages for 1 devices"):
        Stages([nn.Identity(), nn.Identity()], ["cpu"])
