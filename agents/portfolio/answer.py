"""What an optimisation answers: weights, and the proof of how good they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from agents.portfolio.inputs import Array
from agents.portfolio.solver.polyhedron import VIOLATION
from schemas.errors import GapError

Measure = Literal["variance", "sharpe_ratio", "cvar", "log_barrier_risk"]


@dataclass(frozen=True, eq=False)
class Portfolio:
    """Weights with their objective, gap and method.

    Parameters
    ----------
    assets : tuple of n names
    weights : float64[n]
    measure
        What ``objective`` is: the variance of a period, the Sharpe ratio of a period, the CVaR of the loss
        of a period as a fraction, or the function that risk parity minimises.
    objective
        At the weights.
    gap
        No feasible weights have an objective better by more than this: proven by duality, not taken from
        the solver. None where nothing is minimised (hierarchical risk parity).
    violation
        The largest amount by which the weights break a constraint; at most 1e-9.
    method
        The algorithm, for people.
    expected_return
        Of a period, where expected returns are known; else None.
    figures
        More numbers that the method knows, by name: ``volatility``, ``var``, ``iterations``, …
    """

    assets: tuple[str, ...]
    weights: Array
    measure: Measure
    objective: float
    gap: float | None
    violation: float
    method: str
    expected_return: float | None = None
    figures: dict[str, float] = field(default_factory=dict)

    def by_name(self) -> dict[str, float]:
        """Asset to weight."""
        return dict(zip(self.assets, self.weights.tolist(), strict=True))


def require_gap(what: str, gap: float, most: float, violation: float) -> None:
    """Refuse what is not proven.

    Raises
    ------
    GapError
        When the gap is above ``most``, not a number, or a constraint is broken.
    """
    if gap <= most and violation <= VIOLATION:
        return
    raise GapError(
        what,
        f"gap {gap:.3g} above {most:.3g}"
        if not gap <= most
        else f"a constraint is broken by {violation:.3g}",
        "scale the returns to fractions, shrink the covariance, loosen the tolerance or the constraints",
    )


def tidy(weights: Array) -> Array:
    """A copy with negative zeros made zeros."""
    return np.asarray(weights + 0.0, np.float64)
