"""The efficient frontier, from least risk to most return, for variance and for CVaR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.portfolio.answer import Portfolio
from agents.portfolio.constraints import Constraints, FeasibleSet, feasible_set
from agents.portfolio.feasibility import require_feasible
from agents.portfolio.inputs import Array, Vector, covariance_matrix, vector
from agents.portfolio.mean_cvar import cvar_optimum, expected_of, scenario_matrix
from agents.portfolio.mean_variance import variance_optimum
from agents.portfolio.solver.quadratic import least_linear
from schemas.errors import PortfolioError

_SHORT_OF_MOST = 1e-6  # of the range: at the very end the set has no inside, and multipliers no limit

Optimum = Callable[[FeasibleSet, Array | None], tuple[Portfolio, Array]]


@dataclass(frozen=True, eq=False)
class Frontier:
    """Efficient portfolios in order of rising risk and return; each carries its own gap.

    ``targets`` are the returns asked for; that of the first portfolio is its own, and that of the last one
    a millionth of the range below the largest that there is.
    """

    portfolios: tuple[Portfolio, ...]
    targets: Array

    @property
    def risks(self) -> Array:
        """float64[points]: variances or CVaRs."""
        return np.array([one.objective for one in self.portfolios])

    @property
    def returns(self) -> Array:
        """float64[points]: expected returns of a period."""
        return np.array([one.expected_return for one in self.portfolios])

    @property
    def weights(self) -> Array:
        """float64[points, n]."""
        return np.array([one.weights for one in self.portfolios])


def variance_frontier(
    expected_returns: Vector,
    covariance: Any,
    constraints: Constraints | None = None,
    *,
    points: int = 30,
    assets: Sequence[str] | None = None,
    tolerance: float = 1e-6,
) -> Frontier:
    """Least variance for ``points`` target returns, evenly from that of least variance to the largest.

    Parameters and errors are those of :func:`~agents.portfolio.min_variance`.
    """
    sigma, names = covariance_matrix(covariance, assets)
    mu = vector("expected_returns", expected_returns, names)
    found = feasible_set(constraints or Constraints(), names)
    return _sweep(found, mu, points, lambda part, start: variance_optimum(sigma, part, mu, tolerance, start))


def cvar_frontier(
    scenarios: Any,
    level: float = 0.95,
    constraints: Constraints | None = None,
    *,
    points: int = 30,
    expected_returns: Vector | None = None,
    assets: Sequence[str] | None = None,
    tolerance: float = 1e-6,
    device: str = "cpu",
) -> Frontier:
    """Least CVaR for ``points`` target returns, evenly from that of least CVaR to the largest.

    Parameters and errors are those of :func:`~agents.portfolio.min_cvar`.
    """
    returns, names = scenario_matrix(scenarios, level, assets)
    mu = expected_of(returns, expected_returns, names)
    found = feasible_set(constraints or Constraints(), names)
    return _sweep(
        found,
        mu,
        points,
        lambda part, start: cvar_optimum(returns, level, part, mu, tolerance, start, device),
    )


def _sweep(found: FeasibleSet, mu: Array, points: int, optimum: Optimum) -> Frontier:
    """Each target begins where the line through the last two solutions leads, which is nearly right."""
    if points < 2:
        raise PortfolioError("points", f"is {points}", "give at least 2")
    require_feasible(found)
    safest, x = optimum(found, None)
    most = -least_linear(found.pulled(-mu), found.polyhedron).value
    targets = np.linspace(mu @ safest.weights, most, points)
    targets[-1] -= _SHORT_OF_MOST * (most - targets[0])
    portfolios, before = [safest], x
    for target in targets[1:]:
        one, after = optimum(found.with_return(mu, float(target)), 2.0 * x - before if before is not x else x)
        portfolios.append(one)
        before, x = x, after
    return Frontier(tuple(portfolios), targets)
