"""GARCH(1,1) with variance targeting, for many series at once (Bollerslev 1986; Engle, Mezrich 1996).

h[t+1] = ω + α·x[t]² + β·h[t] with ω = (1 − α − β)·(sample variance): two numbers a series, found by Gaussian
quasi-maximum likelihood on a grid that is refined around its best point. No optimiser, so that the same
history always gives the same model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from agents.portfolio.inputs import Array

_ALPHA = np.array([0.01, 0.03, 0.05, 0.08, 0.12, 0.18, 0.26])
_PERSISTENCE = np.array([0.50, 0.70, 0.85, 0.92, 0.96, 0.98, 0.99, 0.995])
_MOST = 0.999
_REFINEMENTS = 4


@dataclass(frozen=True, eq=False)
class Garch:
    """float64[n] each; alpha + beta < 1."""

    omega: Array
    alpha: Array
    beta: Array


def fit_garch(X: Array) -> Garch:
    """Fit every column of X, float64[T, n], of mean zero; each must move."""
    variance = np.mean(np.square(X), axis=0)
    alpha, persistence = np.empty(X.shape[1]), np.empty(X.shape[1])
    for j in range(X.shape[1]):
        alpha[j], persistence[j] = _fit_one(np.square(X[:, j]) / variance[j])
    return Garch(variance * (1.0 - persistence), alpha, persistence - alpha)


def _fit_one(squares: Array) -> tuple[float, float]:
    """(α, α + β) of a series of unit variance."""
    grid = [(a, p) for a in _ALPHA for p in _PERSISTENCE if a < p]
    best = max(grid, key=lambda point: _likelihood(squares, *point))
    steps = (0.5 * best[0], 0.5 * (1.0 - best[1]))
    for _ in range(_REFINEMENTS):
        near = [
            (
                float(np.clip(best[0] + i * steps[0], 0.0, 0.5)),
                float(np.clip(best[1] + j * steps[1], 0.0, _MOST)),
            )
            for i in (-1.0, -0.5, 0.0, 0.5, 1.0)
            for j in (-1.0, -0.5, 0.0, 0.5, 1.0)
        ]
        best = max(
            (point for point in near if point[0] <= point[1]), key=lambda point: _likelihood(squares, *point)
        )
        steps = (0.5 * steps[0], 0.5 * steps[1])
    return best


def _likelihood(squares: Array, alpha: float, persistence: float) -> float:
    h = _recursion(squares, 1.0, alpha, persistence)[:-1]
    return -float((np.log(h) + squares / h).sum())


def _recursion(squares: Array, variance: float, alpha: float, persistence: float) -> Array:
    """h[0..T]: the variance before each square, and after the last; it starts at the sample's."""
    beta = persistence - alpha
    drive = variance * (1.0 - persistence) + alpha * squares
    filtered = lfilter([1.0], [1.0, -beta], drive, zi=np.array([beta * variance]))[0]
    return np.concatenate([[variance], filtered])


def variances(X: Array, model: Garch) -> Array:
    """float64[T + 1, n]: the conditional variance of each row, and of the one after the last."""
    out = np.empty((len(X) + 1, X.shape[1]))
    for j in range(X.shape[1]):
        a, p = float(model.alpha[j]), float(model.alpha[j] + model.beta[j])
        out[:, j] = _recursion(np.square(X[:, j]), float(model.omega[j]) / (1.0 - p), a, p)
    return out
