"""The set that a portfolio is chosen from: a box, equalities and inequalities, each row with a name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

VIOLATION = 1e-9  # by which a row may be broken, in its own unit
_HAIR = 1e-11
_INSIDE = 1e-6


def gap_between(value: float, bound: float) -> float:
    """Value less bound; 0 where rounding puts the bound above, infinite where either is not a number."""
    gap = value - bound
    return max(gap, 0.0) if np.isfinite(gap) else np.inf


@dataclass(frozen=True, eq=False)
class Polyhedron:
    """{x : lower <= x <= upper, A·x = b, G·x <= h}, in n variables.

    The box is finite: it is what makes every lower bound of this package a proof (see
    :mod:`agents.portfolio.solver.bounds`).

    Parameters
    ----------
    lower, upper : float64[n]
    A : float64[m, n]
    b : float64[m]
    G : float64[k, n]
    h : float64[k]
    """

    lower: Array
    upper: Array
    A: Array
    b: Array
    G: Array
    h: Array

    @property
    def size(self) -> int:
        """Number of variables."""
        return len(self.lower)

    def violation(self, x: Array) -> float:
        """The largest amount by which x breaks a row or a bound; 0 inside, infinite where x is not finite."""
        parts = (
            self.lower - x,
            x - self.upper,
            np.abs(self.A @ x - self.b),
            self.G @ x - self.h,
        )
        worst = float(np.concatenate([*parts, [0.0]]).max())
        return worst if np.isfinite(worst) else np.inf

    def mended(self, x: Array) -> Array:
        """The point moved into the box, what that costs the equalities being spread over what is inside.

        Many weights outside by a hair each add up in the budget.
        """
        x = np.clip(x, self.lower, self.upper)
        inside = np.minimum(x - self.lower, self.upper - x) > _INSIDE
        if inside.any() and np.isfinite(x).all():
            moved = x.copy()
            moved[inside] += np.linalg.lstsq(self.A[:, inside], self.b - self.A @ x, rcond=None)[0]
            x = min(x, moved, key=self.violation)
        return x

    def widened(self) -> Polyhedron:
        """A hair larger, so that it has an inside even where bounds or rows leave a single point."""
        flat = np.where(self.upper - self.lower < 2 * _HAIR, _HAIR, 0.0)
        room = 0.03 * VIOLATION * (1.0 + np.abs(self.h))
        return replace(self, lower=self.lower - flat, upper=self.upper + flat, h=self.h + room)

    def with_row(self, g: Array, h: float) -> Polyhedron:
        """The part of it where g·x <= h; ``g`` may be shorter than x, the rest being 0."""
        row = np.pad(g, (0, self.size - len(g)))
        return replace(self, G=np.vstack([self.G, row]), h=np.append(self.h, h))
