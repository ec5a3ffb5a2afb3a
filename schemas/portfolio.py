"""What a portfolio optimisation is asked and answers: the ``data`` and ``result`` of its task.

Numbers that must be finite are checked where they are used, so that a complaint can name the asset.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from schemas.messages import Message

Objective = Literal[
    "min_variance",
    "max_sharpe",
    "min_cvar",
    "risk_parity",
    "hierarchical_risk_parity",
    "variance_frontier",
    "cvar_frontier",
]

Numbers = float | list[float] | dict[str, float]


class Asked(Message):
    """Base of what is asked: a misspelt limit must not be passed over."""

    model_config = ConfigDict(extra="forbid")


class GroupLimit(Asked):
    """The weights of some assets sum to between two limits."""

    name: str
    assets: list[str]
    lower: float | None = None
    upper: float | None = None


class TurnoverLimit(Asked):
    """The weights' absolute changes from ``previous`` sum to at most ``limit``."""

    previous: Numbers
    limit: float


class PortfolioConstraints(Asked):
    """Long only and fully invested, unless told otherwise."""

    budget: float = 1.0
    lower: Annotated[Numbers, Field(description="one for all, one an asset, or by name")] = 0.0
    upper: Numbers = 1.0
    groups: list[GroupLimit] = Field(default_factory=list)
    turnover: TurnoverLimit | None = None


class MarketView(Asked):
    """A portfolio of assets is expected to return so much in a period (Black, Litterman)."""

    weights: dict[str, float]
    expected_return: float
    variance: Annotated[
        float | None, Field(description="of the view's error; its own times tau when absent")
    ] = None


class ScenarioRequest(Asked):
    """Scenarios to draw from the history; CVaR and risk are then on these."""

    generator: Literal["gaussian", "student_t", "block_bootstrap", "filtered_historical"]
    count: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    horizon: Annotated[int, Field(ge=1, le=10_000, description="periods")] = 1
    seed: Annotated[int, Field(ge=0, description="the same seed gives the same scenarios")]
    degrees_of_freedom: float | None = None
    block: Annotated[float | None, Field(description="mean length of a block, periods")] = None


class PortfolioProblem(Asked):
    """What is to be optimised, without the history."""

    objective: Objective
    covariance: Literal["sample", "ledoit_wolf_identity", "ledoit_wolf_constant_correlation"] = (
        "ledoit_wolf_identity"
    )
    expected_returns: Annotated[Numbers | None, Field(description="of a period; the sample's by default")] = (
        None
    )
    market_weights: Annotated[Numbers | None, Field(description="with them, Black-Litterman")] = None
    views: list[MarketView] = Field(default_factory=list)
    risk_aversion: float = 2.5
    tau: float = 0.05
    constraints: PortfolioConstraints = PortfolioConstraints()
    level: Annotated[float, Field(description="of VaR and CVaR")] = 0.95
    risk_free: Annotated[float, Field(description="of a period")] = 0.0
    target_return: Annotated[float | None, Field(description="of a period; at least")] = None
    points: Annotated[int, Field(ge=2, le=1_000, description="of a frontier")] = 30
    scenarios: ScenarioRequest | None = None
    tolerance: Annotated[float, Field(gt=0, description="of the gap, relative to the objective")] = 1e-6


class PortfolioRequest(PortfolioProblem):
    """One optimisation over the history of some assets."""

    assets: Annotated[list[str] | None, Field(description="names of the columns")] = None
    returns: Annotated[
        list[list[float]], Field(description="a row a period, oldest first; fractions, not percent")
    ]


class RiskFigures(Message):
    """Losses on the scenarios, positive, as fractions."""

    level: float
    mean: float
    volatility: float
    var: float
    cvar: float
    mean_drawdown: float
    cvar_drawdown: float


class PortfolioFound(Message):
    """Weights, and the proof of how good they are."""

    weights: dict[str, float]
    measure: str
    objective: float
    gap: Annotated[float | None, Field(description="proven; null where nothing is minimised")]
    violation: float
    method: str
    expected_return: float | None = None
    figures: dict[str, float]
    risk: Annotated[RiskFigures | None, Field(description="where scenarios were asked for")] = None


class ScenarioOrigin(Message):
    """Where scenarios come from."""

    generator: str
    bit_generator: str = "PCG64"
    seed: int
    count: int
    horizon: int
    parameters: dict[str, float]


class PortfolioAnswer(Message):
    """One portfolio, or the many of a frontier, in order of rising risk."""

    objective: Objective
    portfolios: list[PortfolioFound]
    observations: int
    covariance: str
    shrinkage: float
    scenarios: ScenarioOrigin | None = None
