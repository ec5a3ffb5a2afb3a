"""Lower bounds that hold whatever computed the multipliers, and so prove how good a solution is.

For any y and any z >= 0, every x of the polyhedron satisfies::

    g·x >= −b·y − h·z + Σⱼ min(lⱼrⱼ, uⱼrⱼ),   r = g + Aᵀy + Gᵀz

since A·x = b, G·x <= h and l <= x <= u. Multipliers of an optimum make this an equality; inexact ones only
make the bound lower (Neumaier, Shcherbina 2004). A convex f with gradient g at x̄ has f(x) >= f(x̄) +
g·(x − x̄), so the same inequality bounds f.
"""

from __future__ import annotations

import numpy as np

from agents.portfolio.solver.polyhedron import Array, Polyhedron


def linear_bound(g: Array, feasible: Polyhedron, y: Array, z: Array) -> float:
    """A number that g·x is nowhere below, over the polyhedron.

    Parameters
    ----------
    g : float64[n]
    feasible
        The set.
    y : float64[m]
        Multipliers of A·x = b, of any sign.
    z : float64[k]
        Multipliers of G·x <= h; negative ones count as 0.
    """
    z = np.maximum(z, 0.0)
    r = g + y @ feasible.A + z @ feasible.G
    return float(np.minimum(feasible.lower * r, feasible.upper * r).sum() - feasible.b @ y - feasible.h @ z)


def into_simplex(q: Array, cap: float, total: float) -> Array:
    """The multipliers moved, hardly, to 0 <= q <= cap with the sum ``total`` (at most cap·len(q))."""
    q = np.clip(q, 0.0, cap)
    have, most = float(q.sum()), cap * len(q)
    if have >= total:
        return q * (total / have) if have > 0 else q
    return cap - (cap - q) * ((most - total) / (most - have))
