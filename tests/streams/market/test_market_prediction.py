"""The planted order flow foretells the next window's move, by more than it costs to trade on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streams.market.config import MarketConfig
from tests.streams.market.series import line, market_series

SECONDS = 1_200


def out_of_sample(config: MarketConfig) -> tuple[list[float], list[float], list[float]]:
    """Fit on the first half of the windows; on the second: correlation, share of expected moves beyond half
    the spread, and mean gain of those in half spreads."""
    market, series = market_series(config, SECONDS)
    correlations, shares, gains = [], [], []
    for truth, one in zip(market.truth.symbols, series, strict=True):
        moves, flow = one.mid_moves(), one.imbalance()
        half = SECONDS // 2
        slope, _ = line(moves[1:half], flow[: half - 1])
        expected, came = slope * flow[half - 1 : -1], moves[half:]
        correlations.append(float(np.corrcoef(expected, came)[0, 1]))
        beyond = np.abs(expected) > truth.half_spread
        shares.append(float(beyond.mean()))
        if beyond.any():
            gains.append(float(np.mean(np.sign(expected) * came, where=beyond) / truth.half_spread))
    return correlations, shares, gains


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_this_windows_flow_foretells_the_next_move_beyond_half_the_spread(seed: int) -> None:
    correlations, shares, gains = out_of_sample(MarketConfig(symbols=12, seed=seed))
    # Without content each correlation has a standard error of 0.04.
    assert sum(c > 0.12 for c in correlations) >= 11
    assert np.mean(correlations) > 0.2
    assert np.mean(shares) > 0.05
    assert np.mean(gains) > 1.0  # more than it costs to enter


def test_without_large_traders_there_is_nothing_to_foretell() -> None:
    correlations, shares, _ = out_of_sample(replace(MarketConfig(symbols=12, seed=0), flow_bias=0.0))
    assert abs(np.mean(correlations)) < 0.05
    assert np.mean(shares) < 0.02


def test_a_minute_of_the_demos_market_has_windows_that_a_rolling_fit_would_trade() -> None:
    """The order-flow signal's own rule: at least two standard errors, and more than half the spread."""
    trades = 0
    market, series = market_series(MarketConfig(symbols=12, seed=0), 60)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        moves, flow = one.mid_moves(), one.imbalance()
        for k in range(10, 60):
            slope, r2 = line(moves[1:k], flow[: k - 1])
            t = np.sqrt((k - 3) * r2 / (1 - r2))
            trades += bool(t > 2 and abs(slope * flow[k - 1]) > truth.half_spread)
    assert trades >= 20
