"""MASS: the z-normalised distance of a template to every stretch of a series (Mueen et al. 2017).

d² = 2m (1 − (QT − m μ_Q μ_T) / (m σ_Q σ_T)). Products come from real FFTs (NumPy's) over pieces of the series
that overlap by m − 1; a piece is taken about its own mean, so that a high price costs no digits. Means and
deviations come from windows without running sums. A still stretch has no shape: 0 to a still template, √m to
any other.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from agents.kernels.entry import compiled_for, given, own
from agents.kernels.indicators.windows import RING, SPREAD, window_spread, window_sum

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SMALLEST_PIECE = 4_096
"""Points of a piece; larger ones are a power of two of at least eight templates."""


def _moments(values, m, f, k, means, spreads):  # type: ignore[no-untyped-def]
    """Mean and √Σ(x − mean)² of every stretch of ``m``."""
    second = m + RING
    for t in range(len(values)):
        total = window_sum(f, k, 0, m, values[t])
        spread = window_spread(f, k, second, m, values[t])
        if t >= m - 1:
            means[t - m + 1] = total / m
            spreads[t - m + 1] = np.sqrt(spread)


def _distances(products, means, spreads, m, spread, out):  # type: ignore[no-untyped-def]
    """Distances from products with a template of mean 0; ``spread`` is its √Σ(x − mean)²."""
    for i in range(len(out)):
        both = spread * spreads[i]
        if both > 0.0:
            out[i] = np.sqrt(max(2.0 * m * (1.0 - products[i] / both), 0.0))
        elif spread == spreads[i]:
            out[i] = 0.0
        else:
            out[i] = np.sqrt(float(m))


def _refine(values, template, means, spreads, spread, starts, out):  # type: ignore[no-untyped-def]
    """The same distances at some places as sums, which do not depend on what is around them."""
    m = len(template)
    for i in range(len(starts)):
        at = starts[i]
        both = spread * spreads[at]
        if both > 0.0:
            product = 0.0
            for j in range(m):
                product += template[j] * (values[at + j] - means[at])
            out[i] = np.sqrt(max(2.0 * m * (1.0 - product / both), 0.0))
        elif spread == spreads[at]:
            out[i] = 0.0
        else:
            out[i] = np.sqrt(float(m))


def _minima(starts, distances, zone, kept):  # type: ignore[no-untyped-def]
    """Mark the distances that are lowest within ``zone`` starts either way, the first of equals."""
    for i in range(len(starts)):
        kept[i] = True
        j = i - 1
        while j >= 0 and starts[j] >= starts[i] - zone and kept[i]:
            kept[i] = distances[j] > distances[i]
            j -= 1
        j = i + 1
        while j < len(starts) and starts[j] <= starts[i] + zone and kept[i]:
            kept[i] = distances[j] >= distances[i]
            j += 1


@cache
def _compiled(name: str) -> Any:
    f8, i8 = types.float64, types.int64
    signatures = {
        "moments": (_moments, types.void(given(f8), i8, own(f8), own(i8), own(f8), own(f8))),
        "distances": (_distances, types.void(given(f8), given(f8), given(f8), i8, f8, own(f8))),
        "minima": (_minima, types.void(given(i8), given(f8), i8, own(types.boolean))),
        "refine": (_refine, types.void(*(given(f8),) * 4, f8, given(i8), own(f8))),
    }
    function: Any
    function, signature = signatures[name]
    return compiled_for(signature, function)


def moments(values: Floats, m: int) -> tuple[Floats, Floats]:
    """Mean and √Σ(x − mean)² of every stretch of ``m`` values."""
    stretches = len(values) - m + 1
    means, spreads = np.empty(stretches), np.empty(stretches)
    f = np.zeros(m + RING + 2 * m + SPREAD)
    _compiled("moments")(values, m, f, f.view(np.int64), means, spreads)
    return means, spreads


def products(values: Floats, template: Floats) -> Floats:
    """Σ_j template_j · values_(i+j) for every i; the template has mean 0."""
    m, n = len(template), len(values)
    size = SMALLEST_PIECE
    while size < 8 * m:
        size *= 2
    step = size - m + 1
    pieces = -(-(n - m + 1) // step)
    padded = np.full((pieces - 1) * step + size, values[-1])
    padded[:n] = values
    stretches = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    centred = stretches - stretches.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, axis=1)
    spectrum *= np.fft.rfft(template[::-1], size)
    found: Floats = np.fft.irfft(spectrum, size, axis=1)[:, m - 1 :]
    return found.ravel()[: n - m + 1]


class Template:
    """A shape to look for: centred, with its spread."""

    def __init__(self, shape: Floats) -> None:
        self.values: Floats = np.ascontiguousarray(shape - shape.mean())
        if (shape == shape[0]).all():
            self.values[:] = 0.0
        self.spread = float(np.sqrt(np.sum(self.values**2)))

    def __len__(self) -> int:
        return len(self.values)


def profile(values: Floats, template: Template) -> tuple[Floats, Floats, Floats]:
    """Distances of every stretch; with them its means and spreads, for :func:`refined`."""
    m = len(template)
    means, spreads = moments(values, m)
    out = np.empty(len(means))
    dots = products(values, template.values)
    _compiled("distances")(dots, means, spreads, m, template.spread, out)
    return out, means, spreads


def refined(values: Floats, template: Template, means: Floats, spreads: Floats, starts: Ints) -> Floats:
    """Distances at some starts, to the last bit independent of the rest of the series."""
    out = np.empty(len(starts))
    _compiled("refine")(values, template.values, means, spreads, template.spread, starts, out)
    return out


def minima(starts: Ints, distances: Floats, zone: int) -> npt.NDArray[np.bool_]:
    """Which of some distances, in order of their starts, are lowest within ``zone`` starts either way."""
    kept = np.empty(len(starts), np.bool_)
    _compiled("minima")(starts, distances, zone, kept)
    return kept
