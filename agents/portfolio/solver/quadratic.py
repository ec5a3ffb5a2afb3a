"""The least ½ xᵀPx + cᵀx over a polyhedron, with a proof of how near it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from agents.portfolio.solver.bounds import linear_bound
from agents.portfolio.solver.interior import Point, Program, solve
from agents.portfolio.solver.polyhedron import VIOLATION, Array, Polyhedron, gap_between
from agents.portfolio.solver.vertex import best_vertex

_SMALL = 1e-3  # of the scale: a smaller value is resolved to as many digits only in a scale of its own
_RESCALINGS = 4
_ACTIVE_SETS = 10  # that are tried, at most
_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class Least:
    """A point, its value, and a number that no point of the set is below.

    ``violation`` is the largest amount by which the point breaks a row; ``y`` and ``z`` are the
    multipliers of A·x = b and G·x <= h that prove the bound.
    """

    x: Array
    value: float
    bound: float
    violation: float
    y: Array
    z: Array
    iterations: int

    @property
    def gap(self) -> float:
        """Value less bound."""
        return gap_between(self.value, self.bound)


def least_quadratic(
    P: Array | None, c: Array, feasible: Polyhedron, tolerance: float = 1e-9, start: Array | None = None
) -> Least:
    """Minimise ½ xᵀPx + cᵀx; as good as can be, within ``tolerance`` relative to the value if possible.

    The bound is f(x̄) − g·x̄ + min g·x with g the gradient at x̄, the minimum from below by duality: it
    holds for any x̄ and any multipliers, P being positive semi-definite.

    Parameters
    ----------
    P : float64[n, n]
        Or None: a linear program.
    c : float64[n]
    feasible
        In n variables.
    tolerance
        Of the gap, as a share of the typical size of the objective.
    start : float64[n]
        A guess.
    """
    scale = float(np.abs(np.diagonal(P)).max() if P is not None else np.abs(c).max()) or 1.0
    best = _least(P, c, feasible, scale, tolerance, start)
    for _ in range(_RESCALINGS):
        value = abs(best.value)
        if P is None or best.gap <= tolerance * value or not 0.0 < value < _SMALL * scale:
            break
        scale = value
        best = min(best, _least(P, c, feasible, scale, tolerance, None), key=_worth)
    proven = P is not None or best.gap <= tolerance * max(abs(best.value), _SMALL * scale)
    if best.violation <= VIOLATION and proven:
        return best
    return min(best, _cornered(P, c, feasible, best), key=_worth)


def _cornered(P: Array | None, c: Array, feasible: Polyhedron, best: Least) -> Least:
    """The vertex that the gradient leads to: where the set is little more than that, it keeps every row."""
    whole = Program(P, c, np.empty((0, len(c))), 0.0, feasible)
    vertex = best_vertex(replace(whole, P=None, c=whole.gradient(best.x)))
    if vertex is None:
        return best
    return _judged(whole, feasible, vertex.x, vertex.y, vertex.z, best.iterations + vertex.iterations)


def _least(
    P: Array | None, c: Array, feasible: Polyhedron, scale: float, tolerance: float, start: Array | None
) -> Least:
    """The minimum, searched for in units of ``scale``."""
    program = Program(
        None if P is None else P / scale, c / scale, np.empty((0, len(c))), 0.0, feasible.widened()
    )
    best = Least(np.clip(c, feasible.lower, feasible.upper), np.inf, -np.inf, np.inf, c, c, 0)

    def accept(p: Point) -> bool:
        nonlocal best
        found = _judged(program, feasible, p.x, p.y, p.z, p.iterations)
        best = min(best, found, key=_worth)
        return found.violation <= VIOLATION and found.gap <= tolerance * max(abs(found.value), _SMALL)

    point = solve(program, accept, start)
    best = min(best, _polished(program, feasible, point), key=_worth)
    return replace(
        best,
        value=scale * best.value,
        bound=scale * best.bound,
        y=scale * best.y,
        z=scale * np.maximum(best.z, 0.0),
    )


def _worth(found: Least) -> tuple[float, float]:
    return max(found.violation, VIOLATION), found.gap


def _judged(program: Program, feasible: Polyhedron, x: Array, y: Array, z: Array, iterations: int) -> Least:
    """The point moved into its box, with what its multipliers prove."""
    x = np.clip(x, feasible.lower, feasible.upper)
    g = program.gradient(x)
    value = float(0.5 * (g + program.c) @ x)
    bound = value - float(g @ x) + linear_bound(g, feasible, y, z)
    return Least(x, value, bound, feasible.violation(x), y, z, iterations)


def _polished(program: Program, feasible: Polyhedron, p: Point) -> Least:
    """The optimum if exactly those rows and bounds are active that the method found to be so.

    Solved from scratch, it does not carry the rounding of the nearly singular systems of the last steps,
    and weights at a bound are at it exactly. Where it then breaks a row or has a multiplier of the wrong
    sign, these change sides and it is solved again (a primal-dual active set, Hintermüller, Ito, Kunisch
    2002).
    """
    t, sl, su, *_ = (p.slack[kind] for kind in p.kinds)
    z, zl, zu, *_ = (p.dual[kind] for kind in p.kinds)
    active, side = z > t, np.where((sl > zl) & (su > zu), 0, np.where(sl < su, -1, 1))
    flat = feasible.upper <= feasible.lower
    best: Least | None = None
    seen: set[tuple[bytes, bytes]] = set()
    while len(seen) < _ACTIVE_SETS and (key := (active.tobytes(), side.tobytes())) not in seen:
        seen.add(key)
        x, y, z = _optimum_on(program, feasible, active, side)
        found = _judged(program, feasible, x, y, z, p.iterations)
        best = found if best is None else min(best, found, key=_worth)
        pull = program.gradient(x) + y @ feasible.A + z @ feasible.G
        small = _ROUNDING * float(np.abs(program.gradient(x)).max())
        freed = ((side < 0) & (pull < -small)) | ((side > 0) & (pull > small)) & ~flat
        side = np.where(freed, 0, side)
        side = np.where(x < feasible.lower - _ROUNDING, -1, np.where(x > feasible.upper + _ROUNDING, 1, side))
        active = np.where(active, z > 0.0, feasible.G @ x > feasible.h + _ROUNDING)
    assert best is not None
    return best


def _optimum_on(
    program: Program, feasible: Polyhedron, active: npt.NDArray[np.bool_], side: npt.NDArray[np.int_]
) -> tuple[Array, Array, Array]:
    """(x, y, z) where the active rows are equalities and the variables with a side are at that bound."""
    inside = side == 0
    x = np.where(inside, 0.0, np.where(side < 0, feasible.lower, feasible.upper))
    rows = np.vstack([feasible.A, feasible.G[active]])
    right = np.concatenate(
        [-program.gradient(x)[inside], np.append(feasible.b, feasible.h[active]) - rows @ x]
    )
    n, part = int(inside.sum()), rows[:, inside]
    K = np.zeros((n + len(rows),) * 2)
    K[:n, n:], K[n:, :n] = part.T, part
    if program.P is not None:
        K[:n, :n] = program.P[np.ix_(inside, inside)]
    try:
        solved = np.linalg.solve(K, right)
    except np.linalg.LinAlgError:  # more is active than needed
        solved = np.linalg.lstsq(K, right, rcond=None)[0]
    x[inside], z = solved[:n], np.zeros(len(active))
    z[active] = solved[n + len(feasible.b) :]
    return x, solved[n : n + len(feasible.b)], z


def least_linear(c: Array, feasible: Polyhedron, tolerance: float = 1e-9) -> Least:
    """Minimise c·x."""
    return least_quadratic(None, c, feasible, tolerance)
