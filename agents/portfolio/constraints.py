"""What a portfolio must keep: budget, bounds, groups, turnover; and the polyhedron that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.portfolio.inputs import Array, Vector, positions, vector
from agents.portfolio.solver.polyhedron import Polyhedron
from schemas.errors import PortfolioError


@dataclass(frozen=True)
class Group:
    """The weights of some assets sum to between ``lower`` and ``upper`` (None: no limit)."""

    name: str
    assets: Sequence[str]
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Turnover:
    """Σ|w − previous| is at most ``limit``: buys and sells both count, so 2 replaces a whole portfolio."""

    previous: Vector
    limit: float


@dataclass(frozen=True)
class Constraints:
    """Long only and fully invested, unless told otherwise.

    Parameters
    ----------
    budget
        Sum of the weights.
    lower, upper
        Bounds of each weight; finite, since they prove the gap. A mapping leaves the others at 0 and 1.
    groups
        Limits of sums.
    turnover
        Limit of the change from another portfolio.
    """

    budget: float = 1.0
    lower: Vector = 0.0
    upper: Vector = 1.0
    groups: Sequence[Group] = ()
    turnover: Turnover | None = None


Edge = tuple[
    str, str
]  # ("lower" or "upper", "ASSET bound"), as a message says it; empty where it is no bound


@dataclass(frozen=True, eq=False)
class FeasibleSet:
    """The polyhedron of x, what the weights are in it, and what each row and bound is called in a message.

    The weights are ``embedding`` · x: x itself, unless a limit of turnover makes it (buys, sells, 1).
    ``edges`` holds a name for the lower and the upper bound of each variable.
    """

    polyhedron: Polyhedron
    assets: tuple[str, ...]
    equalities: tuple[str, ...]
    inequalities: tuple[str, ...]
    edges: tuple[tuple[Edge, Edge], ...]
    embedding: Array | None = None

    def weights(self, x: Array) -> Array:
        """float64[n] of a point."""
        return x if self.embedding is None else self.embedding @ x

    def pulled(self, vectors: Array) -> Array:
        """Rows that multiply weights, made into rows that multiply x."""
        return vectors if self.embedding is None else vectors @ self.embedding

    def pulled_square(self, sigma: Array) -> Array:
        """The quadratic form of the weights, as one of x."""
        return sigma if self.embedding is None else self.embedding.T @ sigma @ self.embedding

    def with_return(self, expected_returns: Array, target: float) -> FeasibleSet:
        """The part with an expected return of at least ``target``."""
        unit = float(np.abs(expected_returns).max()) or 1.0
        return replace(
            self,
            polyhedron=self.polyhedron.with_row(self.pulled(-expected_returns / unit), -target / unit),
            inequalities=(*self.inequalities, f"target_return >= {target:.6g}"),
        )


def feasible_set(constraints: Constraints, assets: Sequence[str]) -> FeasibleSet:
    """The set that the constraints leave, as matrices.

    Raises
    ------
    PortfolioError
        For unknown names, wrong shapes, and bounds that cross.
    """
    n = len(assets)
    lower = vector("constraints.lower", constraints.lower, assets, 0.0)
    upper = vector("constraints.upper", constraints.upper, assets, 1.0)
    crossed = np.flatnonzero(lower > upper)
    if len(crossed):
        i = crossed[0]
        raise PortfolioError(
            f"constraints.lower[{assets[i]!r}]",
            f"{lower[i]:g} is above the upper bound {upper[i]:g}",
            "swap them",
        )
    if not np.isfinite(constraints.budget) or constraints.budget <= 0:
        raise PortfolioError(
            "constraints.budget", f"is {constraints.budget}", "give a positive sum of weights"
        )
    rows = [_group_rows(i, group, assets) for i, group in enumerate(constraints.groups)]
    G = np.array([g for some in rows for g, _, _ in some]).reshape(-1, n)
    h = np.array([limit for some in rows for _, limit, _ in some])
    names = tuple(name for some in rows for _, _, name in some)
    budget = f"budget = {constraints.budget:g}"
    plain = Polyhedron(lower, upper, np.ones((1, n)), np.array([constraints.budget]), G, h)
    edges = tuple(
        (("lower", f"{name} {low:g}"), ("upper", f"{name} {high:g}"))
        for name, low, high in zip(assets, lower, upper, strict=True)
    )
    return _with_turnover(constraints.turnover, FeasibleSet(plain, tuple(assets), (budget,), names, edges))


def _group_rows(i: int, group: Group, assets: Sequence[str]) -> list[tuple[Array, float, str]]:
    field = f"constraints.groups[{i}]"
    members = np.zeros(len(assets))
    members[positions(f"{field}.assets", group.assets, assets)] = 1.0
    if not members.any():
        raise PortfolioError(f"{field}.assets", "is empty", "name the assets of the group")
    low, high = group.lower, group.upper
    if low is not None and high is not None and low > high:
        raise PortfolioError(field, f"lower {low:g} is above upper {high:g}", "swap them")
    rows = []
    if high is not None:
        rows.append((members, float(high), f"group {group.name} <= {high:g}"))
    if low is not None:
        rows.append((-members, -float(low), f"group {group.name} >= {low:g}"))
    return rows


def _with_turnover(turnover: Turnover | None, found: FeasibleSet) -> FeasibleSet:
    """In the variables (buys, sells, 1), in a box: w = previous + buys − sells, and Σ of both <= limit.

    Bounds of w are bounds of buys and sells, also where ``previous`` itself lies outside.
    """
    if turnover is None:
        return found
    plain, n = found.polyhedron, len(found.assets)
    previous = vector("constraints.turnover.previous", turnover.previous, found.assets, 0.0)
    limit = float(turnover.limit)
    if not np.isfinite(limit) or limit < 0:
        raise PortfolioError("constraints.turnover.limit", f"is {limit}", "give a number from 0 to 2")
    embedding = np.hstack([np.eye(n), -np.eye(n), previous[:, None]])
    up, down = plain.upper - previous, previous - plain.lower
    inner = Polyhedron(
        np.concatenate([np.maximum(-down, 0.0), np.maximum(-up, 0.0), [1.0]]),
        np.concatenate([np.maximum(up, 0.0), np.maximum(down, 0.0), [1.0]]),
        plain.A @ embedding,
        plain.b,
        np.vstack([plain.G @ embedding, np.append(np.ones(2 * n), 0.0)]),
        np.append(plain.h, limit),
    )
    none = ("", "")
    bounds = found.edges
    edges = (
        *((low if down[j] < 0 else none, high) for j, (low, high) in enumerate(bounds)),
        *((high if up[j] < 0 else none, low) for j, (low, high) in enumerate(bounds)),
        (none, none),
    )
    names = (*found.inequalities, f"turnover <= {limit:g}")
    return replace(found, polyhedron=inner, inequalities=names, edges=edges, embedding=embedding)
