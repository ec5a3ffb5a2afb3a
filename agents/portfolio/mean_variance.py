"""Minimum variance and maximum Sharpe ratio (Markowitz 1952; Sharpe 1966)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.portfolio.answer import Portfolio, require_gap, tidy
from agents.portfolio.constraints import Constraints, FeasibleSet, feasible_set
from agents.portfolio.feasibility import require_feasible
from agents.portfolio.inputs import Array, Vector, covariance_matrix, vector
from agents.portfolio.solver.polyhedron import VIOLATION, Polyhedron
from agents.portfolio.solver.quadratic import Least, least_linear, least_quadratic
from schemas.errors import PortfolioError

_QP = "quadratic program by a primal-dual interior point, gap by duality"


def min_variance(
    covariance: Any,
    constraints: Constraints | None = None,
    *,
    assets: Sequence[str] | None = None,
    expected_returns: Vector | None = None,
    target_return: float | None = None,
    tolerance: float = 1e-6,
) -> Portfolio:
    """The weights of least variance wᵀΣw.

    Parameters
    ----------
    covariance : [n, n]
        Array or frame, positive definite, of a period.
    constraints
        Long only and fully invested by default.
    assets
        Names; a frame brings its own.
    expected_returns
        Of a period; needed for ``target_return``.
    target_return
        The least expected return that will do.
    tolerance
        Of the gap, relative to the variance.

    Raises
    ------
    PortfolioError
        For unusable input; :class:`~schemas.errors.InfeasibleError` for constraints that contradict one
        another; :class:`~schemas.errors.GapError` when the optimum is not reached.
    """
    sigma, names = covariance_matrix(covariance, assets)
    mu = None if expected_returns is None else vector("expected_returns", expected_returns, names)
    found = feasible_set(constraints or Constraints(), names)
    if target_return is not None:
        found = found.with_return(_needed(mu), target_return)
    require_feasible(found)
    return variance_optimum(sigma, found, mu, tolerance)[0]


def variance_optimum(
    sigma: Array, found: FeasibleSet, mu: Array | None, tolerance: float, start: Array | None = None
) -> tuple[Portfolio, Array]:
    """:func:`min_variance` for checked input; also the whole point, to start a neighbour from."""
    P, c = found.pulled_square(2.0 * sigma), np.zeros(found.polyhedron.size)
    least = least_quadratic(P, c, found.polyhedron, start=start)
    if start is not None and not (least.gap <= tolerance * least.value and least.violation <= VIOLATION):
        least = least_quadratic(P, c, found.polyhedron)
    weights = tidy(found.weights(least.x))
    variance = float(weights @ sigma @ weights)
    require_gap("min_variance", least.gap, tolerance * variance, least.violation)
    figures = {"volatility": math.sqrt(variance), "iterations": float(least.iterations)}
    expected = None if mu is None else float(mu @ weights)
    return Portfolio(
        found.assets, weights, "variance", variance, least.gap, least.violation, _QP, expected, figures
    ), least.x


def max_sharpe(
    expected_returns: Vector,
    covariance: Any,
    constraints: Constraints | None = None,
    *,
    assets: Sequence[str] | None = None,
    risk_free: float = 0.0,
    tolerance: float = 1e-6,
) -> Portfolio:
    """The weights of the largest Sharpe ratio (μ − r_f)ᵀw / √(wᵀΣw), per period.

    Through y = κ·w with (μ − r_f)ᵀy = 1, which makes it the quadratic program min yᵀΣy over a cone. Bounds
    of κ that the optimum provably keeps make the cone a polyhedron, so that the gap can be proven.

    Parameters are those of :func:`min_variance`; ``risk_free`` is of a period too.

    Raises
    ------
    PortfolioError
        Also when no feasible portfolio is expected to earn more than ``risk_free``: the ratio has then no
        maximum worth holding.
    """
    sigma, names = covariance_matrix(covariance, assets)
    mu = vector("expected_returns", expected_returns, names)
    found = feasible_set(constraints or Constraints(), names)
    require_feasible(found)
    budget = found.polyhedron.b[0]
    above = mu - risk_free / budget
    excess = found.pulled(above)
    richest = least_linear(-excess, found.polyhedron)
    if -richest.value <= 0:
        most = float(mu @ found.weights(richest.x))
        raise PortfolioError(
            "expected_returns",
            f"no feasible portfolio earns more than risk_free = {risk_free:g}; the most is {most:.4g}",
            "use min_variance, or look at the expected returns and their period",
        )
    least = _through_y(sigma, excess, found, richest)
    best = 1.0 / math.sqrt(least.bound) if least.bound > 0 else math.inf
    x = found.polyhedron.mended(least.x[:-1] / least.x[-1])
    weights, variance, ratio = _judged(x, sigma, above, found)
    violation = found.polyhedron.violation(x)
    if violation > VIOLATION or not best - ratio <= tolerance * ratio:
        x = _safest_with(float(excess @ x), sigma, excess, found)
        weights, variance, ratio = _judged(x, sigma, above, found)
        violation = found.polyhedron.violation(x)
    gap = max(0.0, best - ratio)
    require_gap("max_sharpe", gap, tolerance * ratio, violation)
    figures = {"volatility": math.sqrt(variance), "iterations": float(least.iterations)}
    return Portfolio(
        found.assets,
        weights,
        "sharpe_ratio",
        ratio,
        gap,
        violation,
        f"through y, {_QP}",
        float(mu @ weights),
        figures,
    )


def _judged(x: Array, sigma: Array, above: Array, found: FeasibleSet) -> tuple[Array, float, float]:
    """(weights, variance, Sharpe ratio) at a point."""
    weights = tidy(found.weights(x))
    variance = float(weights @ sigma @ weights)
    return weights, variance, float(above @ weights) / math.sqrt(variance)


def _safest_with(excess_return: float, sigma: Array, excess: Array, found: FeasibleSet) -> Array:
    """The point of least variance with that excess return: at the optimum's, it is the optimum.

    It does not go through y, where rows are kept to within a share of κ, which may be tiny.
    """
    unit = float(np.abs(excess).max())
    part = found.polyhedron.with_row(-excess / unit, -excess_return / unit)
    return least_quadratic(found.pulled_square(2.0 * sigma), np.zeros(part.size), part).x


def _through_y(sigma: Array, excess: Array, found: FeasibleSet, richest: Least) -> Least:
    """Minimise yᵀΣy over (y, κ) with excess·y = 1 and y/κ in the set.

    κ = 1/(excess return of w). It is at least 1/(the largest excess return e). The optimum w* has Sharpe
    ratio at least e/σ(w_e), so its excess return is at least that times the least σ: κ is at most
    σ(w_e)/(e·σ_min).
    """
    p = found.polyhedron
    size, square = p.size, found.pulled_square(sigma)
    safest = least_quadratic(2.0 * square, np.zeros(size), p)
    sd = math.sqrt(float(richest.x @ square @ richest.x))
    low = 0.999 / -richest.bound
    high = 1.001 * sd / (-richest.value * math.sqrt(max(safest.bound, 0.5 * safest.value)))
    edges = np.array([[bound * k for bound in (p.lower, p.upper)] for k in (low, high)])
    one, none = np.eye(size), np.zeros((1, 1))
    unit = float(np.abs(excess).max())
    cone = Polyhedron(
        np.append(edges.min(axis=(0, 1)), low) / high,
        np.append(edges.max(axis=(0, 1)), high) / high,
        np.vstack([np.hstack([p.A, -p.b[:, None]]), np.hstack([excess[None] / unit, none])]),
        np.append(np.zeros(len(p.b)), 1.0 / (unit * high)),
        np.vstack(
            [
                np.hstack([p.G, -p.h[:, None]]),
                np.hstack([one, -p.upper[:, None]]),
                np.hstack([-one, p.lower[:, None]]),
            ]
        ),
        np.zeros(len(p.h) + 2 * size),
    )
    P = np.zeros((size + 1, size + 1))
    P[:size, :size] = 2.0 * square
    least = least_quadratic(P, np.zeros(size + 1), cone)
    return Least(
        least.x,
        least.value * high**2,
        least.bound * high**2,
        least.violation,
        least.y,
        least.z,
        least.iterations,
    )


def _needed(mu: Array | None) -> Array:
    if mu is None:
        raise PortfolioError("expected_returns", "is missing", "target_return needs them: one an asset")
    return mu
