"""What TA-Lib lacks, and what it has but computes with sums that drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import indicators
from tests.agents.indicators.making import assert_close, walk
from tests.oracles import indicators as slow


def lists(bars: dict) -> dict:
    return {name: column[0].tolist() for name, column in bars.items()}


@pytest.mark.parametrize("numbers", [(9, 26, 52, 26), (3, 2, 5, 1), (7, 7, 4, 10)])
def test_ichimoku_is_the_oracles(numbers):
    bars = walk(1, 200, seed=4)
    mine = indicators.compute(bars, f"ichimoku({','.join(map(str, numbers))})")
    theirs = slow.ichimoku(*(lists(bars)[name] for name in ("high", "low")), *numbers)
    for ours, other in zip(mine.values(), theirs, strict=True):
        assert ours[0].tobytes() == np.array(other).tobytes()


@pytest.mark.parametrize("n", [1, 2, 13])
def test_vwap_of_n_bars_is_the_oracles(n):
    bars = walk(1, 200, seed=5)
    assert_close(
        indicators.compute(bars, f"vwap({n})")[f"vwap({n})"][0], slow.rolling_vwap(lists(bars), n), 1e-14
    )


EXACT = {
    "sum": (slow.exact_sum, 1.0),
    "wma": (slow.exact_weighted, 1.0),
    "var": (slow.exact_variance, 1.0),
    "linearreg_slope": (slow.exact_slope, 1.0),
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(EXACT)),
    st.integers(2, 9),
    st.lists(st.integers(1, 10**6).map(lambda i: i / 64), min_size=10, max_size=60),
)
def test_windows_are_exact_to_a_few_roundings(name, n, values):
    mine = indicators.compute(np.array(values), f"{name}({n})")[f"{name}({n})"]
    theirs = np.array(EXACT[name][0](values, n))
    scale = max(values) ** 2 if name == "var" else max(values)
    assert np.isnan(mine).tolist() == np.isnan(theirs).tolist()
    assert np.nanmax(np.abs(mine - theirs)) <= 4e-15 * n * scale


@pytest.mark.parametrize(
    "name", ["sma", "wma", "stddev", "linearreg", "trima", "bbands", "cmf", "vwap(20)", "cci", "mfi"]
)
def test_a_huge_bar_leaves_nothing_behind_when_it_has_left_the_window(name):
    """A running sum would keep the rounding error of 1e15 for ever."""
    calm = walk(1, 400, seed=6)
    wild = {key: column.copy() for key, column in calm.items()}
    for key in wild:
        wild[key][0, 100] = 1e15
    for a, b in zip(
        indicators.compute(calm, name).values(), indicators.compute(wild, name).values(), strict=True
    ):
        assert_close(b[0, 200:], a[0, 200:], 1e-12)


@pytest.mark.parametrize("name", ["obv", "ad", "vwap"])
def test_a_sum_since_the_beginning_loses_nothing_to_a_huge_bar(name):
    bars = walk(1, 3_000, seed=7)
    bars["volume"][:] = 0.1
    bars["volume"][0, 100:102] = 1e17
    bars["close"][0, 99:102] = (10.0, 11.0, 10.0)  # bought and sold again
    bars["high"][0, 100:102], bars["low"][0, 100:102] = (11.0, 12.0), (9.0, 10.0)
    mine = indicators.compute(bars, name)[name][0, -1]
    b = lists(bars)
    rows = list(zip(b["high"], b["low"], b["close"], b["volume"], strict=True))
    if name == "obv":
        ups = zip(b["close"], b["close"][1:], b["volume"][1:], strict=False)
        exact = math.fsum([b["volume"][0], *(v * ((c > p) - (c < p)) for p, c, v in ups)])
    elif name == "ad":
        exact = math.fsum(((c - lo) - (h - c)) / (h - lo) * v for h, lo, c, v in rows if h > lo)
    else:
        exact = math.fsum((h + lo + c) / 3 * v for h, lo, c, v in rows) / math.fsum(b["volume"])
    assert mine == pytest.approx(exact, rel=1e-14, abs=1e-12)


def test_a_still_series_has_no_deviation_at_all_and_no_direction():
    still = np.full(50, 0.1 + 0.2)
    bars = {"high": still, "low": still, "close": still, "open": still, "volume": np.ones(50)}
    for name in ("stddev", "var", "rsi", "cci", "adx", "willr", "bop", "linearreg_slope", "mfi"):
        values = indicators.compute(bars, name)[name]
        assert set(values[~np.isnan(values)].tolist()) == {0.0}, name


def test_a_coin_worth_a_millionth_has_indicators_like_any_other():
    """TA-Lib calls a variance below 1e-14 zero, and so every one of such a coin."""
    normal, tiny = walk(1, 300, seed=8), walk(1, 300, seed=8)
    for name in ("open", "high", "low", "close"):
        tiny[name] = tiny[name] * 2.0**-30
    for name in ("stddev", "bbands", "rsi", "cci", "mfi", "adx", "cmo", "stoch"):
        pairs = zip(
            indicators.compute(normal, name).values(), indicators.compute(tiny, name).values(), strict=True
        )
        for a, b in pairs:
            scaled = b * 2.0**30 if name in ("stddev", "bbands") else b
            assert scaled.tobytes() == a.tobytes()
