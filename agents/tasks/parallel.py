"""Several devices for one task: data parallel, model parallel, pipeline parallel. Called by agents.

The devices are those of the grant, ``task.torch_devices``; ``["cpu", "cpu"]`` works as well, and gives what
one device gives: the same bits where the same shapes are computed, else float rounding, since a matrix
product of fewer rows may add in another order. Gradients flow as on one device.

torch's own parts are used where they work on every device: micro-batches are cut and joined by
``torch.distributed.pipelining.microbatch``, replicas are run by ``torch.func.functional_call``. Its
``nn.parallel.parallel_apply`` refuses to work without an accelerator, and its pipeline schedules want a
process and a rank a stage, which a task that is one process has not.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.pipelining.microbatch import (
    TensorChunkSpec,
    merge_chunks,
    split_args_kwargs_into_chunks,
)

T = TypeVar("T")


def split_evenly(items: Sequence[T], parts: int) -> list[Sequence[T]]:
    """Cut a list into at most ``parts`` neighbouring pieces, none empty, sizes differing by one at most."""
    n = min(parts, len(items))
    edges = [len(items) * k // n for k in range(n + 1)] if n else [0]
    return [items[start:end] for start, end in pairwise(edges)]


def map_on_devices(run: Callable[[T, str], Any], parts: Sequence[T], devices: Sequence[str]) -> list[Any]:
    """``run(part, device)`` for each part at once, part k on device k; the results in the parts' order.

    A thread a device: torch lets go of the interpreter while it computes. Whether gradients are kept is as
    in the caller's thread.

    Raises
    ------
    ValueError
        When there are more parts than devices.
    BaseException
        The first part's, in order, when any raises; the others have ended by then.
    """
    if len(parts) > len(devices):
        raise ValueError(f"{len(parts)} parts for {len(devices)} devices")
    mode = _grad_mode()
    with ThreadPoolExecutor(max(len(parts), 1), "device") as pool:

        def on(part: T, device: str) -> Any:
            with mode(), _current(device):
                return run(part, device)

        futures = [pool.submit(on, part, device) for part, device in zip(parts, devices, strict=False)]
    return [future.result() for future in futures]


def data_parallel(module: nn.Module, batch: Tensor, devices: Sequence[str]) -> Tensor:
    """The module applied to a batch that is split over the devices.

    Parameters
    ----------
    module
        Its parameters may be on any device; gradients reach them there. Its buffers are copied: what a
        forward pass writes to them (running means of a batch norm in training) is lost.
    batch
        (n, …); split along the first dimension, in order.

    Returns
    -------
    Tensor
        (n, …), on the first device.
    """
    parts = _chunks(batch, min(len(devices), max(len(batch), 1)))

    def run(part: Tensor, device: str) -> Tensor:
        moved = {name: value.to(device) for name, value in module.named_parameters()}
        moved |= {name: value.detach().clone().to(device) for name, value in module.named_buffers()}
        found: Tensor = torch.func.functional_call(_shell(module), moved, (part.to(device),))
        return found.to(devices[0])

    return _join(map_on_devices(run, parts, devices))


def balanced_stages(layers: nn.Sequential, stages: int) -> list[nn.Sequential]:
    """Cut a sequence of layers into neighbouring stages of about the same parameter bytes.

    Raises
    ------
    ValueError
        When there are fewer layers than stages.
    """
    if not 1 <= stages <= len(layers):
        raise ValueError(f"{len(layers)} layers cannot be {stages} stages")
    sizes = [sum(p.numel() * p.element_size() for p in layer.parameters()) + 1 for layer in layers]
    cuts = [0]
    for stage in range(1, stages):
        target = sum(sizes) * stage / stages
        choices = range(cuts[-1] + 1, len(sizes) - (stages - stage) + 1)
        cuts.append(min(choices, key=lambda cut: abs(sum(sizes[:cut]) - target)))
    edges = [*cuts, len(sizes)]
    return [layers[start:end] for start, end in pairwise(edges)]


class Stages(nn.Module):
    """Model parallel: stages of one model, each on its device; what one gives is moved to the next.

    The stages are moved, not copied: their parameters live on the devices from now on, so a model that is
    too large for one device fits on several, and an optimizer finds them by ``parameters()``.

    Parameters
    ----------
    stages
        In order; the output of one is the input of the next.
    devices
        As many.
    """

    def __init__(self, stages: Sequence[nn.Module], devices: Sequence[str]) -> None:
        super().__init__()
        if len(stages) != len(devices):
            raise ValueError(f"{len(stages)} stages for {len(devices)} devices")
        self.stages = nn.ModuleList(stage.to(device) for stage, device in zip(stages, devices, strict=True))
        self.devices = list(devices)

    def forward(self, batch: Tensor) -> Tensor:
        """One stage after the other; (n, …) in, the last stage's output on the last device."""
        for number in range(len(self.devices)):
            batch = self.run_stage(number, batch)
        return batch

    def run_stage(self, number: int, batch: Tensor) -> Tensor:
        """One stage, on its device."""
        found: Tensor = self.stages[number](batch.to(self.devices[number]))
        return found


def pipeline(stages: Stages, batch: Tensor, micro_batches: int) -> Tensor:
    """Pipeline parallel: micro-batches flow through the stages, which work at the same time.

    Parameters
    ----------
    batch
        (n, …); cut along the first dimension into at most ``micro_batches`` pieces, in order.

    Returns
    -------
    Tensor
        (n, …), as ``stages(batch)`` gives it, for modules that treat rows one by one.

    Raises
    ------
    BaseException
        What the first failing micro-batch raised; all have ended by then.
    """
    parts = _chunks(batch, max(1, min(micro_batches, len(batch))))
    last = len(stages.devices) - 1
    # No more are under way than keep every stage busy, so that a slow last stage piles nothing up before it.
    room = threading.Semaphore(len(stages.devices) + 1)
    mode = _grad_mode()

    def step(number: int, coming: Future[Tensor]) -> Tensor:
        if number == 0:
            room.acquire()
        try:
            with mode(), _current(stages.devices[number]):
                return stages.run_stage(number, coming.result())
        finally:
            if number == last:
                room.release()

    with ExitStack() as pools:
        waiting = [_known(part) for part in parts]
        for number in range(last + 1):
            # One thread a stage takes them in order, each waiting for the stage before.
            pool = pools.enter_context(ThreadPoolExecutor(1, f"stage-{number}"))
            waiting = [pool.submit(step, number, coming) for coming in waiting]
    return _join([done.result() for done in waiting])


def _known(part: Tensor) -> Future[Tensor]:
    future: Future[Tensor] = Future()
    future.set_result(part)
    return future


def _shell(module: nn.Module) -> nn.Module:
    """The module's structure, a copy of its own that shares every tensor: threads must not share a module."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, dict(shared))


_ALONG_ROWS = TensorChunkSpec(0)  # type: ignore[no-untyped-call]


def _chunks(batch: Tensor, parts: int) -> list[Tensor]:
    cut, _ = split_args_kwargs_into_chunks((batch,), None, parts)
    return [part for (part,) in cut]


def _join(parts: list[Tensor]) -> Tensor:
    joined: Tensor = merge_chunks(parts, _ALONG_ROWS)
    return joined


def _grad_mode() -> Callable[[], Any]:
    """The caller's way with gradients, for other threads, each of which has its own."""
    inference, grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    @contextmanager
    def mode() -> Iterator[None]:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad and not inference):
            yield

    return mode


@contextmanager
def _current(device: str) -> Iterator[None]:
    """Kernels that do not name a device start on this one."""
    if torch.device(device).type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        yield
