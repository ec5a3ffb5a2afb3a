"""What a portfolio may lose, on scenarios: value at risk, its tail, drawdown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.portfolio.inputs import Array, Vector, vector
from agents.portfolio.scenarios import Scenarios
from agents.portfolio.solver.cvar import cvar
from schemas.errors import PortfolioError


@dataclass(frozen=True)
class Risk:
    """Losses are positive, as fractions of the value at the start.

    ``mean`` and ``volatility`` are of the return over the horizon; ``drawdown`` is the largest fall from a
    peak within a path (the start is a peak too): its mean, and mean of the worst (1 − level). ``seed`` and
    ``generator`` are those of the scenarios.
    """

    level: float
    mean: float
    volatility: float
    var: float
    cvar: float
    mean_drawdown: float
    cvar_drawdown: float
    scenarios: int
    horizon: int
    generator: str
    seed: int


def portfolio_risk(weights: Vector, scenarios: Scenarios, level: float = 0.95) -> Risk:
    """VaR, CVaR and drawdown of weights that are restored at every period.

    What is not invested (1 − Σw) earns nothing.

    Raises
    ------
    PortfolioError
        For wrong weights, fewer scenarios than the tail needs, or something else than scenarios.
    """
    if not isinstance(scenarios, Scenarios):
        raise PortfolioError(
            "scenarios",
            f"is {type(scenarios).__name__}",
            "make them by simulate, or put paths into Scenarios",
        )
    w = vector("weights", weights, scenarios.assets)
    count, horizon, _ = scenarios.paths.shape
    if not 0.0 < level < 1.0:
        raise PortfolioError("level", f"is {level}", "give a number between 0 and 1, such as 0.95")
    least = int(np.ceil(1.0 / (1.0 - level) - 1e-9))
    if count < least:
        raise PortfolioError(
            "scenarios", f"{count} have no tail at level {level:g}", f"give at least {least}"
        )
    wealth = np.cumprod(1.0 + scenarios.paths @ w, axis=1, dtype=np.float64)
    total: Array = wealth[:, -1] - 1.0
    fall = max_drawdown(wealth)
    worst, var = cvar(-total, level)
    return Risk(
        level,
        float(total.mean()),
        float(total.std()),
        var,
        worst,
        float(fall.mean()),
        cvar(fall, level)[0],
        count,
        horizon,
        scenarios.generator,
        scenarios.seed,
    )


def max_drawdown(wealth: Array) -> Array:
    """float64[paths]: the largest 1 − value/peak along each row of float64[paths, periods], from value 1."""
    peak = np.maximum(np.maximum.accumulate(wealth, axis=1), 1.0)
    fall: Array = (1.0 - wealth / peak).max(axis=1)
    return np.maximum(fall, 0.0)
