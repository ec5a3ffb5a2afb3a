"""The least CVaR over a polyhedron, for many scenarios (Rockafellar, Uryasev 2000).

At every weight vector near the optimum most scenarios lie in the tail, or outside it, for sure. Those in the
tail are replaced by their sum and those outside are left out; the rest, the *band* around the value at risk,
goes into an interior-point solve. Both replacements can only lower the objective, so the reduced optimum
bounds the true one from below; the true CVaR of its weights bounds it from above. Scenarios that turn out to
lie on the other side join the band, until the two bounds meet.

(Künzi-Bay and Mayer 2006 relax in the same way, by one cutting plane a round; a band of m scenarios is a
relaxation with 2^m planes, so that a few rounds suffice.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.dense.products import products
from agents.portfolio.solver.bounds import into_simplex, linear_bound
from agents.portfolio.solver.interior import Point, Program, solve
from agents.portfolio.solver.polyhedron import VIOLATION, Array, Polyhedron, gap_between
from agents.portfolio.solver.quadratic import least_linear
from agents.portfolio.solver.vertex import best_vertex

_ROUNDS = 12  # after so many the whole set goes in
_LOOK = 1e-2  # of the typical loss: a reduced gap at which the true losses are looked at first
_LOOK_AGAIN = 0.1
FLOOR = 1e-2  # of the typical return: a CVaR nearer to zero is not resolved to more digits
_CORNERS = 4
_NEARLY = 1e-6  # a violation that rounding explains
_ALL_IN = 2  # as many times the size of a sample: then there is nothing to reduce


@dataclass(frozen=True, eq=False)
class LeastCvar:
    """A point, its CVaR, and a number that no point of the set has a CVaR below.

    ``var`` is the value at risk at the point, ``violation`` the largest amount by which it breaks a row.
    ``q`` are the scenarios' probabilities in the worst case and ``y``, ``z`` the multipliers of the rows
    that together prove the bound. ``largest`` is the size of the largest band.
    """

    x: Array
    value: float
    violation: float
    var: float
    bound: float
    q: Array
    y: Array
    z: Array
    rounds: int
    iterations: int
    largest: int

    @property
    def gap(self) -> float:
        """Value less bound."""
        return gap_between(self.value, self.bound)


def cvar(losses: Array, level: float) -> tuple[float, float]:
    """(CVaR, VaR): the mean of the worst (1 − level) of the losses, and the least of these.

    With T losses the tail weighs (1 − level)·T of them, the last one in part, as the program of
    Rockafellar and Uryasev has it.
    """
    tail = (1.0 - level) * len(losses)
    whole = min(max(1, math.ceil(tail - 1e-9)), len(losses))
    worst = np.partition(losses, len(losses) - whole)[len(losses) - whole :]
    var = float(worst.min())
    return var + float((worst - var).sum()) / tail, var


def least_cvar(
    returns: Array,
    level: float,
    feasible: Polyhedron,
    tolerance: float = 1e-7,
    start: Array | None = None,
    device: str = "cpu",
) -> LeastCvar:
    """Minimise the CVaR of the loss −returns·w, w being the first columns of x.

    Parameters
    ----------
    returns : float64[T, n]
        Scenarios.
    level
        Of the CVaR, in (0, 1): at 0.95 it is the mean of the worst twentieth.
    feasible
        In n or more variables; those after the n-th bear no risk of their own.
    tolerance
        Of the gap, as a share of the value (or of a hundredth of the typical return, if that is more).
    start : float64[feasible.size]
        A point near the optimum, such as that of a neighbouring target.
    device
        Where products with the scenarios are computed, and the scenarios kept meanwhile.
    """
    scale = float(np.sqrt(np.mean(np.square(returns)))) or 1.0
    search = _Search(returns, scale, level, feasible, tolerance, device)
    return search.run(start)


Mask = npt.NDArray[np.bool_]


class _Search:
    """One minimisation; everything inside is in units of ``scale``."""

    def __init__(
        self,
        returns: Array,
        scale: float,
        level: float,
        feasible: Polyhedron,
        tolerance: float,
        device: str,
    ) -> None:
        self._products, self._device = products(returns, device), device
        self._returns, self._scale, self._level = returns, scale, level
        self._feasible, self._inside, self._tolerance = feasible, feasible.widened(), tolerance
        self._T, self._n = returns.shape
        self._kappa = 1.0 / ((1.0 - level) * self._T)
        self._tail_size = int((1.0 - level) * self._T + 1e-9)
        self._point = (math.inf, math.inf, math.inf, np.empty(0))  # violation, value, var, x
        self._bound = (-math.inf, np.empty(0), np.empty(0), np.empty(0))  # bound, q, y, z
        self._iterations = 0

    def run(self, start: Array | None) -> LeastCvar:
        sample = max(2_000, 8 * self._n)
        band = np.zeros(self._T, bool)
        if start is None and _ALL_IN * sample < self._T:
            start = self._sampled(sample)
        for rounds in range(1, _ROUNDS + 2):
            if rounds > _ROUNDS or start is None or _ALL_IN * band.sum() > self._T:
                band[:] = True
            tail = self._sides(start, band)
            start, wrong = self._reduced(band, tail, start)
            if not wrong.any() and (band.all() or self._closed(self._tolerance * max(self._point[1], FLOOR))):
                break
            band |= wrong
            if not wrong.any():  # the method lost its way; from the beginning, with everything
                band[:], start = True, None
        for resort in (self._corner, self._vertices):
            if not self._closed(self._tolerance * max(self._point[1], FLOOR)):
                resort()
        violation, value, var, x = self._point
        bound, q, y, z = self._bound
        s = self._scale
        return LeastCvar(
            x, s * value, violation, s * var, s * bound, q, s * y, s * z,
            rounds, self._iterations, int(band.sum()),
        )  # fmt: skip

    def _closed(self, within: float) -> bool:
        violation, value, *_ = self._point
        return violation <= VIOLATION and value - self._bound[0] <= within

    def _losses(self, x: Array) -> Array:
        return self._products.times(x[: self._n] / -self._scale)

    def _sampled(self, size: int) -> Array:
        """A rough solution for every k-th scenario."""
        thin = np.ascontiguousarray(self._returns[:: self._T // size])
        search = _Search(thin, self._scale, self._level, self._feasible, _LOOK, self._device)
        found = search.run(None)
        self._iterations += search._iterations
        return found.x

    def _sides(self, x: Array | None, band: Mask) -> Mask:
        """Widen the band to the neighbourhood of the VaR at x; returns which of the others are tail."""
        tail = np.zeros(self._T, bool)
        if x is not None and not band.all():
            k, n = self._tail_size, self._n
            order = np.argsort(-self._losses(x))
            band[order[max(0, k - max(k // 2, 2 * n)) : k + max(k // 2, 4 * n)]] = True
            tail[order[:k]] = True
            tail &= ~band
        return tail

    def _reduced(self, band: Mask, tail: Mask, start: Array | None) -> tuple[Array, Mask]:
        """Solve with the band alone, until the true gap is closed or scenarios are on the wrong side.

        Returns the last point and the scenarios that must join the band; none when there is no more to do.
        """
        program = self._program(band, tail, self._inside)
        size, n, kappa, F, c = self._feasible.size, self._n, self._kappa, program.F, program.c
        mass = c[size]  # probability that is left to the band
        look, last, wrong = _LOOK, np.empty(0), np.zeros(self._T, bool)

        def accept(p: Point) -> bool:
            nonlocal look, last, wrong
            last = np.clip(p.x[:size], self._feasible.lower, self._feasible.upper)
            if VIOLATION < self._feasible.violation(last) < _NEARLY:
                last = self._feasible.mended(last)
            q = into_simplex(p.q, kappa, mass)
            bound = linear_bound(c[:size] - q @ F[:, :size], self._feasible, p.y, p.z)
            reduced = (
                float(c[:size] @ last) + mass * cvar(-F[:, :n] @ last[:n], 1.0 - mass / kappa / len(F))[0]
            )
            within = self._tolerance * max(abs(reduced), FLOOR)
            if not reduced - bound <= max(look, 0.3 * within):
                return False
            look = _LOOK_AGAIN * (reduced - bound)
            self._prove(bound, q, p.y, p.z, band, tail)
            losses, var = self._note(last)
            wrong = np.where(tail, losses < var, losses >= var) & ~band
            closed = self._closed(within)
            wrong &= not closed
            return closed or bool(wrong.any())

        begin = None if start is None else np.append(start, cvar(self._losses(start), self._level)[1])
        point = solve(program, accept, begin)
        self._iterations += point.iterations
        self._note(last)
        return last, wrong

    def _program(self, band: Mask, tail: Mask, inside: Polyhedron) -> Program:
        """The reduced program, in (x, a), x being ``inside``."""
        rows, size, kappa = np.flatnonzero(band), self._feasible.size, self._kappa
        F = np.zeros((len(rows), size + 1))
        np.divide(self._returns[rows], self._scale, out=F[:, : self._n])
        F[:, size] = 1.0
        c = np.zeros(size + 1)
        c[size] = 1.0 - kappa * int(tail.sum())
        if tail.any():
            c[: self._n] = self._returns[tail].sum(axis=0) * (-kappa / self._scale)
        return Program(None, c, F, kappa, inside, self._device)

    def _note(self, x: Array) -> tuple[Array, float]:
        """Keep the point if it is the best; returns its losses and VaR."""
        losses = self._losses(x)
        value, var = cvar(losses, self._level)
        violation = max(self._feasible.violation(x), VIOLATION)
        if (violation, value) < self._point[:2]:
            self._point = (violation, value, var, x)
        return losses, var

    def _corner(self) -> None:
        """Where the set is little more than a corner, linear programs find and prove it.

        The CVaR is at least its linear approximation at any point; the least of that over the set is a bound,
        and the point where it is reached a candidate.
        """
        x = self._point[-1]
        for _ in range(_CORNERS):
            q = self._worst_case(self._losses(x))
            g = np.pad(self._products.onto(q) / -self._scale, (0, self._feasible.size - self._n))
            least = least_linear(g, self._feasible)
            x = least.x
            self._note(x)
            if least.bound > self._bound[0] and np.isfinite(least.bound):
                self._bound = (least.bound, q, least.y, least.z)

    def _vertices(self) -> None:
        """Solve the reduced programs by the simplex, which keeps the digits that an interior point loses."""
        x, band = self._point[-1], np.zeros(self._T, bool)
        for _ in range(_ROUNDS):
            tail = self._sides(x, band)
            if _ALL_IN * band.sum() > self._T:
                band[:], tail[:] = True, False
            program = self._program(band, tail, self._feasible)
            vertex = best_vertex(program) or best_vertex(self._program(band, tail, self._inside))
            if vertex is None:
                return
            self._iterations += vertex.iterations
            size, c = self._feasible.size, program.c
            x = np.clip(vertex.x[:size], self._feasible.lower, self._feasible.upper)
            q = into_simplex(vertex.q, self._kappa, c[size])
            g = c[:size] - q @ program.F[:, :size]
            self._prove(
                linear_bound(g, self._feasible, vertex.y, vertex.z), q, vertex.y, vertex.z, band, tail
            )
            losses, var = self._note(x)
            wrong = np.where(tail, losses < var, losses >= var) & ~band
            if not wrong.any() or self._closed(self._tolerance * max(self._point[1], FLOOR)):
                return
            band |= wrong

    def _worst_case(self, losses: Array) -> Array:
        """Probabilities, at most κ each, under which the mean loss is the CVaR."""
        order = np.argsort(-losses)
        q = np.zeros(self._T)
        q[order] = np.clip(1.0 - self._kappa * np.arange(self._T), 0.0, self._kappa)
        return q

    def _prove(self, bound: float, q: Array, y: Array, z: Array, band: Mask, tail: Mask) -> None:
        """Keep the bound if it is the best, with all that proves it."""
        if bound > self._bound[0]:
            every = np.where(tail, self._kappa, 0.0)
            every[band] = q
            self._bound = (bound, every, y, np.maximum(z, 0.0))
