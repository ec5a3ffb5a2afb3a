"""Risk parity: every asset bears its share of the risk (Maillard, Roncalli, Teïletche 2010)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from agents.portfolio.answer import Portfolio, require_gap
from agents.portfolio.inputs import Array, Vector, covariance_matrix, vector
from schemas.errors import PortfolioError

_METHOD = "Newton on ½yᵀΣy − Σb·ln y (Spinu 2013), gap by self-concordance"


def risk_parity(
    covariance: Any,
    shares: Vector | None = None,
    *,
    assets: Sequence[str] | None = None,
    tolerance: float = 1e-6,
) -> Portfolio:
    """Long-only, fully invested weights whose risk contributions w·(Σw)/(wᵀΣw) are the given shares.

    They are y/Σy at the minimum of the strictly convex f(y) = ½yᵀΣy − Σ b·ln y. With the Newton decrement λ
    of f/min b, f is within min b·(−λ − ln(1 − λ)) of its minimum (Boyd, Vandenberghe 2004, 9.6.3).
    ``objective`` and ``gap`` are those of f, in standardised units; the figure ``worst_share_error`` says
    what they mean for the shares.

    Parameters
    ----------
    covariance : [n, n]
        Positive definite.
    shares
        Positive, of any sum; equal by default.

    Raises
    ------
    PortfolioError
        For unusable input, or a share that is not positive.
    """
    sigma, names = covariance_matrix(covariance, assets)
    b = vector("shares", 1.0 if shares is None else shares, names)
    if (b <= 0).any():
        raise PortfolioError(
            f"shares[{names[int(np.argmin(b))]!r}]", f"is {b.min():g}", "drop assets that bear no risk"
        )
    b = b / b.sum()
    sd = np.sqrt(np.diagonal(sigma))
    y, gap = _minimum(sigma / np.outer(sd, sd), b)
    weights = y / sd
    weights = weights / weights.sum()
    objective = 0.5 * float(y @ (sigma / np.outer(sd, sd)) @ y) - float(b @ np.log(y))
    require_gap("risk_parity", gap, tolerance, 0.0)
    variance = float(weights @ sigma @ weights)
    error = float(np.abs(weights * (sigma @ weights) / variance - b).max())
    require_gap("risk_parity", error, tolerance, 0.0)
    figures = {"volatility": math.sqrt(variance), "worst_share_error": error}
    return Portfolio(tuple(names), weights, "log_barrier_risk", objective, gap, 0.0, _METHOD, None, figures)


def _minimum(C: Array, b: Array, iterations: int = 100) -> tuple[Array, float]:
    """Damped Newton, full steps when near: quadratic convergence from anywhere."""
    y = np.sqrt(b) / math.sqrt(float(np.sqrt(b) @ C @ np.sqrt(b)))
    least, gap = float(b.min()), math.inf
    for _ in range(iterations):
        gradient = C @ y - b / y
        step = cho_solve(cho_factor(C + np.diag(b / y**2)), -gradient)
        decrement = math.sqrt(max(0.0, -float(gradient @ step)) / least)
        gap = least * (-decrement - math.log1p(-decrement)) if decrement < 1 else math.inf
        if decrement < 1e-11:
            break
        y = y + (step if decrement < 0.25 else step / (1 + decrement))
    return y, gap
