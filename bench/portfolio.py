"""Least CVaR and its frontier, beside cvxpy with Clarabel in the same run; and a large one alone.

Scenarios are seeded: a market factor, four more, and own noise an asset, with the fat tails of a t with 5
degrees of freedom. The reference is the program of Rockafellar and Uryasev as cvxpy's users write it; for
the frontier it is compiled once, with the target as a parameter. It solves every fifth or so of the targets
(each takes it seconds), and the frontier's ratio is of seconds a point. Wall clock, all threads, medians
where there are repeats.
"""

from __future__ import annotations

import platform
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.portfolio import cvar_frontier, min_cvar
from bench.device import beside
from schemas.errors import SettingsError

Array = npt.NDArray[np.float64]

LEVEL = 0.95


def make_scenarios(count: int, assets: int, seed: int = 1) -> Array:
    """float64[count, assets]: a day's returns."""
    rng = np.random.default_rng(seed)
    loadings = np.vstack([rng.uniform(0.5, 1.5, (1, assets)) * 0.01, rng.normal(0, 0.004, (4, assets))])
    own = rng.uniform(0.005, 0.02, assets)
    mean = rng.normal(0.0004, 0.0003, assets)
    returns = np.empty((count, assets))
    for block in np.array_split(returns, max(1, count // 5_000)):  # small, so that making them needs no more
        block[:] = rng.standard_normal((len(block), 5)) @ loadings
        block += rng.standard_normal(block.shape) * own
        block /= np.sqrt(rng.chisquare(5, (len(block), 1)) / 5)
        block += mean
    return returns


def _timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer = call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), answer


class Reference:
    """The same program for cvxpy and Clarabel."""

    def __init__(self, returns: Array, with_target: bool = False) -> None:
        try:
            import cvxpy as cp
        except ImportError as exc:
            raise SettingsError("cvxpy is not installed", "pip install 'tapestream[bench]'") from exc
        count, assets = returns.shape
        w, a, u = cp.Variable(assets, nonneg=True), cp.Variable(), cp.Variable(count, nonneg=True)
        rows = [u >= -returns @ w - a, w <= 1, cp.sum(w) == 1]
        self._target = cp.Parameter(value=0.0)
        if with_target:
            rows.append(returns.mean(axis=0) @ w >= self._target)
        self._solver = cp.CLARABEL
        self._problem = cp.Problem(cp.Minimize(a + cp.sum(u) / ((1 - LEVEL) * count)), rows)

    def solve(self, target: float = 0.0) -> float:
        """The least CVaR."""
        self._target.value = target
        return float(self._problem.solve(solver=self._solver))


def measure_large(count: int, assets: int) -> dict[str, Any]:
    """One solve, alone: seconds and memory."""
    returns = make_scenarios(count, assets)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, answer = _timed(lambda: min_cvar(returns, LEVEL), 1)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "scenarios": count,
        "assets": assets,
        "ours_s": round(seconds, 3),
        "relative_gap": answer.gap / answer.objective,
        "scenarios_mb": round(returns.nbytes / 2**20),
        "peak_mb": round(after / 2**10),
        "peak_more_than_before_mb": round((after - before) / 2**10),
    }


def measure_cvar(returns: Array, repeats: int, reference_repeats: int) -> dict[str, Any]:
    """One solve of each, with everything that a user's call does."""
    min_cvar(returns[:1_000], LEVEL)  # libraries are loaded
    ours, answer = _timed(lambda: min_cvar(returns, LEVEL), repeats)
    theirs, objective = _timed(lambda: Reference(returns).solve(), reference_repeats)
    return {
        "scenarios": len(returns),
        "assets": returns.shape[1],
        "ours_s": round(ours, 4),
        "cvxpy_clarabel_s": round(theirs, 3),
        "ratio": round(theirs / ours, 1),
        "objective": answer.objective,
        "relative_gap": answer.gap / answer.objective,
        "relative_difference": (answer.objective - objective) / objective,
    }


def measure_frontier(returns: Array, points: int, reference_points: int, repeats: int) -> dict[str, Any]:
    """The whole sweep of ours, and some of its targets by the reference."""
    ours, frontier = _timed(lambda: cvar_frontier(returns, LEVEL, points=points), repeats)
    chosen = np.unique(np.linspace(0, points - 1, reference_points).round().astype(int))
    reference = Reference(returns, with_target=True)
    solved = [_timed(partial(reference.solve, float(target)), 1) for target in frontier.targets[chosen]]
    theirs = sum(seconds for seconds, _ in solved)
    found = np.array([objective for _, objective in solved])
    return {
        "points": points,
        "ours_s": round(ours, 3),
        "ours_s_a_point": round(ours / points, 4),
        "reference_points": len(chosen),
        "cvxpy_clarabel_s_a_point": round(theirs / len(chosen), 3),
        "ratio": round(theirs / len(chosen) / (ours / points), 1),
        "largest_relative_gap": max(one.gap / one.objective for one in frontier.portfolios),
        "largest_relative_difference": float(np.abs(frontier.risks[chosen] / found - 1).max()),
    }


def measure_device(count: int, assets: int, device: str, repeats: int = 3) -> dict[str, Any]:
    """One solve on the CPU and on the device, in turns."""
    returns = make_scenarios(count, assets)
    figures = beside(
        lambda: min_cvar(returns, LEVEL), lambda: min_cvar(returns, LEVEL, device=device), device, repeats
    )
    _, answer = _timed(lambda: min_cvar(returns, LEVEL, device=device), 1)
    return {
        "scenarios": count,
        "assets": assets,
        **figures,
        "relative_gap": answer.gap / answer.objective,
    }


def run(
    scenarios: int = 10_000,
    assets: int = 100,
    points: int = 30,
    reference_points: int = 6,
    large: tuple[int, int] = (100_000, 500),
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure; the large one first, so that its memory is its own. On a device: both sizes beside the CPU.

    Returns
    -------
    dict
        ``large``, ``cvar`` and ``frontier``.
    """
    if device != "cpu":
        cases = {"cvar": (scenarios, assets), "large": large}
        return {"name": "portfolio", **{name: measure_device(*size, device) for name, size in cases.items()}}
    alone = measure_large(*large)
    returns = make_scenarios(scenarios, assets)
    return {
        "name": "portfolio",
        "level": LEVEL,
        "cvar": measure_cvar(returns, repeats=5, reference_repeats=1) | {"target_ratio": 5},
        "frontier": measure_frontier(returns, points, reference_points, repeats=3) | {"target_ratio": 20},
        "large": alone,
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
    }
