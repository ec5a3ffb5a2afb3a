"""Returns for tests: seeded, and recorded."""

import csv
import gzip
from functools import cache
from pathlib import Path

import numpy as np
import pytest

_RECORDED = Path(__file__).parents[4] / "shared" / "data" / "portfolio" / "skfolio_sp500_dataset.csv.gz"


def market(periods: int, assets: int, seed: int = 1) -> np.ndarray:
    """A market factor, two more, own noise, fat tails."""
    rng = np.random.default_rng(seed)
    loadings = np.vstack([rng.uniform(0.4, 1.4, assets) * 0.01, rng.normal(0, 0.004, (2, assets))])
    returns = rng.standard_normal((periods, 3)) @ loadings
    returns += rng.standard_normal((periods, assets)) * rng.uniform(0.004, 0.02, assets)
    returns /= np.sqrt(rng.chisquare(6, (periods, 1)) / 6)
    return returns + rng.normal(0.0005, 0.0004, assets)


def hedged(periods: int, assets: int, seed: int) -> np.ndarray:
    """Factors that assets load on with either sign, so that nearly all risk can be hedged away."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(0, 0.01, (5, assets))
    returns = rng.standard_normal((periods, 5)) @ loadings
    returns += rng.standard_normal((periods, assets)) * rng.uniform(0.005, 0.02, assets)
    return returns / np.sqrt(rng.chisquare(5, (periods, 1)) / 5) + rng.normal(0.0004, 0.0003, assets)


def copied(periods: int, assets: int, seed: int) -> np.ndarray:
    """Few factors, hardly any own noise, and an asset that is another one again."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_normal((periods, 5)) @ rng.standard_normal((5, assets))
    returns += 5e-4 * rng.standard_normal((periods, assets))
    returns[:, -1] = returns[:, 0]
    return 0.01 * returns


@cache
def _read() -> tuple[list[str], np.ndarray]:
    with gzip.open(_RECORDED, "rt") as file:
        head, *rows = csv.reader(file)
    prices = np.array([row[1:] for row in rows], np.float64)
    return head[1:], prices[1:] / prices[:-1] - 1.0


def recorded() -> tuple[list[str], np.ndarray]:
    """(names, daily returns) of 20 companies, 1990 to 2022; skips where they are not."""
    if not _RECORDED.exists():
        pytest.skip("no recorded prices here")
    return _read()
