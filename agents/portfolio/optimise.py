"""One entry for every optimisation: a request as it comes from a topic, an answer as it goes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from agents.dense.start import require
from agents.portfolio.answer import Portfolio
from agents.portfolio.black_litterman import View, black_litterman
from agents.portfolio.constraints import Constraints, Group, Turnover
from agents.portfolio.frontier import cvar_frontier, variance_frontier
from agents.portfolio.hierarchical import hierarchical_risk_parity
from agents.portfolio.inputs import Array, vector
from agents.portfolio.mean_cvar import min_cvar
from agents.portfolio.mean_variance import max_sharpe, min_variance
from agents.portfolio.moments import Moments, ledoit_wolf, sample_moments
from agents.portfolio.risk import portfolio_risk
from agents.portfolio.risk_parity import risk_parity
from agents.portfolio.scenarios import Scenarios, simulate
from schemas.errors import PortfolioError
from schemas.portfolio import (
    PortfolioAnswer,
    PortfolioConstraints,
    PortfolioFound,
    PortfolioRequest,
    RiskFigures,
    ScenarioOrigin,
)


@dataclass(frozen=True, eq=False)
class _Case:
    """A request, its checked parts, and what they were made into."""

    request: PortfolioRequest
    constraints: Constraints
    moments: Moments
    expected: Array
    scenarios: Scenarios | None
    device: str

    @property
    def drawn(self) -> Any:
        """What CVaR is taken on: the scenarios, or else the history."""
        return self.request.returns if self.scenarios is None else self.scenarios.returns


def optimise(request: PortfolioRequest | Mapping[str, Any], device: str = "cpu") -> PortfolioAnswer:
    """Do what the request asks.

    The same request always gives the same answer on the same machine: its only randomness is the seed that
    it names.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda:N``: where scenarios are made and products with them computed.

    Raises
    ------
    PortfolioError
        With the field at fault, why, and what to do; see :mod:`schemas.errors` for its kinds.
    SettingsError
        When the device cannot be used.
    """
    require(device)
    asked = _checked(request)
    case = _case(asked, device)
    found = _OBJECTIVES[asked.objective](case)
    return PortfolioAnswer(
        objective=asked.objective,
        portfolios=[_found(one, case) for one in found],
        observations=case.moments.observations,
        covariance=asked.covariance,
        shrinkage=case.moments.shrinkage,
        scenarios=None if case.scenarios is None else _origin(case.scenarios),
    )


def _checked(request: PortfolioRequest | Mapping[str, Any]) -> PortfolioRequest:
    if isinstance(request, PortfolioRequest):
        return request
    try:
        return PortfolioRequest.model_validate(request)
    except ValidationError as exc:
        error = exc.errors()[0]
        where = ".".join(str(part) for part in error["loc"]) or "request"
        raise PortfolioError(where, error["msg"], "see the schema of PortfolioRequest") from exc


def _case(asked: PortfolioRequest, device: str) -> _Case:
    moments = _MOMENTS[asked.covariance](asked)
    names = moments.assets
    expected = moments.mean
    if asked.expected_returns is not None:
        expected = vector("expected_returns", asked.expected_returns, names)
    if asked.market_weights is not None:
        views = [View(one.weights, one.expected_return, one.variance) for one in asked.views]
        posterior = black_litterman(
            moments.covariance,
            asked.market_weights,
            views,
            risk_aversion=asked.risk_aversion,
            tau=asked.tau,
            assets=names,
        )
        expected = posterior.mean
    elif asked.views:
        raise PortfolioError("market_weights", "are missing", "views need the market's weights")
    wanted = asked.scenarios
    drawn = None
    if wanted is not None:
        drawn = simulate(
            asked.returns,
            wanted.generator,
            wanted.count,
            seed=wanted.seed,
            horizon=wanted.horizon,
            assets=names,
            degrees_of_freedom=wanted.degrees_of_freedom,
            block=wanted.block,
            device=device,
        )
    return _Case(asked, _constraints(asked.constraints), moments, expected, drawn, device)


def _constraints(asked: PortfolioConstraints) -> Constraints:
    turnover = asked.turnover
    return Constraints(
        asked.budget,
        asked.lower,
        asked.upper,
        [Group(one.name, one.assets, one.lower, one.upper) for one in asked.groups],
        None if turnover is None else Turnover(turnover.previous, turnover.limit),
    )


_MOMENTS: dict[str, Callable[[PortfolioRequest], Moments]] = {
    "sample": lambda r: sample_moments(r.returns, assets=r.assets),
    "ledoit_wolf_identity": lambda r: ledoit_wolf(r.returns, assets=r.assets),
    "ledoit_wolf_constant_correlation": lambda r: ledoit_wolf(
        r.returns, "constant_correlation", assets=r.assets
    ),
}


def _min_variance(c: _Case) -> list[Portfolio]:
    return [
        min_variance(
            c.moments.covariance,
            c.constraints,
            assets=c.moments.assets,
            expected_returns=c.expected,
            target_return=c.request.target_return,
            tolerance=c.request.tolerance,
        )
    ]


def _max_sharpe(c: _Case) -> list[Portfolio]:
    return [
        max_sharpe(
            c.expected,
            c.moments.covariance,
            c.constraints,
            assets=c.moments.assets,
            risk_free=c.request.risk_free,
            tolerance=c.request.tolerance,
        )
    ]


def _scaled(c: _Case) -> Array:
    """Expected returns over the scenarios' horizon."""
    return c.expected * (1 if c.scenarios is None else c.scenarios.paths.shape[1])


