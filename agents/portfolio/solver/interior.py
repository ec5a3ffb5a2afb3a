"""A primal-dual interior-point method for dense programs with a block of scenario losses.

It solves::

    minimise   ½ xᵀPx + cᵀx + κ·Σ max(0, −F·x)      over a polyhedron

where F has a row a scenario. With F empty this is a quadratic (or linear) program; with the rows (r, 1)
and x = (w, a) it is the program of Rockafellar and Uryasev. The scenarios' own variables are eliminated
by hand, so that an iteration costs one product FᵀDF, done by BLAS, and one Cholesky factorisation of the
size of x, whatever the number of scenarios. Mehrotra's predictor and corrector (Nocedal, Wright 2006,
chapters 14 and 16).

The method's word is not taken for the result: see :mod:`agents.portfolio.solver.bounds`. Pure; NumPy and
SciPy, and torch for the products with F where these are asked for on a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from agents.dense.products import products, weighted_square
from agents.portfolio.solver.polyhedron import Array, Polyhedron

_STEP = 0.995  # share of the way to the boundary
_LEAST_STEP = 1e-8
_CONVERGED = 1e-14  # mean product of slack and multiplier; rounding rules below
_RUN_AWAY = 1e30
_BALANCE = 1e-3  # of the mean product; a smaller one has run ahead
_SHORT = 2  # variables in a row that is treated like a bound
_REGULAR = 1e-13  # of each diagonal element: a Cholesky factor exists although rounding says otherwise

KktSolver = Callable[[Array, Array], tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class Program:
    """½ xᵀPx + cᵀx + κ·Σ max(0, −F·x); the first variables of x lie in ``feasible``, the rest are free.

    Parameters
    ----------
    P : float64[n, n]
        Positive semi-definite, or None for zero.
    c : float64[n]
    F : float64[m, n]
        A row a scenario; m may be 0.
    kappa
        Weight of a scenario's shortfall.
    feasible
        The set of the first ``feasible.size`` variables, at most n.
    device
        Where products with F are computed.
    """

    P: Array | None
    c: Array
    F: Array
    kappa: float
    feasible: Polyhedron
    device: str = "cpu"

    def gradient(self, x: Array) -> Array:
        """Px + c."""
        return self.c if self.P is None else self.P @ x + self.c


@dataclass(eq=False)
class Point:
    """An iterate. Slacks and multipliers of every kind of row lie in one array each, in this order:

    rows of G·x <= h; lower bounds; upper bounds; u + F·x >= 0; shortfalls u >= 0. The multipliers ``q`` of
    the fourth kind are the scenarios' probabilities in the worst case; those of the fifth are κ − q.
    """

    x: Array
    y: Array
    slack: Array
    dual: Array
    kinds: tuple[slice, ...]
    iterations: int = 0

    @property
    def z(self) -> Array:
        """Multipliers of G·x <= h."""
        return self.dual[self.kinds[0]]

    @property
    def q(self) -> Array:
        """Multipliers of the scenarios, in (0, κ)."""
        return self.dual[self.kinds[3]]


def solve(
    program: Program, accept: Callable[[Point], bool], start: Array | None = None, iterations: int = 100
) -> Point:
    """Iterate until ``accept`` says that the point is good enough, or no more progress is made.

    Parameters
    ----------
    program
        Scaled so that typical gradients are near 1.
    accept
        Called after every iteration.
    start : float64[n]
        Where to begin; moved inside the box. Its middle by default.
    iterations
        At most.
    """
    newton = _Newton(program)
    point = newton.first(start)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what has no inside runs away
        for point.iterations in range(1, iterations + 1):
            moved = newton.advance(point)
            if accept(point) or not moved:
                break
    return point


class _Newton:
    """The steps of one program; holds what does not change between them."""

    def __init__(self, program: Program) -> None:
        self._program, box = program, program.feasible
        self._F = products(program.F, program.device)
        free = len(program.c) - box.size
        self._n = box.size
        self._A = np.pad(box.A, ((0, 0), (0, free)))
        self._G = np.pad(box.G, ((0, 0), (0, free)))
        self._long = np.count_nonzero(self._G, axis=1) > _SHORT
        self._rows = np.vstack([self._A, self._G[self._long]])
        sizes = (len(box.h), box.size, box.size, len(program.F), len(program.F))
        ends = np.cumsum((0, *sizes))
        self._kinds = tuple(slice(a, b) for a, b in pairwise(ends.tolist()))

        self._dual_size = np.ones(self._kinds[-1].stop)
        self._dual_size[self._kinds[3].start :] = program.kappa

    def first(self, start: Array | None) -> Point:
        """Strictly inside the box, every slack and multiplier positive and of the size of its kind."""
        program, box, n = self._program, self._program.feasible, self._n
        width = box.upper - box.lower
        x = np.zeros(len(program.c)) if start is None else start.copy()
        inside = box.lower + 0.5 * width if start is None else start[:n]
        x[:n] = np.clip(inside, box.lower + 0.02 * width, box.upper - 0.02 * width)
        losses = -self._F.times(x)
        typical = 0.3 * (float(np.abs(losses).mean()) + 1e-3) if len(losses) else 1.0
        u = np.maximum(losses, 0.0) + typical
        half = 0.5 * program.kappa * bool(len(losses))
        scale = max(1e-3, float(np.abs(program.gradient(x)).max()), half)
        slacks = (
            np.maximum(box.h - self._G @ x, 0.05 * (1.0 + np.abs(box.h))),
            x[:n] - box.lower,
            box.upper - x[:n],
            np.maximum(u - losses, typical),
            u,
        )
        dual = np.full(self._kinds[-1].stop, 0.1 * scale)
        dual[self._kinds[3].start :] = half
        return Point(x, np.zeros(len(box.b)), np.concatenate(slacks), dual, self._kinds)

    def advance(self, p: Point) -> bool:
        """Move ``p`` by a predictor and a corrector; False when it can hardly move any more."""
        products = p.slack * p.dual
        mean = float(products.mean())
        direction = self._directions(p)
        if direction is None:
            return False
        _, _, d_slack, d_dual = direction(-products)
        a_p, a_d = self._steps(p, d_slack, d_dual)
        after = float(((p.slack + a_p * d_slack) * (p.dual + a_d * d_dual)).mean())
        aim = mean * (after / mean) ** 3
        dx, dy, d_slack, d_dual = direction(aim - products - d_slack * d_dual)
        a_p, a_d = (min(1.0, _STEP * a) for a in self._steps(p, d_slack, d_dual))
        p.x, p.slack = p.x + a_p * dx, p.slack + a_p * d_slack
        p.y, p.dual = p.y + a_d * dy, p.dual + a_d * d_dual
        self._centre(p)
        return max(a_p, a_d) > _LEAST_STEP and _CONVERGED < mean < _RUN_AWAY

    def _centre(self, p: Point) -> None:
        """Lift slacks that ran far ahead of the others to zero; the next step pays for it.

        Without this a single slack can reach 1e-19 while the mean product is 1e-10, and the condensed
        system then has no digits left.
        """
        products = p.slack * p.dual
        least = _BALANCE * float(products.mean())
        ahead = (products < least) & (p.slack * self._dual_size < p.dual)
        p.slack[ahead] = least / p.dual[ahead]

    def _steps(self, p: Point, d_slack: Array, d_dual: Array) -> tuple[float, float]:
        """The longest primal and dual steps inside; one for both where the objective is quadratic."""
        primal, dual = _longest(p.slack, d_slack), _longest(p.dual, d_dual)
        return (primal, dual) if self._program.P is None else (min(primal, dual),) * 2

    def _directions(self, p: Point) -> Callable[[Array], tuple[Array, Array, Array, Array]] | None:
        """Newton's direction for given changes of the products slack·multiplier, as a function."""
        program, box, n = self._program, self._program.feasible, self._n
        G, F, kinds = self._G, self._F, self._kinds
        t, sl, su, s, u = (p.slack[kind] for kind in kinds)
        z, zl, zu, q, v = (p.dual[kind] for kind in kinds)
        gradient = program.gradient(p.x) - F.onto(q) + p.y @ self._A + z @ G
        gradient[:n] += zu - zl
        r_a, r_g, r_f = self._A @ p.x - box.b, G @ p.x + t - box.h, u + F.times(p.x) - s
        r_l, r_u = p.x[:n] - box.lower - sl, box.upper - p.x[:n] - su
        weight = 1.0 / (s / q + u / v)
        long, short = self._long, ~self._long
        kkt = self._factor(weight, (z / t)[short], zl / sl + zu / su, (t / z)[long])
        if kkt is None:
            return None

        def direction(c: Array) -> tuple[Array, Array, Array, Array]:
            c_t, c_l, c_u, c_s, c_v = (c[kind] for kind in kinds)
            e = c_s / q - c_v / v - r_f
            right = -gradient + F.onto(weight * e) - ((c_t + z * r_g) / t)[short] @ G[short]
            right[:n] += (c_l - zl * r_l) / sl - (c_u - zu * r_u) / su
            dx, d_rows = kkt(right, np.concatenate([-r_a, (-r_g - c_t / z)[long]]))
            dq, gx, d_l, d_u = weight * (e - F.times(dx)), G @ dx, dx[:n] + r_l, r_u - dx[:n]
            dz, dt = (c_t + z * (r_g + gx)) / t, -r_g - gx
            dz[long] = d_rows[len(r_a) :]
            dt[long] = ((c_t - t * dz) / z)[long]
            d_slack = (dt, d_l, d_u, (c_s - s * dq) / q, (c_v + u * dq) / v)
            d_dual = (dz, (c_l - zl * d_l) / sl, (c_u - zu * d_u) / su, dq, -dq)
            return dx, d_rows[: len(r_a)], np.concatenate(d_slack), np.concatenate(d_dual)

        return direction

    def _factor(self, scenarios: Array, short: Array, box: Array, long: Array) -> KktSolver | None:
        """Solver of the condensed system: Cholesky, and the Schur complement of the long rows.

        An active row's weight in the matrix grows without limit; one that touches many variables would drown
        their digits. In the Schur complement it is the inverse, which goes to zero.
        """
        program, rows = self._program, self._rows
        H = self._F.square(scenarios)
        if program.P is not None:
            H += program.P
        if len(short):
            H += weighted_square(self._G[~self._long], np.sqrt(short))
        diagonal = np.einsum("ii->i", H)
        diagonal[: self._n] += box
        diagonal *= 1.0 + _REGULAR
        try:
            lower = cho_factor(H, lower=True, overwrite_a=True, check_finite=False)
            across = cho_solve(lower, rows.T, check_finite=False)
            schur = rows @ across
            schur[np.diag_indices(len(rows))] *= 1.0 + _REGULAR
            np.einsum("ii->i", schur)[len(rows) - len(long) :] += long
            inner = cho_factor(schur, check_finite=False)
        except (LinAlgError, ValueError):
            return None

        def apply(right: Array, below: Array) -> tuple[Array, Array]:
            x = cho_solve(lower, right, check_finite=False)
            y = cho_solve(inner, rows @ x - below, check_finite=False)
            x -= across @ y
            left = rows @ x - below  # once more, for the digits that the first time lost
            left[len(left) - len(long) :] -= long * y[len(left) - len(long) :]
            more = cho_solve(inner, left, check_finite=False)
            return x - across @ more, y + more

        return apply


def _longest(values: Array, changes: Array) -> float:
    """The longest step in (0, 1/step share] that keeps every value positive."""
    fall = float((-changes / values).max())
    return 1.0 / fall if fall > _STEP else 1.0 / _STEP
