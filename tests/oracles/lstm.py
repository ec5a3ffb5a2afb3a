"""An LSTM one number at a time, in the order of the textbook's equations."""

from __future__ import annotations

import math


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def last_hidden(x, w_ih, w_hh, b_ih, b_hh):
    """Last hidden state of one sequence ``x[step][feature]``; gates in torch's order i, f, g, o."""
    size = len(w_hh[0])
    h, c = [0.0] * size, [0.0] * size
    for row in x:
        z = [
            sum(w * v for w, v in zip(w_ih[r], row, strict=True)) + b_ih[r]
            + sum(w * v for w, v in zip(w_hh[r], h, strict=True)) + b_hh[r]
            for r in range(4 * size)
        ]  # fmt: skip
        i, f = [_sigmoid(v) for v in z[:size]], [_sigmoid(v) for v in z[size : 2 * size]]
        g, o = [math.tanh(v) for v in z[2 * size : 3 * size]], [_sigmoid(v) for v in z[3 * size :]]
        c = [f[j] * c[j] + i[j] * g[j] for j in range(size)]
        h = [o[j] * math.tanh(c[j]) for j in range(size)]
    return h
