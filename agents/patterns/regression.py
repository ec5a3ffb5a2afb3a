"""The choice of a bandwidth for every window as products of matrices, by torch on a device.

The same sums as :func:`agents.kernels.patterns.scan.choose_bandwidths`, in the library's order: where two
bandwidths fit a window equally to rounding, the other one may be chosen. Everything after it is compiled, and
the same on all devices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from agents.dense.device import fetch, put, rows_that_fit
from agents.kernels.patterns.smoothing import BANDWIDTHS, HALF, WINDOW, triangles

BYTES_A_WINDOW = 8 * (2 * WINDOW + 2 * HALF + 3 * len(BANDWIDTHS) * HALF)
"""Of device memory: the window and its halves, and three times the errors of one half."""


def bandwidths(prices: npt.NDArray[np.float64], device: str) -> npt.NDArray[np.int64]:
    """Number of the best bandwidth of each window, int64 (bars − WINDOW + 1,), the smallest of equals."""
    factors = put(triangles(), device)
    closes = put(np.ascontiguousarray(prices), device)
    windows = len(prices) - WINDOW + 1
    batch = rows_that_fit(BYTES_A_WINDOW, device)
    parts = [
        least_errors(closes[first : min(first + batch, windows) + WINDOW - 1], factors)
        for first in range(0, windows, batch)
    ]
    return np.concatenate([fetch(part) for part in parts])


def least_errors(closes: Tensor, factors: Tensor) -> Tensor:
    """One batch: float64 (bars,) and (bandwidths, 2, HALF, HALF) to int64 (windows,)."""
    windows = closes.unfold(0, WINDOW, 1)
    moved = windows - windows[:, :1]
    front, back = moved[:, :HALF], moved.flip(1)[:, :HALF]
    total: Any = 0.0
    for part, half in enumerate((front + back, front - back)):
        errors = half @ factors[:, part].reshape(-1, HALF).T
        total = total + errors.square().view(len(errors), -1, HALF).sum(2)
    best: Tensor = total.argmin(1)
    return best