def _min_cvar(c: _Case) -> list[Portfolio]:
    return [
        min_cvar(
            c.drawn,
            c.request.level,
            c.constraints,
            assets=c.moments.assets,
            expected_returns=_scaled(c),
            target_return=c.request.target_return,
            tolerance=c.request.tolerance,
            device=c.device,
        )
    ]


def _variance_frontier(c: _Case) -> list[Portfolio]:
    frontier = variance_frontier(
        c.expected,
        c.moments.covariance,
        c.constraints,
        points=c.request.points,
        assets=c.moments.assets,
        tolerance=c.request.tolerance,
    )
    return list(frontier.portfolios)


def _cvar_frontier(c: _Case) -> list[Portfolio]:
    frontier = cvar_frontier(
        c.drawn,
        c.request.level,
        c.constraints,
        points=c.request.points,
        expected_returns=_scaled(c),
        assets=c.moments.assets,
        tolerance=c.request.tolerance,
        device=c.device,
    )
    return list(frontier.portfolios)


def _risk_parity(c: _Case) -> list[Portfolio]:
    _no_constraints(c)
    return [risk_parity(c.moments.covariance, assets=c.moments.assets, tolerance=c.request.tolerance)]


def _hierarchical(c: _Case) -> list[Portfolio]:
    _no_constraints(c)
    return [hierarchical_risk_parity(c.moments.covariance, assets=c.moments.assets)]


def _no_constraints(c: _Case) -> None:
    if c.request.constraints != PortfolioConstraints():
        raise PortfolioError(
            "constraints", f"{c.request.objective} takes none", "leave them out, or minimise variance or CVaR"
        )


_OBJECTIVES: dict[str, Callable[[_Case], list[Portfolio]]] = {
    "min_variance": _min_variance,
    "max_sharpe": _max_sharpe,
    "min_cvar": _min_cvar,
    "risk_parity": _risk_parity,
    "hierarchical_risk_parity": _hierarchical,
    "variance_frontier": _variance_frontier,
    "cvar_frontier": _cvar_frontier,
}


def _found(one: Portfolio, case: _Case) -> PortfolioFound:
    risk = None
    if case.scenarios is not None:
        figures = asdict(portfolio_risk(one.weights, case.scenarios, case.request.level))
        risk = RiskFigures.model_validate(figures)
    return PortfolioFound(
        weights=one.by_name(),
        measure=one.measure,
        objective=one.objective,
        gap=one.gap,
        violation=one.violation,
        method=one.method,
        expected_return=one.expected_return,
        figures=one.figures,
        risk=risk,
    )


def _origin(drawn: Scenarios) -> ScenarioOrigin:
    count, horizon, _ = drawn.paths.shape
    return ScenarioOrigin(
        generator=drawn.generator,
        seed=drawn.seed,
        count=count,
        horizon=horizon,
        parameters=drawn.parameters,
    )
