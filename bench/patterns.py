"""A million points: the scan for the ten shapes and the levels, and a template by MASS beside stumpy's.

The series is a seeded Gaussian walk of 0.2 % a point, which shows every shape far more often than a real one
does. Everything is measured through :mod:`agents.patterns`, checks of the prices included.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from agents import patterns
from bench.device import beside


def _timed(work: Callable[[], Any], repeats: int) -> float:
    """Median seconds, after one call that compiles."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run(
    points: int = 1_000_000, template: int = 100, repeats: int = 5, device: str = "cpu"
) -> dict[str, Any]:
    """Measure. On a device: the scan for the ten shapes alone, beside the CPU.

    Returns
    -------
    dict
        Seconds: ``scan_and_levels_s`` on all cores, its parts, the scan on one core; ``mass_s`` and stumpy's.
    """
    closes = 100.0 * np.exp(np.cumsum(np.random.default_rng(7).normal(size=points) * 0.002))
    if device != "cpu":
        found = beside(
            lambda: patterns.shapes(closes), lambda: patterns.shapes(closes, device=device), device, repeats
        )
        return {"name": "patterns", "points": points, **found}
    import stumpy

    shape = np.sin(np.linspace(0.0, np.pi, template)) ** 2
    scan = _timed(lambda: patterns.shapes(closes), repeats)
    one = _timed(lambda: patterns.shapes(closes, threads=1), repeats)
    levels = _timed(lambda: patterns.levels(closes), repeats)
    mass = _timed(lambda: patterns.distances(closes, shape), repeats)
    theirs = _timed(lambda: stumpy.mass(shape, closes), repeats)
    difference = np.abs(patterns.distances(closes, shape) - stumpy.mass(shape, closes)).max()
    return {
        "name": "patterns",
        "points": points,
        "shapes": len(patterns.shapes(closes)),
        "levels": len(patterns.levels(closes)),
        "threads": len(os.sched_getaffinity(0)),
        "scan_and_levels_s": round(scan + levels, 3),
        "target_scan_and_levels_s": 1.5,
        "scan_s": round(scan, 3),
        "scan_one_thread_s": round(one, 3),
        "levels_s": round(levels, 3),
        "triangles_s": round(_timed(lambda: patterns.triangles(closes), repeats), 3),
        "mass_s": round(mass, 3),
        "target_mass_s": 0.3,
        "stumpy_mass_s": round(theirs, 3),
        "mass_ratio": round(theirs / mass, 2),
        "mass_largest_difference": float(f"{difference:.2g}"),
        "machine": {
            "processor": platform.machine(),
            "python": platform.python_version(),
            "stumpy": stumpy.__version__,
        },
    }
