"""Maximum likelihood for the Hawkes process with an exponential kernel, over a batch of event times.

For the streaming intensity see ``scalar/intensity.py``, whose β this can fit. Pure; NumPy and numba.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types

from agents.kernels.entry import compiled_for, own
from agents.kernels.scalar.maths import exp_neg

__all__ = ["HawkesFit", "fit_hawkes"]

_MOST = 1.0 - 1e-6  # branching ratio; at 1 the process explodes
_GRID = 25
_REFINE = 40


class HawkesFit(NamedTuple):
    """λ(t) = mu + alpha·Σ exp(−beta·(t − tᵢ)), rates a second.

    ``branching`` is alpha / beta, in [0, 1); ``log_likelihood`` that at the optimum, in seconds.
    """

    mu: float
    alpha: float
    beta: float
    branching: float
    log_likelihood: float


def fit_hawkes(
    times_ns: npt.NDArray[np.int64],
    horizon_ns: int | None = None,
    beta_bounds: tuple[float, float] | None = None,
) -> HawkesFit:
    """Fit μ, α and β by maximum likelihood (Ozaki 1979).

    For a fixed β the likelihood is concave in (μ, α), since λ is linear in them: Newton finds its
    maximum. β is searched on a logarithmic grid and then by golden section.

    Parameters
    ----------
    times_ns : int64[n]
        Event times, ascending, ns; at least 10.
    horizon_ns
        End of the observation, counted from the first time; by default the last time.
    beta_bounds
        Where to search β, 1/s; by default from a tenth of the mean rate to 1,000 times it.

    Raises
    ------
    ValueError
        For too few times, times that fall, or a horizon before the last.
    """
    times = np.asarray(times_ns, np.int64)
    if len(times) < 10 or np.any(np.diff(times) < 0):
        raise ValueError("times_ns must be at least 10 ascending times")
    seconds = (times - times[0]) * 1e-9
    horizon = seconds[-1] if horizon_ns is None else horizon_ns * 1e-9
    if horizon < seconds[-1] or horizon <= 0:
        raise ValueError("horizon_ns must not lie before the last time, and be positive")
    rate = len(times) / horizon
    low, high = beta_bounds or (0.1 * rate, 1_000.0 * rate)

    def profile(log_beta: float) -> tuple[float, float, float]:
        return _maximise(seconds, horizon, float(np.exp(log_beta)))

    grid = np.linspace(np.log(low), np.log(high), _GRID)
    best = int(np.argmax([profile(x)[0] for x in grid]))
    log_beta = _golden(lambda x: profile(x)[0], grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    likelihood, mu, alpha = profile(log_beta)
    beta = float(np.exp(log_beta))
    return HawkesFit(mu, alpha, beta, alpha / beta, likelihood)


def _maximise(seconds: npt.NDArray[np.float64], horizon: float, beta: float) -> tuple[float, float, float]:
    """(log likelihood, μ, α) at the maximum over μ > 0 and 0 <= α/β < 1, by damped Newton."""
    excited = np.empty(len(seconds))
    integral = _compiled()(seconds, beta, horizon, excited) / beta
    n = len(seconds)

    def value(mu: float, alpha: float) -> float:
        return float(np.sum(np.log(mu + alpha * excited)) - mu * horizon - alpha * integral)

    mu, alpha = 0.5 * n / horizon, 0.5 * beta
    current = value(mu, alpha)
    for _ in range(60):
        weight = 1.0 / (mu + alpha * excited)
        gradient = np.array([weight.sum() - horizon, (weight * excited).sum() - integral])
        weight *= weight
        cross = -(weight * excited).sum()
        hessian = np.array([[-weight.sum(), cross], [cross, -(weight * excited**2).sum()]])
        at_edge = (alpha <= 0 and gradient[1] < 0) or (alpha >= _MOST * beta and gradient[1] > 0)
        if at_edge or hessian[0, 0] * hessian[1, 1] - cross * cross <= 1e-300:
            step = np.array([-gradient[0] / hessian[0, 0], 0.0])
        else:
            step = -np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > 1e-10:
            new_mu = max(mu + scale * step[0], 0.1 * mu)
            new_alpha = min(max(alpha + scale * step[1], 0.0), _MOST * beta)
            new = value(new_mu, new_alpha)
            if new >= current:
                break
            scale *= 0.5
        else:
            break
        gained, mu, alpha, current = new - current, new_mu, new_alpha, new
        if gained <= 1e-10 * max(1.0, abs(current)):
            break
    return current, mu, alpha


def _golden(function: Any, low: float, high: float) -> float:
    """Where a unimodal function is largest between ``low`` and ``high``."""
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    inner, outer = high - ratio * (high - low), low + ratio * (high - low)
    at_inner, at_outer = function(inner), function(outer)
    for _ in range(_REFINE):
        if at_inner > at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - ratio * (high - low)
            at_inner = function(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + ratio * (high - low)
            at_outer = function(outer)
    return float((low + high) / 2.0)


def _excite(seconds, beta, horizon, excited):  # type: ignore[no-untyped-def]
    """Σ over earlier events of exp(−β(tᵢ − tⱼ)) for each i; returns Σ (1 − exp(−β(T − tᵢ)))."""
    running = 0.0
    total = 0.0
    for i in range(len(seconds)):
        if i > 0:
            running = exp_neg(beta * (seconds[i] - seconds[i - 1])) * (1.0 + running)
        excited[i] = running
        total += 1.0 - exp_neg(beta * (horizon - seconds[i]))
    return total


@cache
def _compiled() -> Any:
    f8 = types.float64
    return compiled_for(f8(own(f8), f8, f8, own(f8)), _excite)
