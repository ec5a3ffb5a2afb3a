"""The pipeline's own kernels, run over the simulated market, find what is planted in it.

Tolerances are sampling error at the length used, plus what each test states.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.kernels import (
    FEATURE_NAMES,
    INT_NAMES,
    KernelConfig,
    PartitionState,
    run,
    validate,
)
from agents.kernels.run import EVENT_CROSSED, EVENT_DUPLICATE, EVENT_GAP, EVENT_LATE
from schemas.ticks import Ticks
from streams.market.config import MarketConfig
from streams.market.fault_plan import FaultPlan
from streams.market.market import SimulatedMarket
from tests.streams.market.series import SECOND_NS, Floats, line, series_of

DEFAULT = MarketConfig(symbols=5, seed=11)


class Kernels:
    """A partition's kernel that is fed ticks and keeps its rows."""

    def __init__(self, symbols: int, windows_s: tuple[int, ...], rolling: int) -> None:
        windows = tuple(w * SECOND_NS for w in windows_s)
        self.state = PartitionState(KernelConfig(windows_ns=windows, rolling_windows=rolling))
        self.state.add_symbols(symbols)
        self.ints: list[Any] = []
        self.floats: list[Any] = []
        self.counts: Counter[str] = Counter()
        self.missing = 0

    def feed(self, ticks: Ticks) -> None:
        c = ticks.columns
        prices = [c[x] for x in ("bid_px", "ask_px", "trade_px", "bid_sz", "ask_sz", "trade_sz", "aggressor")]
        codes = validate(c["ts_event_ns"], c["ts_recv_ns"], c["kind"], *prices, 3_600 * SECOND_NS)
        result = run(
            self.state, c["ts_event_ns"], c["symbol"], c["kind"], codes, *prices, c["sequence"],
            dense_quotes=ticks.sequences.dense_quotes, dense_trades=ticks.sequences.dense_trades,
        )  # fmt: skip
        self.ints.append(result.feature_ints.copy())
        self.floats.append(result.features.copy())
        self.counts += Counter(dead=result.n_dead, late=result.n_late, duplicate=result.n_duplicate)
        for code, a, b in zip(result.event_codes, result.event_a, result.event_b, strict=True):
            self.counts[f"event {code}"] += 1
            self.missing += int(b - a) if code == EVENT_GAP else 0

    def feature(self, name: str, symbol: int, window: int = 0) -> Floats:
        """The feature's values of a symbol in its closed windows, in order."""
        ints, floats = np.concatenate(self.ints, axis=1), np.concatenate(self.floats, axis=1)
        mine = ints[INT_NAMES.index("symbol_id")] == symbol
        mine &= ints[INT_NAMES.index("window")] == window
        found: Floats = floats[FEATURE_NAMES.index(name)][mine]
        return found


def kernels_over(
    config: MarketConfig, seconds: int, windows_s: tuple[int, ...] = (1, 60), rolling: int = 3_000
) -> tuple[SimulatedMarket, Kernels, Ticks]:
    market = SimulatedMarket(config)
    kernels = Kernels(config.symbols, windows_s, rolling)
    ticks = market.block(until_ns=config.start_ns + seconds * SECOND_NS)
    kernels.feed(ticks)
    return market, kernels, ticks


def test_roll_finds_the_half_spread_where_trades_move_nothing() -> None:
    market, kernels, _ = kernels_over(replace(DEFAULT, impact=0.0, flow_bias=0.0), 3_600)
    for i, truth in enumerate(market.truth.symbols):
        windows = kernels.feature("roll", i, window=1)
        # Squares, for they average without bias over windows; a window of a minute has some 600 trades.
        assert np.sqrt(np.nanmean(windows**2)) == pytest.approx(2 * truth.half_spread_rms, rel=0.06)


def test_the_effective_spread_is_twice_the_half_spread() -> None:
    market, kernels, _ = kernels_over(DEFAULT, 1_800)
    for i, truth in enumerate(market.truth.symbols):
        found = np.nanmean(kernels.feature("effective_spread", i, window=1))
        assert found == pytest.approx(2 * truth.half_spread, rel=0.03)


