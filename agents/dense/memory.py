"""Peak memory of dense work, predicted without doing it: on tensors that have shapes and no contents.

torch's tracker follows every tensor that the work holds. It does not see what a library takes inside one
call, so the LSTM is written here in plain operations, which keep what cuDNN and oneDNN must keep too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from agents.dense.products import weighted_square
from agents.kernels.patterns.smoothing import BANDWIDTHS, HALF, WINDOW
from agents.patterns.regression import least_errors

_EXACT = torch.float64


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that the tensors of ``work`` take at once; it must make all of them itself."""
    with FakeTensorMode():
        tracker = MemTracker()
        with tracker:
            kept = work()
        del kept
    return sum(int(device["Total"]) for device in tracker.get_tracker_snapshot("peak").values())


def scoring(rows: int, window: int, features: int, hidden: int) -> int:
    """One batch through the LSTM, float32."""

    def work() -> object:
        with torch.no_grad():
            return _lstm(torch.empty(rows, window, features), _weights(features, hidden))

    return peak_bytes(work)


def training(samples: int, window: int, features: int, hidden: int, batch: int) -> int:
    """All samples on the device, and two steps of AdamW."""

    def work() -> object:
        data = torch.empty(samples, window, features)
        weights = [weight.requires_grad_() for weight in _weights(features, hidden)]
        optimizer = torch.optim.AdamW(weights)
        for _ in range(2):
            found = _lstm(data[:batch] + 0.0, weights)  # rows are gathered: a copy
            found.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return data

    return peak_bytes(work)


def least_cvar(scenarios: int, assets: int) -> int:
    """Scenarios, all of them in the band, and the condensed system of one step."""

    def work() -> object:
        returns = torch.empty(scenarios, assets, dtype=_EXACT)
        band = torch.empty(scenarios, assets + 1, dtype=_EXACT)
        return returns, band, weighted_square(band, torch.empty(scenarios, dtype=_EXACT).sqrt())

    return peak_bytes(work)


def scenarios(count: int, horizon: int, assets: int) -> int:
    """Draws and their product with a root of the covariance."""

    def work() -> object:
        drawn = torch.empty(count, horizon, assets, dtype=_EXACT)
        return drawn, drawn @ torch.empty(assets, assets, dtype=_EXACT)

    return peak_bytes(work)


def pattern_regression(windows: int) -> int:
    """One batch of windows."""

    def work() -> object:
        closes = torch.empty(windows + WINDOW - 1, dtype=_EXACT)
        return least_errors(closes, torch.empty(len(BANDWIDTHS), 2, HALF, HALF, dtype=_EXACT))

    return peak_bytes(work)


def _weights(features: int, hidden: int) -> list[Tensor]:
    shapes = (4 * hidden, features), (4 * hidden, hidden), (4 * hidden,)
    return [torch.empty(shape) for shape in shapes]


def _lstm(x: Tensor, weights: list[Tensor]) -> Tensor:
    """The last hidden state; all gates from the input first, then step by step, all outputs kept."""
    inner, outer, bias = weights
    gates = torch.matmul(x, inner.T) + bias
    h = c = torch.zeros(len(x), outer.shape[1])
    outputs = []
    for step in gates.unbind(1):
        i, f, g, o = (step + h @ outer.T).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs, 1)[:, -1]
