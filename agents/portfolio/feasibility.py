"""Whether anything satisfies the constraints; if not, which few of them contradict one another."""

from __future__ import annotations

import numpy as np

from agents.portfolio.constraints import FeasibleSet
from agents.portfolio.solver.polyhedron import VIOLATION, Polyhedron
from agents.portfolio.solver.quadratic import Least, least_linear
from schemas.errors import InfeasibleError

_PROVEN = 10 * VIOLATION  # total violation that cannot be avoided


def require_feasible(found: FeasibleSet) -> None:
    """Return if some point keeps every constraint.

    Raises
    ------
    InfeasibleError
        With an irreducible conflict: constraints that contradict one another, of which none could be left
        out. It rests on a proof, a positive lower bound of the violation.
    """
    if _violation_without_objective(found.polyhedron) <= VIOLATION:
        return
    if _least_violation(found.polyhedron).bound <= _PROVEN:
        return  # too near to call: let the optimisation judge by its own violation
    names = list(dict.fromkeys((*found.equalities, *found.inequalities)))
    for name in list(names):
        without = [other for other in names if other != name]
        if _least_violation(_only(found, without)).bound > _PROVEN:
            names = without
    raise InfeasibleError(tuple(names + _bounds_in(found, names)))


def _violation_without_objective(polyhedron: Polyhedron) -> float:
    """The violation at a point that a program without an objective finds, in a few steps."""
    return least_linear(np.zeros(polyhedron.size), polyhedron, tolerance=np.inf).violation


def _least_violation(polyhedron: Polyhedron) -> Least:
    """The least sum of violations of rows, over the box."""
    A, G, m, k = polyhedron.A, polyhedron.G, len(polyhedron.b), len(polyhedron.h)
    n = polyhedron.size
    reach = np.maximum(np.abs(polyhedron.lower), np.abs(polyhedron.upper))
    far = 1.0 + float(
        np.max(
            [*(np.abs(A) @ reach + np.abs(polyhedron.b)), *(np.abs(G) @ reach + np.abs(polyhedron.h)), 0.0]
        )
    )
    eye = np.eye(m)
    relaxed = Polyhedron(
        np.concatenate([polyhedron.lower, np.zeros(2 * m + k)]),
        np.concatenate([polyhedron.upper, np.full(2 * m + k, far)]),
        np.hstack([A, eye, -eye, np.zeros((m, k))]),
        polyhedron.b,
        np.hstack([G, np.zeros((k, 2 * m)), -np.eye(k)]),
        polyhedron.h,
    )
    return least_linear(np.concatenate([np.zeros(n), np.ones(2 * m + k)]), relaxed)


def _only(found: FeasibleSet, names: list[str]) -> Polyhedron:
    p, kept = found.polyhedron, set(names)
    rows = np.array([name in kept for name in found.equalities], bool)
    more = np.array([name in kept for name in found.inequalities], bool)
    return Polyhedron(p.lower, p.upper, p.A[rows], p.b[rows], p.G[more], p.h[more])


def _bounds_in(found: FeasibleSet, names: list[str], most: int = 5) -> list[str]:
    """The bounds that the proof of infeasibility uses, worded."""
    part = _only(found, names)
    least = _least_violation(part)
    push = least.y @ part.A + least.z @ part.G
    used = np.flatnonzero(np.abs(push) > 1e-6 * max(1e-12, float(np.abs(push).max())))
    edges = [found.edges[i][0 if push[i] > 0 else 1] for i in used]
    worded = []
    for kind in ("lower", "upper"):
        which = [text for side, text in edges if side == kind]
        if which:
            more = f" and {len(which) - most} more" if len(which) > most else ""
            worded.append(f"{kind} bounds ({', '.join(which[:most])}{more})")
    return worded
