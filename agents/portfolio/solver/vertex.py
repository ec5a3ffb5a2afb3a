"""Vertices of the program of scenario losses, by the simplex method (HiGHS, as SciPy brings it).

An interior point loses its last digits where active rows nearly repeat one another: assets that hedge or copy
one another, a tail of one scenario, a set that is little more than a corner. A vertex is the solution of one
well-chosen system of active rows and keeps them. The simplex is slower and knows nothing of bands of
scenarios, so it is asked last, and its word is not taken either: see :mod:`agents.portfolio.solver.bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from agents.portfolio.solver.interior import Program
from agents.portfolio.solver.polyhedron import Array

_TOLERANCE = 1e-10  # the least that HiGHS takes


@dataclass(frozen=True, eq=False)
class Vertex:
    """A point with its multipliers: ``y`` of A·x = b, ``z`` of G·x <= h, ``q`` of the scenarios."""

    x: Array
    y: Array
    z: Array
    q: Array
    iterations: int


def best_vertex(program: Program) -> Vertex | None:
    """The optimal vertex of a program without P; None where the method finds none."""
    box, (m, size) = program.feasible, program.F.shape
    free, k = size - box.size, len(box.h)
    above = sparse.csr_array(np.pad(box.G, ((0, 0), (0, free))))
    rows = sparse.block_array([[above, None], [sparse.csr_array(-program.F), -sparse.eye_array(m)]])
    equal = sparse.csr_array(np.pad(box.A, ((0, 0), (0, free + m))))
    limits = np.full((size + m, 2), [-np.inf, np.inf])
    limits[: box.size] = np.stack([box.lower, box.upper], axis=1)
    limits[size:, 0] = 0.0
    found = linprog(
        np.append(program.c, np.full(m, program.kappa)),
        A_ub=rows.tocsc(),
        b_ub=np.append(box.h, np.zeros(m)),
        A_eq=equal.tocsc(),
        b_eq=box.b,
        bounds=limits,
        method="highs-ds",
        options={"primal_feasibility_tolerance": _TOLERANCE, "dual_feasibility_tolerance": _TOLERANCE},
    )
    if found.x is None or found.ineqlin.marginals is None:
        return None
    push = -np.asarray(found.ineqlin.marginals, np.float64)
    y = -np.asarray(found.eqlin.marginals, np.float64)
    return Vertex(found.x[:size], y, push[:k], push[k:], int(found.nit))
