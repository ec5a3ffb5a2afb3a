"""Bars with and without something to find in them."""

from __future__ import annotations

import numpy as np

from agents.models.bars import Bars

DAY_NS = 86_400 * 10**9


def bars_of(close: np.ndarray, symbol: str = "A", seed: int = 0) -> Bars:
    """Plausible bars around given closes."""
    rng = np.random.default_rng(seed + 1_000)
    n = len(close)
    open_ = np.concatenate([close[:1], close[:-1]]) * np.exp(rng.normal(0, 1e-4, n))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 1e-3, n)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 1e-3, n)))
    volume = rng.integers(1_000, 5_000, n).astype(np.float64)
    return Bars(symbol, np.arange(1, n + 1) * DAY_NS, open_, high, low, close, volume)


def walk(n: int, symbol: str = "A", seed: int = 0) -> Bars:
    """A random walk: nothing to find."""
    return bars_of(100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, n))), symbol, seed)


def momentum(n: int, symbol: str = "A", seed: int = 0, carry: float = 0.9) -> Bars:
    """Returns that carry on: the next is ``carry`` of the last one, and noise."""
    noise = np.random.default_rng(seed).normal(0, 0.003, n)
    returns = np.zeros(n)
    for t in range(1, n):
        returns[t] = carry * returns[t - 1] + noise[t]
    return bars_of(100 * np.exp(np.cumsum(returns)), symbol, seed)
