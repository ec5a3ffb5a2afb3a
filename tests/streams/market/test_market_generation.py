"""What every market keeps: it is a function of its configuration, in order, on its grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SettingsError
from schemas.ticks import QUOTE, TRADE, Sequences, concat_ticks
from streams.market.config import MarketConfig
from streams.market.fault_plan import FaultPlan
from streams.market.market import SimulatedMarket
from tests.streams.market.series import SECOND_NS, same_ticks

configs = st.builds(
    MarketConfig,
    symbols=st.integers(1, 40),
    seed=st.integers(0, 2**64 - 1),
    start_ns=st.integers(946_684_800, 2_000_000_000).map(lambda s: s * SECOND_NS),
    rate_per_s=st.sampled_from([0.1, 5.0, 50.0, 5_000.0]),
    impact=st.sampled_from([0.0, 0.35, 0.9]),
    flow_bias=st.floats(0.0, 1.0),
    clustering=st.floats(0.0, 0.8),
    noise=st.sampled_from([0.0, 1.0, 10.0]),
    u_shape=st.floats(0.0, 1.5),
    hide_aggressor=st.booleans(),
)


def test_the_same_configuration_gives_the_same_bits_and_another_seed_does_not() -> None:
    config = MarketConfig(symbols=5, seed=7)
    first = SimulatedMarket(config).block(n_ticks=20_000)
    assert same_ticks(first, SimulatedMarket(config).block(n_ticks=20_000))
    assert not same_ticks(first, SimulatedMarket(replace(config, seed=8)).block(n_ticks=20_000))


@settings(max_examples=40, deadline=None)
@given(config=configs, cuts=st.lists(st.integers(0, 900), min_size=1, max_size=6))
def test_blocks_of_any_sizes_join_to_the_same_stream(config: MarketConfig, cuts: list[int]) -> None:
    market = SimulatedMarket(config)
    parts = concat_ticks([market.block(n_ticks=n) for n in cuts])
    assert same_ticks(parts, SimulatedMarket(config).block(n_ticks=sum(cuts)))


def test_blocks_by_time_and_blocks_by_count_join_to_the_same_stream() -> None:
    config = MarketConfig(symbols=9, seed=3, rate_per_s=200.0)
    market = SimulatedMarket(config)
    rng = np.random.default_rng(0)
    moments = config.start_ns + np.sort(rng.integers(0, 10 * SECOND_NS, 50))
    parts = concat_ticks([market.block(until_ns=int(moment)) for moment in moments])
    whole = SimulatedMarket(config).block(n_ticks=len(parts))
    assert same_ticks(parts, whole)
    assert parts.columns["ts_event_ns"][-1] < moments[-1] <= market.next_ns


def test_a_block_larger_than_the_inner_chunk_is_the_same_stream() -> None:
    config = MarketConfig(symbols=3, seed=1)
    market = SimulatedMarket(config)
    parts = concat_ticks([market.block(n_ticks=50_000) for _ in range(3)])
    assert same_ticks(parts, SimulatedMarket(config).block(n_ticks=150_000))


def test_the_symbols_of_a_small_market_tick_alike_in_a_large_one() -> None:
    small = SimulatedMarket(MarketConfig(symbols=2, seed=5))
    large = SimulatedMarket(MarketConfig(symbols=50, seed=5))
    assert large.truth.symbols[:2] == small.truth.symbols
    until_ns = small.config.start_ns + 20 * SECOND_NS
    few, many = small.block(until_ns=until_ns), large.block(until_ns=until_ns)
    of_few = many.take(many.columns["symbol"] < 2)
    assert all(np.array_equal(of_few.columns[name], few.columns[name]) for name in few.columns)


@settings(max_examples=60, deadline=None)
@given(config=configs)
def test_every_tick_is_one_that_a_venue_could_have_sent(config: MarketConfig) -> None:
    market = SimulatedMarket(config)
    ticks = market.block(n_ticks=3_000)
    c, truths = ticks.columns, market.truth.symbols
    quote, trade = c["kind"] == QUOTE, c["kind"] == TRADE
    assert np.all(quote | trade)
    tick = np.array([round(one.tick_size * 1e9) for one in truths])[c["symbol"]]
    lot = np.array([one.lot for one in truths])[c["symbol"]]
    for price in ("bid_px", "ask_px", "trade_px"):
        assert np.all(c[price] % tick == 0)
    assert np.all(c["bid_px"][quote] > 0)
    assert np.all(c["bid_px"][quote] < c["ask_px"][quote])
    assert np.all(c["trade_px"][trade] > 0)
    for size, rows in (("bid_sz", quote), ("ask_sz", quote), ("trade_sz", trade)):
        lots = c[size][rows] / lot[rows]
        assert np.all(lots >= 1 - 1e-9)
        assert np.allclose(lots, np.rint(lots), rtol=0, atol=1e-6)
    for name in ("trade_px", "trade_sz", "aggressor"):
        assert not c[name][quote].any()
    for name in ("bid_px", "ask_px", "bid_sz", "ask_sz"):
        assert not c[name][trade].any()
    assert set(c["aggressor"][trade].tolist()) <= ({0} if config.hide_aggressor else {-1, 1})


@settings(max_examples=60, deadline=None)
@given(config=configs)
def test_ticks_are_in_order_and_numbered_without_a_hole(config: MarketConfig) -> None:
    ticks = SimulatedMarket(config).block(n_ticks=3_000)
    c = ticks.columns
    assert ticks.sequences == Sequences(dense_quotes=True, dense_trades=True)
    order = 2 * (c["ts_event_ns"] - config.start_ns) + (c["kind"] == QUOTE)
    assert np.all(np.diff(order) >= 0)  # and so trades come before quotes at the same instant
    assert np.all(c["ts_recv_ns"] > c["ts_event_ns"])
    for pair in np.unique(2 * c["symbol"] + c["kind"]):
        numbers = c["sequence"][2 * c["symbol"] + c["kind"] == pair]
        assert np.array_equal(numbers, np.arange(1, len(numbers) + 1))


def test_a_trade_is_at_the_quote_strictly_before_it() -> None:
    ticks = SimulatedMarket(MarketConfig(symbols=3, seed=2)).block(n_ticks=30_000)
    names = ("ts_event_ns", "symbol", "kind", "bid_px", "ask_px", "trade_px", "aggressor")
    last: dict[int, tuple[int, int, int]] = {}
    seen = 0
    for t, code, kind, bid, ask, price, side in zip(
        *(ticks.columns[name].tolist() for name in names),
        strict=True,
    ):  # fmt: skip
        if kind == QUOTE:
            last[code] = (t, bid, ask)
            continue
        before, bid, ask = last[code]
        assert before < t
        assert price == (ask if side > 0 else bid)
        seen += 1
    assert seen > 5_000


def test_hiding_the_aggressor_changes_nothing_else() -> None:
    config = MarketConfig(symbols=3, seed=2)
    shown = SimulatedMarket(config).block(n_ticks=5_000).columns
    hidden = SimulatedMarket(replace(config, hide_aggressor=True)).block(n_ticks=5_000).columns
    assert not hidden["aggressor"].any()
    assert all(np.array_equal(shown[name], hidden[name]) for name in shown if name != "aggressor")


def test_activity_follows_the_u_of_the_day() -> None:
    midnight = 1_767_571_200 * SECOND_NS
    config = MarketConfig(symbols=20, seed=4, start_ns=midnight, u_shape=0.6, clustering=0.0, rate_per_s=2.0)
    market = SimulatedMarket(config)
    counts = [len(market.block(until_ns=midnight + h * 3600 * SECOND_NS)) for h in range(1, 25)]
    hours = 2 * (np.arange(24) + 0.5) / 24 - 1
    expected = 1 + 0.6 * (1.5 * hours**2 - 0.5)
    assert np.allclose(counts / np.mean(counts), expected / expected.mean(), rtol=0.02)


def test_prices_stay_near_their_base_for_days() -> None:
    config = MarketConfig(symbols=10, seed=6, rate_per_s=1.0)
    market = SimulatedMarket(config)
    market.block(until_ns=config.start_ns + 5 * 86_400 * SECOND_NS)
    end = market.block(n_ticks=5_000).columns
    base = np.array([one.base_price for one in market.truth.symbols])[end["symbol"]]
    quote = end["kind"] == QUOTE
    assert np.all(np.abs(end["bid_px"][quote] / 1e9 / base[quote] - 1) < 0.25)


def test_symbols_differ_in_price_tick_spread_and_rate() -> None:
    truths = SimulatedMarket(MarketConfig(symbols=200, seed=0)).truth.symbols
    assert len({one.tick_size for one in truths}) >= 5
    assert {one.spread_ticks for one in truths} == {1, 2, 3}
    rates = [one.quote_rate + one.trade_rate for one in truths]
    assert 3.0 < max(rates) / min(rates) <= 4.0
    assert np.median(rates) == pytest.approx(50.0, rel=0.1)
    assert all(one.branching < 0.9 for one in truths)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbols", 0),
        ("symbols", 10_001),
        ("rate_per_s", 0.0),
        ("rate_per_s", float("nan")),
        ("impact", 1.0),
        ("flow_bias", 1.1),
        ("clustering", 0.9),
        ("start_ns", 0),
        ("seed", -1),
    ],
)
def test_a_market_that_cannot_be_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"market: {field} is"):
        MarketConfig(**{field: value})  # type: ignore[arg-type]


def test_a_block_needs_an_end() -> None:
    with pytest.raises(ValueError, match="n_ticks or until_ns"):
        SimulatedMarket(MarketConfig()).block()


def test_a_block_before_the_next_tick_is_empty() -> None:
    market = SimulatedMarket(MarketConfig(seed=1))
    assert len(market.block(until_ns=market.config.start_ns)) == 0
    assert len(market.block(n_ticks=0)) == 0


def test_a_market_with_faults_is_split_invariant_too() -> None:
    plan = FaultPlan(
        gap=0.02, duplicate=0.02, reorder=0.05, late=0.02, stall=0.001, bad=0.01, late_ms=300, seed=1
    )
    config = MarketConfig(symbols=4, seed=3, faults=plan)
    one, other = SimulatedMarket(config), SimulatedMarket(config)
    whole = [one.block(n_ticks=6_000), one.finish()]
    parts = [other.block(n_ticks=n) for n in (1, 999, 0, 3_000, 2_000)] + [other.finish()]
    assert same_ticks(
        concat_ticks([part for part in whole if part is not None]),
        concat_ticks([part for part in parts if part is not None]),
    )
    assert one.truth == other.truth
    assert len(one.truth.faults) > 300
