"""What is planted is found by slow, obvious estimators.

Each test states its tolerance: sampling error at its length, and what the price grid adds.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from schemas.ticks import QUOTE
from streams.market.config import MarketConfig
from tests.streams.market.series import Floats, line, market_series

DEFAULT = MarketConfig(symbols=6, seed=11)


def roll(prices: Floats) -> float:
    """Half of Roll's spread."""
    moves = np.diff(prices)
    return float(np.sqrt(-np.cov(moves[1:], moves[:-1])[0, 1]))


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_roll_finds_the_half_spread_where_trades_move_nothing(noise: float) -> None:
    market, series = market_series(replace(DEFAULT, impact=0.0, flow_bias=0.0, noise=noise), 1_800)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        assert roll(one.trade_px) == pytest.approx(truth.half_spread_rms, rel=0.05)


def test_roll_falls_short_by_impact_and_persistent_signs_as_theory_says() -> None:
    """With I the mean impact and r the signs' autocorrelation, c² becomes (1 - r)(c² - c I) - r I².

    The mid's steps on its grid add bounce of their own, most where the spread is one tick.
    """
    market, series = market_series(DEFAULT, 1_800)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        impact = truth.kyle_lambda * truth.mean_trade_size
        r = truth.flow_active * truth.flow_bias**2
        c = truth.half_spread_rms
        theory = np.sqrt((1 - r) * (c**2 - truth.half_spread * impact) - r * impact**2)
        assert theory - 0.02 * c < roll(one.trade_px) < theory + 0.2 * c


def test_the_effective_spread_is_the_planted_one() -> None:
    market, series = market_series(DEFAULT, 1_800)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        mid = one.mid[np.searchsorted(one.quote_s, one.trade_s) - 1]
        effective = 2 * one.sign * (one.trade_px - mid)
        assert effective.mean() == pytest.approx(2 * truth.half_spread, rel=0.01)


def test_kyles_slope_is_the_planted_lambda() -> None:
    market, series = market_series(DEFAULT, 3_600)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        slope, r2 = line(one.mid_moves(), one.signed_volume())
        assert slope == pytest.approx(truth.kyle_lambda, rel=0.1)
        assert r2 > 0.3


def test_without_impact_signed_volume_explains_nothing() -> None:
    _, series = market_series(replace(DEFAULT, impact=0.0), 1_800)
    for one in series:
        assert line(one.mid_moves(), one.signed_volume())[1] < 0.01


def test_order_flow_imbalance_explains_most_of_the_mid_moves_with_the_planted_slope() -> None:
    """The slope: 15 % between small and large moves, the rest by jumps, which carry less flow."""
    market, series = market_series(DEFAULT, 1_800)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        slope, r2 = line(one.mid_moves(), one.imbalance())
        assert slope == pytest.approx(truth.ofi_slope, rel=0.25)
        assert 0.55 < r2 < 0.95


def test_signs_persist_as_planted_and_not_without_large_traders() -> None:
    market, series = market_series(DEFAULT, 3_600)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        i = np.arange(len(one.sign) - 1)
        for lag_s in (0.5, 4.0, 16.0):
            later = np.searchsorted(one.trade_s, one.trade_s[i] + lag_s)
            i_in, later = i[later < len(one.sign)], later[later < len(one.sign)]
            found = np.mean(one.sign[i_in] * one.sign[later])
            planted = truth.flow_active * truth.flow_bias**2 * exp(-lag_s / truth.flow_tau_s)
            assert found == pytest.approx(planted, abs=0.05)
    _, series = market_series(replace(DEFAULT, flow_bias=0.0), 1_800)
    assert all(abs(np.mean(one.sign[1:] * one.sign[:-1])) < 0.03 for one in series)


def test_trades_arrive_at_the_planted_rate_and_cluster_as_planted() -> None:
    """Counts in windows much longer than 1/β have variance over mean of 1 / (1 - n)²."""
    market, series = market_series(replace(DEFAULT, u_shape=0.0), 14_400)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        counts = np.bincount((one.trade_s / 20.0).astype(int), minlength=720)
        assert counts.mean() / 20.0 == pytest.approx(truth.trade_rate, rel=0.05)
        dispersion = counts.var() / counts.mean()
        assert 1 - dispersion**-0.5 == pytest.approx(truth.branching, abs=0.08)


def hawkes_likelihood(times: list[float], mu: float, alpha: float, beta: float) -> float:
    """Log-likelihood of an exponential Hawkes process, by the recursion, from the first event on."""
    total, excitation, last = 0.0, 0.0, times[0]
    for t in times[1:]:
        decayed = excitation * exp(-beta * (t - last)) + exp(-beta * (t - last))
        total += log(mu + alpha * decayed)
        excitation, last = decayed, t
    end = times[-1]
    compensator = mu * (end - times[0])
    compensator += alpha / beta * sum(1 - exp(-beta * (end - t)) for t in times)
    return total - compensator


def test_the_planted_hawkes_parameters_are_the_most_likely_of_their_neighbours() -> None:
    market, series = market_series(replace(DEFAULT, symbols=1, u_shape=0.0), 1_800)
    truth, times = market.truth.symbols[0], series[0].trade_s.tolist()
    planted = (truth.hawkes_mu, truth.hawkes_alpha, truth.hawkes_beta)
    best = hawkes_likelihood(times, *planted)
    for i in range(3):
        for factor in (0.75, 1.3):
            changed = [value * factor if j == i else value for j, value in enumerate(planted)]
            assert hawkes_likelihood(times, *changed) < best


def test_without_clustering_trades_arrive_as_a_poisson_process() -> None:
    _, series = market_series(replace(DEFAULT, clustering=0.0, u_shape=0.0), 3_600)
    for one in series:
        counts = np.bincount(one.trade_s.astype(int), minlength=3_600)
        assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.1)


def test_trade_sizes_and_queues_have_the_planted_moments() -> None:
    market, series = market_series(DEFAULT, 1_800)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        assert one.trade_sz.mean() == pytest.approx(truth.mean_trade_size, rel=0.03)
        assert (one.trade_sz**2).mean() == pytest.approx(truth.mean_square_trade_size, rel=0.12)
        assert one.bid_sz.mean() == pytest.approx(truth.depth, rel=0.05)
        assert one.ask_sz.mean() == pytest.approx(truth.depth, rel=0.05)


def test_quotes_come_at_the_planted_rate_and_more_when_moves_pass_several_ticks() -> None:
    market, series = market_series(replace(DEFAULT, u_shape=0.0), 3_600)
    for truth, one in zip(market.truth.symbols, series, strict=True):
        instants = len(np.unique(one.quote_s))
        assert instants / 3_600 == pytest.approx(truth.quote_rate, rel=0.05)
        assert len(one.quote_s) >= instants


def test_capture_lags_by_the_planted_latency_and_an_exponential_of_50_microseconds() -> None:
    market, _ = market_series(DEFAULT, 10)
    ticks = market.block(n_ticks=20_000).columns
    lag = ticks["ts_recv_ns"] - ticks["ts_event_ns"]
    for code, truth in enumerate(market.truth.symbols):
        mine = lag[(ticks["symbol"] == code) & (ticks["kind"] == QUOTE)]
        assert mine.min() >= truth.latency_ns
        assert mine.mean() - truth.latency_ns == pytest.approx(50_000, rel=0.15)
