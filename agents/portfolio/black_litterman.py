"""Expected returns from the market's weights and a few views (Black, Litterman 1992)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from agents.portfolio.inputs import Array, Vector, covariance_matrix, positions, vector
from schemas.errors import PortfolioError


@dataclass(frozen=True)
class View:
    """A portfolio of assets is expected to return ``expected_return`` in a period.

    ``{"A": 1}`` is absolute; ``{"A": 1, "B": -1}`` says that A outdoes B by so much. ``variance`` is that
    of the view's error; by default what He and Litterman (1999) use, the view's own variance times tau.
    """

    weights: Mapping[str, float]
    expected_return: float
    variance: float | None = None


@dataclass(frozen=True, eq=False)
class Posterior:
    """Equilibrium and posterior expected returns, float64[n]; predictive covariance, float64[n, n]."""

    assets: tuple[str, ...]
    equilibrium: Array
    mean: Array
    covariance: Array


def black_litterman(
    covariance: Any,
    market_weights: Vector,
    views: Sequence[View],
    *,
    risk_aversion: float = 2.5,
    tau: float = 0.05,
    assets: Sequence[str] | None = None,
) -> Posterior:
    """Blend the market's equilibrium Π = δΣw with views P·μ = Q + ε, ε ~ N(0, Ω).

    μ = Π + τΣPᵀ(PτΣPᵀ + Ω)⁻¹(Q − PΠ), and covariance Σ + τΣ − τΣPᵀ(PτΣPᵀ + Ω)⁻¹PτΣ: the form that needs
    no inverse of Ω, so that a view may be certain (variance 0).

    Raises
    ------
    PortfolioError
        For unusable input, unknown names in a view, or views that contradict one another with certainty.
    """
    sigma, names = covariance_matrix(covariance, assets)
    w = vector("market_weights", market_weights, names)
    for field, value in (("risk_aversion", risk_aversion), ("tau", tau)):
        if not (np.isfinite(value) and value > 0):
            raise PortfolioError(field, f"is {value}", "give a positive number")
    prior, equilibrium = tau * sigma, risk_aversion * sigma @ w
    if not views:
        return Posterior(tuple(names), equilibrium, equilibrium.copy(), sigma + prior)
    P, Q, omega = _stacked(views, names, prior)
    A = P @ prior @ P.T + np.diag(omega)
    if np.linalg.matrix_rank(A, tol=1e-12 * np.abs(A).max()) < len(A):
        raise PortfolioError(
            "views", "some follow from others with certainty", "give them a variance, or drop one"
        )
    gain = cho_solve(cho_factor(A), P @ prior).T
    mean = equilibrium + gain @ (Q - P @ equilibrium)
    posterior = sigma + prior - gain @ (P @ prior)
    return Posterior(tuple(names), equilibrium, mean, 0.5 * (posterior + posterior.T))


def _stacked(views: Sequence[View], names: Sequence[str], prior: Array) -> tuple[Array, Array, Array]:
    P = np.zeros((len(views), len(names)))
    omega = np.zeros(len(views))
    for i, view in enumerate(views):
        P[i, positions(f"views[{i}].weights", view.weights, names)] = list(view.weights.values())
        if not (np.isfinite(P[i]).all() and P[i].any()):
            raise PortfolioError(
                f"views[{i}].weights", "are empty, zero or not finite", "name at least one asset"
            )
        own = float(P[i] @ prior @ P[i])
        omega[i] = own if view.variance is None else view.variance
        if not (np.isfinite(omega[i]) and omega[i] >= 0 and np.isfinite(view.expected_return)):
            raise PortfolioError(
                f"views[{i}]", "has a variance below 0, or a number that is none", "give finite numbers"
            )
    return P, np.array([view.expected_return for view in views], np.float64), omega
