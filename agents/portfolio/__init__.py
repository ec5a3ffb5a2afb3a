"""Portfolios: moments, optimisation with proven gaps, scenarios and risk, on arrays and frames.

Every function takes arrays or frames (rows are times or scenarios, columns assets) and answers with frozen
values; what cannot be answered is a :class:`~schemas.errors.PortfolioError` that names the argument at
fault. Nothing here knows a topic, a clock or a random seed of its own.
"""

from agents.portfolio.answer import Portfolio
from agents.portfolio.black_litterman import Posterior, View, black_litterman
from agents.portfolio.constraints import Constraints, Group, Turnover
from agents.portfolio.frontier import Frontier, cvar_frontier, variance_frontier
from agents.portfolio.hierarchical import hierarchical_risk_parity
from agents.portfolio.mean_cvar import min_cvar
from agents.portfolio.mean_variance import max_sharpe, min_variance
from agents.portfolio.moments import Moments, ledoit_wolf, sample_moments
from agents.portfolio.optimise import optimise
from agents.portfolio.risk import Risk, portfolio_risk
from agents.portfolio.risk_parity import risk_parity
from agents.portfolio.scenarios import Scenarios, simulate

__all__ = [
    "Constraints",
    "Frontier",
    "Group",
    "Moments",
    "Portfolio",
    "Posterior",
    "Risk",
    "Scenarios",
    "Turnover",
    "View",
    "black_litterman",
    "cvar_frontier",
    "hierarchical_risk_parity",
    "ledoit_wolf",
    "max_sharpe",
    "min_cvar",
    "min_variance",
    "optimise",
    "portfolio_risk",
    "risk_parity",
    "sample_moments",
    "simulate",
    "variance_frontier",
]
