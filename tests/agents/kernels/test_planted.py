"""What is planted in simulated markets is found: Roll, Kyle, OFI, Hawkes, micro-price, and the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agents.kernels import CLNV, EMO, LEE_READY, QUOTE, TICK, KernelConfig
from agents.kernels.hawkes import fit_hawkes
from agents.kernels.micro_price import fit_micro_price
from tests.agents.kernels.compare import run_all
from tests.oracles.hawkes import log_likelihood
from tests.oracles.ticks import quote, trade

S = 1_000_000_000
START = 1_700_000_000 * S
PX = 100 * S
STEP = 10_000_000


def last_row(config, ticks, **how):
    return run_all(config, ticks, **how)[0].rows()[-1]


def test_roll_recovers_a_planted_spread():
    """Trades at mid ± half a spread with independent sides: cov = −s²/4."""
    rng = np.random.default_rng(0)
    mids = PX + np.cumsum(rng.integers(-1, 2, 40_000)) * STEP // 20
    sides = rng.choice([-1, 1], 40_000)
    ticks = [
        trade(START + i * 1_000_000, int(m + s * 5 * STEP))
        for i, (m, s) in enumerate(zip(mids, sides, strict=True))
    ]
    row = last_row(KernelConfig(windows_ns=(60 * S,)), ticks)
    assert row["roll"] == pytest.approx(0.1, rel=0.01)


def test_roll_is_undefined_for_prices_that_trend():
    ticks = [trade(START + i * S // 100, PX + i * i * STEP) for i in range(50)]
    assert math.isnan(last_row(KernelConfig(windows_ns=(60 * S,)), ticks)["roll"])


def test_kyles_lambda_recovers_a_planted_slope():
    """The mid moves by λ times the window's signed volume, plus noise."""
    rng = np.random.default_rng(1)
    slope, mid, ticks = 0.02, PX, []
    for second in range(200):
        flow = 0
        for i in range(10):
            side, size = int(rng.choice([-1, 1])), int(rng.integers(1, 9))
            flow += side * size
            ticks.append(trade(START + second * S + i * 1_000, PX, float(size), side))
        mid += round((slope * flow + rng.normal(0, 0.01)) * S)
        ticks.append(quote(START + second * S + S // 2, mid - STEP, mid + STEP))
    row = last_row(KernelConfig(windows_ns=(S,)), ticks)
    assert row["kyle_lambda"] == pytest.approx(slope, rel=0.02)
    assert row["amihud"] > 0


def test_the_ofi_regression_recovers_a_planted_predictive_slope():
    """The mid moves in a window by 0.5 + β times the imbalance of the window before."""
    rng = np.random.default_rng(2)
    beta, mid, ticks, imbalance = 0.003, PX, [], 0.0
    for second in range(150):
        start = START + second * S
        mid += round((0.5 + beta * imbalance + rng.normal(0, 0.001)) * S)
        # First the price moves, with sizes that add nothing to the flow; then size comes on the bid.
        ticks.append(quote(start, mid - STEP, mid + STEP, 0.0, 0.0))
        imbalance = float(rng.integers(0, 200))
        ticks.append(quote(start + S // 2, mid - STEP, mid + STEP, imbalance, 0.0))
        # The next window's first quote lifts the price: this size leaves, which the bid's rise ignores.
    row = last_row(KernelConfig(windows_ns=(S,)), ticks)
    assert row["ofi_beta"] == pytest.approx(beta, rel=0.01)
    assert row["ofi_alpha"] == pytest.approx(0.5, rel=0.01)
    assert row["ofi_r2"] > 0.99
    assert row["ofi_t"] > 50
    assert row["expected_move_bps"] == pytest.approx((0.5 + beta * imbalance) / row["mid"] * 1e4, rel=0.01)


def test_a_gap_between_windows_is_no_pair_for_the_ofi_regression():
    ticks = [quote(START + 2 * k * S, PX + k * STEP, PX + (k + 1) * STEP, float(k), 1.0) for k in range(40)]
    row = last_row(KernelConfig(windows_ns=(S,)), ticks)
    assert math.isnan(row["ofi_beta"])
    assert row["mid_move"] == pytest.approx(0.01)


def hawkes_times(mu, alpha, beta, horizon_s, seed):
    """Event times in s by thinning (Ogata 1981)."""
    rng = np.random.default_rng(seed)
    t, excited, times = 0.0, 0.0, []
    while True:
        bound = mu + excited
        gap = rng.exponential(1.0 / bound)
        t += gap
        excited *= math.exp(-beta * gap)
        if t > horizon_s:
            return times
        if rng.random() * bound <= mu + excited:
            times.append(t)
            excited += alpha


def test_the_hawkes_fit_recovers_planted_parameters():
    times = hawkes_times(5.0, 6.0, 10.0, 2_000.0, seed=3)
    fit = fit_hawkes(np.array([START + round(t * S) for t in times]), round((2_000.0 - times[0]) * S))
    assert fit.mu == pytest.approx(5.0, rel=0.1)
    assert fit.branching == pytest.approx(0.6, abs=0.03)
    assert fit.beta == pytest.approx(10.0, rel=0.1)
    assert fit.alpha == pytest.approx(fit.branching * fit.beta)


def test_the_hawkes_fit_is_a_maximum_of_the_likelihood_by_double_sum():
    times = hawkes_times(2.0, 1.5, 3.0, 100.0, seed=4)
    seconds = [t - times[0] for t in times]
    fit = fit_hawkes(np.array([round(t * S) for t in times]))
    at_best = log_likelihood(seconds, seconds[-1], fit.mu, fit.alpha, fit.beta)
    assert fit.log_likelihood == pytest.approx(at_best, abs=1e-5)
    for factor in (0.97, 1.03):
        for mu, alpha, beta in ((factor, 1, 1), (1, factor, 1), (1, 1, factor)):
            nearby = log_likelihood(seconds, seconds[-1], fit.mu * mu, fit.alpha * alpha, fit.beta * beta)
            assert nearby < at_best


def test_the_hawkes_fit_of_a_poisson_process_finds_no_excitement():
    times = np.cumsum(np.random.default_rng(5).exponential(0.1, 3_000))
    fit = fit_hawkes(np.round(times * S).astype(np.int64))
    assert fit.branching < 0.08
    assert fit.mu + fit.branching * 10 == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize("times", [[1, 2, 3], [5, 4, *range(10, 30)]])
def test_the_hawkes_fit_refuses_few_or_falling_times(times):
    with pytest.raises(ValueError, match="ascending"):
        fit_hawkes(np.array(times, np.int64))


def test_the_streaming_branching_ratio_recovers_a_planted_one():
    """By the moments of counts in windows much longer than the kernel."""
    times = hawkes_times(20.0, 12.0, 20.0, 3_000.0, seed=6)
    ticks = [trade(START + round(t * S), PX, aggressor=1) for t in times]
    config = KernelConfig(windows_ns=(5 * S,), rolling_windows=512, hawkes_decay_per_s=20.0)
    rows = run_all(config, ticks)[0].rows()
    assert rows[-1]["hawkes_branching"] == pytest.approx(0.6, abs=0.08)
    mean = np.mean([row["hawkes_intensity"] for row in rows[50:]])
    assert mean == pytest.approx(20.0 / (1 - 0.6), rel=0.1)


def test_the_micro_price_of_a_planted_chain_is_its_closed_form():
    """Two imbalance states. From the high one the mid goes up with u, down with d, the state flips with
    f; after a move both states are equally likely, so g·(1 − stay + f) = (u − d)·tick.
    """
    rng = np.random.default_rng(7)
    u, d, f = 0.10, 0.02, 0.20
    n, level, high = 400_000, 10_000, True
    states, levels = np.empty(n, bool), np.empty(n, np.int64)
    draws = rng.random(n)
    for i in range(n):
        states[i], levels[i] = high, level
        x = draws[i]
        if x < u + d:
            up = (x < u) == high
            level += 1 if up else -1
            high = bool(rng.random() < 0.5)
        elif x < u + d + f:
            high = not high
    bid = levels * STEP
    sizes = np.where(states, 9.0, 1.0)
    table = fit_micro_price(bid, bid + STEP, sizes, 10.0 - sizes, STEP, n_imbalance=2, n_spread=1)
    stay = 1 - u - d - f
    expected = (u - d) * 0.01 / (1 - stay + f)
    assert table.shape == (1, 2)
    assert table[0] == pytest.approx([-expected, expected], rel=0.03)


def test_the_micro_price_is_the_mean_mid_far_ahead():
    """Ten imbalance states that walk; g from the fit against the mean mid 400 steps later, by state."""
    rng = np.random.default_rng(8)
    n = 300_000
    state, level = 5, 0
    states, levels = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        states[i], levels[i] = state, level
        state += int(rng.choice([-1, 1]))
        if not 0 <= state <= 9:
            level += 1 if state > 9 else -1
            state = 4 + (rng.random() < 0.5)
    bid = (100_000 + levels) * STEP
    sizes = states + 0.5
    table = fit_micro_price(bid, bid + STEP, sizes, 10.0 - sizes, STEP, n_spread=1)[0]
    later = (levels[400:] - levels[:-400]) * 0.01
    drift = np.array([later[states[:-400] == s].mean() for s in range(10)])
    # A fair walk leaves at the upper end with probability (s + 1) / 11: g = (2(s + 1)/11 − 1)·tick.
    assert table == pytest.approx((2 * (np.arange(10) + 1) / 11 - 1) * 0.01, abs=4e-4)
    assert table == pytest.approx(drift, abs=1.5e-3)
    assert table == pytest.approx(-table[::-1])


def test_the_micro_price_stands_in_the_row_by_spread_and_imbalance():
    table = [[-0.004, 0.004], [-0.008, 0.008]]
    for wide, bid_sz, expected in ((1, 1.0, -0.004), (1, 9.0, 0.004), (2, 9.0, 0.008), (7, 9.0, 0.008)):
        ticks = [quote(START, PX, PX + wide * STEP, bid_sz, 10.0 - bid_sz)]
        row = last_row(KernelConfig(), ticks, micro={0: (STEP, table)})
        assert row["micro_price"] - row["mid"] == pytest.approx(expected)
    assert math.isnan(last_row(KernelConfig(), ticks)["micro_price"])


@pytest.mark.parametrize(
    ("rule", "px", "before", "sign"),
    [
        (LEE_READY, 101, 99, 1),  # the mid is 100
        (LEE_READY, 99, 100, -1),
        (LEE_READY, 100, 99, 1),  # at the mid: the tick rule
        (LEE_READY, 100, 101, -1),
        (QUOTE, 100, 99, 0),
        (QUOTE, 101, 99, 1),
        (TICK, 101, 102, -1),
        (EMO, 110, 120, 1),  # at the ask
        (EMO, 90, 80, -1),  # at the bid
        (EMO, 109, 110, -1),  # inside: the tick rule
        (EMO, 111, 112, -1),  # outside: the tick rule
        (CLNV, 104, 105, 1),  # 30 % of the spread of 20 below the ask, exactly
        (CLNV, 103, 104, -1),
        (CLNV, 96, 95, -1),
        (CLNV, 97, 96, 1),
        (CLNV, 110, 111, 1),
        (CLNV, 111, 112, -1),  # above the ask: the tick rule
    ],
)
def test_each_rule_signs_at_its_boundaries(rule, px, before, sign):
    """Against a quote of 90 to 110, after a trade at ``before``."""
    ticks = [trade(START, before, 0.0, 1), quote(START + 1, 90, 110), trade(START + 2, px, 3.0)]
    row = last_row(KernelConfig(sign_rule=rule), ticks)
    assert (row["buy_volume"], row["sell_volume"]) == (3.0 * (sign > 0), 3.0 * (sign < 0))


def test_clnvs_band_is_exact_where_three_tenths_are_not_whole():
    """Of a spread of 19 the band is 5.7: 5 below the ask is inside, 6 is not."""
    for px, sign in ((104, 1), (103, -1)):
        ticks = [trade(START, 105, 0.0, 1), quote(START + 1, 90, 109), trade(START + 2, px, 3.0)]
        row = last_row(KernelConfig(sign_rule=CLNV), ticks)
        assert (row["buy_volume"], row["sell_volume"]) == (3.0 * (sign > 0), 3.0 * (sign < 0))


def test_a_trade_that_comes_late_is_not_held_against_a_quote_of_its_own_instant():
    """Quotes at 5 and 7, then a trade of 5: neither stands strictly before it."""
    ticks = [quote(START + 5, 90, 110), quote(START + 7, 90, 110), trade(START + 5, 110, 1.0)]
    assert math.isnan(last_row(KernelConfig(), ticks)["effective_spread"])
    later = trade(START + 6, 110, 1.0)
    assert last_row(KernelConfig(), [*ticks[:2], later])["effective_spread"] > 0


def test_a_quote_of_the_trades_own_instant_is_not_the_one_before_it():
    old, new = quote(START, PX, PX + 2 * STEP), quote(START + 5, PX + 10 * STEP, PX + 12 * STEP)
    same = last_row(KernelConfig(), [old, new, trade(START + 5, PX + 2 * STEP)])
    later = last_row(KernelConfig(), [old, new, trade(START + 6, PX + 2 * STEP)])
    assert same["effective_spread"] == pytest.approx(0.02)  # a buy, a tick above the old mid
    assert later["buy_volume"] == 0.0


def test_effective_spread_is_realized_spread_plus_impact():
    """One trade, its mid a horizon later a tick higher: by hand."""
    config = KernelConfig(windows_ns=(10 * S,), impact_horizon_ns=S)
    ticks = [
        quote(START, PX, PX + 2 * STEP),
        trade(START + 1, PX + 2 * STEP, 1.0, 1),
        quote(START + S // 2, PX + STEP, PX + 3 * STEP),
        quote(START + S + S // 32, PX + 50 * STEP, PX + 52 * STEP),  # at the due time, so too late
    ]
    row = last_row(config, ticks)
    found = [row[name] for name in ("effective_spread", "realized_spread", "price_impact")]
    assert found == pytest.approx([0.02, 0.0, 0.02])


def test_a_trade_due_at_the_close_is_evaluated_there_and_not_in_the_next_window():
    config = KernelConfig(windows_ns=(10 * S,), impact_horizon_ns=S)
    ticks = [
        quote(START, PX, PX + 2 * STEP),
        trade(START + 9 * S - 1, PX + 2 * STEP, 1.0, 1),
        quote(START + 10 * S, PX + 50 * STEP, PX + 52 * STEP),
    ]
    first, second = run_all(config, ticks)[0].rows()
    assert [first["realized_spread"], first["price_impact"]] == pytest.approx([0.02, 0.0])
    assert math.isnan(second["realized_spread"])


def test_one_huge_trade_costs_bounded_work_and_fills_the_ring():
    ticks = [trade(START + i, PX, 1.0, 1 - 2 * (i % 2)) for i in range(64)]
    ticks.append(trade(START + 70, PX, 1e18, 1))
    assert last_row(KernelConfig(), ticks)["vpin"] == pytest.approx(1.0)


def test_vpin_of_balanced_flow_is_0_and_of_one_sided_flow_1():
    config = KernelConfig(vpin_buckets=4, vpin_bucket_trades=4)
    for side, expected in ((lambda i: 1 - 2 * (i % 2), 0.0), (lambda i: -1, 1.0)):
        ticks = [trade(START + i, PX, 2.0, side(i)) for i in range(40)]
        assert last_row(config, ticks)["vpin"] == pytest.approx(expected)


def test_rv_bipower_and_medrv_agree_on_a_diffusion_and_only_rv_sees_a_jump():
    rng = np.random.default_rng(9)
    mids = 1e11 * np.exp(np.cumsum(rng.normal(0, 1e-4, 20_000)))
    values = {}
    for jump in (0.0, 0.05):
        path = mids * np.where(np.arange(20_000) < 10_000, 1.0, 1.0 + jump)
        ticks = [quote(START + i * 1_000, round(m) - 1_000, round(m) + 1_000) for i, m in enumerate(path)]
        row = last_row(KernelConfig(windows_ns=(60 * S,)), ticks)
        values[jump] = [row[name] for name in ("rv", "bipower", "medrv")]
    variance = 20_000 * 1e-8
    assert values[0.0] == pytest.approx([variance] * 3, rel=0.03)
    assert values[0.05][0] == pytest.approx(variance + math.log(1.05) ** 2, rel=0.03)
    assert values[0.05][1:] == pytest.approx([variance] * 2, rel=0.1)
