"""Least conditional value at risk on scenarios (Rockafellar, Uryasev 2000)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.portfolio.answer import Portfolio, require_gap, tidy
from agents.portfolio.constraints import Constraints, FeasibleSet, feasible_set
from agents.portfolio.feasibility import require_feasible
from agents.portfolio.inputs import Array, Vector, named_matrix, vector
from agents.portfolio.solver.cvar import FLOOR, least_cvar
from agents.portfolio.solver.polyhedron import VIOLATION
from schemas.errors import PortfolioError

_METHOD = "Rockafellar-Uryasev by bands of scenarios and an interior point, gap by duality"


def min_cvar(
    scenarios: Any,
    level: float = 0.95,
    constraints: Constraints | None = None,
    *,
    assets: Sequence[str] | None = None,
    expected_returns: Vector | None = None,
    target_return: float | None = None,
    tolerance: float = 1e-6,
    device: str = "cpu",
) -> Portfolio:
    """The weights of least CVaR: the mean loss of the worst (1 − level) of the scenarios.

    min a + 1/((1−level)·T)·Σu with u >= −r·w − a, u >= 0.

    Parameters
    ----------
    scenarios : [T, n]
        Returns of a period as fractions, historical or simulated; equally likely.
    level
        In (0, 1).
    constraints
        Long only and fully invested by default.
    assets
        Names; a frame brings its own.
    expected_returns
        The scenarios' means by default.
    target_return
        The least expected return that will do.
    tolerance
        Of the gap, relative to the CVaR (or to a hundredth of the scenarios' typical return, if that is
        more).
    device
        Where products with the scenarios are computed: ``cpu`` or ``cuda:N``. The proof is the same: the gap
        is that of the answer, wherever it was found.

    Raises
    ------
    PortfolioError
        For unusable input, and fewer scenarios than the tail needs;
        :class:`~schemas.errors.InfeasibleError` for constraints that contradict one another;
        :class:`~schemas.errors.GapError` when the optimum is not reached.
    """
    returns, names = scenario_matrix(scenarios, level, assets)
    mu = expected_of(returns, expected_returns, names)
    found = feasible_set(constraints or Constraints(), names)
    if target_return is not None:
        found = found.with_return(mu, target_return)
    require_feasible(found)
    return cvar_optimum(returns, level, found, mu, tolerance, device=device)[0]


def expected_of(scenarios: Array, expected_returns: Any, names: list[str]) -> Array:
    """The expected returns that were given, else the scenarios' means."""
    if expected_returns is None:
        means: Array = scenarios.mean(axis=0)
        return means
    return vector("expected_returns", expected_returns, names)


def scenario_matrix(scenarios: Any, level: float, assets: Sequence[str] | None) -> tuple[Array, list[str]]:
    """Checked scenarios: finite, and enough for the level."""
    if not 0.0 < level < 1.0:
        raise PortfolioError("level", f"is {level}", "give a number between 0 and 1, such as 0.95")
    returns, names = named_matrix("scenarios", scenarios, assets)
    least = int(np.ceil(1.0 / (1.0 - level) - 1e-9))
    if len(returns) < least:
        raise PortfolioError(
            "scenarios",
            f"{len(returns)} have no tail at level {level:g}",
            f"give at least {least}; thousands are better",
        )
    return returns, names


def cvar_optimum(
    returns: Array,
    level: float,
    found: FeasibleSet,
    mu: Array,
    tolerance: float,
    start: Array | None = None,
    device: str = "cpu",
) -> tuple[Portfolio, Array]:
    """:func:`min_cvar` for checked input; also the whole point, to start a neighbour from."""
    typical = float(np.sqrt(np.mean(np.square(returns))))
    moved = found.pulled(returns)
    for begin in (start, None):  # from the beginning, where a guess led astray
        least = least_cvar(moved, level, found.polyhedron, tolerance, begin, device)
        most = tolerance * max(abs(least.value), FLOOR * typical)
        if start is None or (least.gap <= most and least.violation <= VIOLATION):
            break
    require_gap("min_cvar", least.gap, most, least.violation)
    weights = tidy(found.weights(least.x))
    figures = {
        "level": level,
        "var": least.var,
        "scenarios": float(len(returns)),
        "scenarios_in_band": float(least.largest),
        "rounds": float(least.rounds),
        "iterations": float(least.iterations),
    }
    return Portfolio(
        found.assets,
        weights,
        "cvar",
        least.value,
        least.gap,
        least.violation,
        _METHOD,
        float(mu @ weights),
        figures,
    ), least.x