def test_kyles_lambda_is_the_planted_one() -> None:
    market, kernels, _ = kernels_over(DEFAULT, 3_600)
    for i, truth in enumerate(market.truth.symbols):
        assert kernels.feature("kyle_lambda", i)[-1] == pytest.approx(truth.kyle_lambda, rel=0.12)


def test_order_flow_imbalance_is_that_of_the_quotes_and_has_the_planted_slope() -> None:
    market, kernels, ticks = kernels_over(DEFAULT, 1_800)
    for i, truth in enumerate(market.truth.symbols):
        flow, moves = kernels.feature("ofi", i), kernels.feature("mid_move", i)
        slow = series_of(ticks, i, DEFAULT.start_ns, 1_800).imbalance()[: len(flow)]
        assert np.allclose(flow, slow, rtol=0, atol=1e-6 * truth.depth)
        known = np.isfinite(moves)
        slope, r2 = line(moves[known], flow[known])
        assert slope == pytest.approx(truth.ofi_slope, rel=0.25)  # as in test_market_truth
        assert r2 > 0.55


def test_the_branching_ratio_is_the_planted_one_in_windows_longer_than_the_bursts() -> None:
    """The moment estimator wants windows much longer than 1/(β (1 - n)), which is a second or less here."""
    config = replace(DEFAULT, u_shape=0.0)
    market, kernels, _ = kernels_over(config, 14_400, windows_s=(20,), rolling=10_000)
    for i, truth in enumerate(market.truth.symbols):
        assert kernels.feature("hawkes_branching", i)[-1] == pytest.approx(truth.branching, abs=0.1)


def test_the_next_move_is_foretold_beyond_its_cost_with_flow_and_not_without() -> None:
    _, kernels, _ = kernels_over(DEFAULT, 900, rolling=64)
    _, without, _ = kernels_over(replace(DEFAULT, flow_bias=0.0), 900, rolling=64)

    def traded(of: Kernels, symbol: int) -> float:
        cost = of.feature("spread", symbol) / of.feature("mid", symbol) / 2 * 1e4
        sure = np.abs(of.feature("ofi_t", symbol)) >= 2.0
        return float(np.mean(sure & (np.abs(of.feature("expected_move_bps", symbol)) >= cost)))

    shares = [traded(kernels, i) for i in range(DEFAULT.symbols)]
    assert np.mean(shares) > 0.05
    assert np.mean([traded(without, i) for i in range(DEFAULT.symbols)]) < 0.02


def test_the_kernels_count_exactly_the_faults_that_are_planted() -> None:
    plan = FaultPlan(gap=0.01, duplicate=0.01, crossed=0.01, stall=0.0002, bad=0.01, stall_ms=1_500, seed=5)
    market, kernels, _ = kernels_over(replace(DEFAULT, faults=plan), 120)
    faults = Counter[str]()
    for fault in market.truth.faults:
        if fault.certain:
            faults[fault.fault] += fault.count
    counts = kernels.counts
    assert min(faults[kind] for kind in ("gap", "duplicate", "crossed", "stall", "bad")) > 50
    assert counts["duplicate"] == counts[f"event {EVENT_DUPLICATE}"] == faults["duplicate"]
    assert counts["dead"] == faults["bad"]
    assert counts[f"event {EVENT_CROSSED}"] == faults["crossed"]
    # A dead tick's number counts for nothing, so that it is missing too.
    assert kernels.missing == faults["gap"] + faults["stall"] + faults["bad"]
    assert counts["late"] == 0


def test_the_kernels_count_exactly_the_late_ticks_and_their_holes() -> None:
    plan = FaultPlan(late=0.01, late_ms=2_000, seed=5)
    market, kernels, _ = kernels_over(replace(DEFAULT, faults=plan), 120)
    late = [fault for fault in market.truth.faults if fault.fault == "late"]
    assert kernels.counts["late"] == kernels.counts[f"event {EVENT_LATE}"] == len(late) > 100
