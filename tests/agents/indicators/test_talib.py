"""Against TA-Lib itself: its C library comes with its wheel."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from talib import abstract

from agents import indicators
from agents.kernels.indicators import TABLE
from tests.agents.indicators.making import assert_close, recorded, walk

NOT_IN_TALIB = {"ichimoku"}
OTHERS = [
    *(
        "sma(1)",
        "sma(7)",
        "ema(1)",
        "ema(2)",
        "wma(1)",
        "wma(8)",
        "dema(2)",
        "tema(5)",
        "trima(2)",
        "trima(7)",
    ),
    *("kama(2)", "kama(10)", "t3(2,0.5)", "t3(9,1)", "hma(2)", "hma(9)", "vwma(1)", "bbands(5,1,3,1)"),
    *("bbands(9,2,2,2)", "donchian(2)", "kc(5,10,1.5)", "kc(12,5,1)", "supertrend(3,1)", "sar(0.3,0.2)"),
    *("macd(3,10,4)", "macd(26,12,9)", "macd(5,5,1)", "apo(12,26,0)", "apo(9,3,2)", "ppo(12,26,0)"),
    *(
        "ppo(2,3,1)",
        "trix(1)",
        "trix(5)",
        "rsi(2)",
        "rsi(9)",
        "cmo(3)",
        "stoch(14,3,1,3,0)",
        "stoch(5,1,0,1,0)",
    ),
    *("stoch(9,3,2,5,1)", "stochf(1,1,0)", "stochf(8,4,1)", "stochrsi(14,14,3,0)", "stochrsi(7,5,3,1)"),
    *("cci(2)", "cci(21)", "mom(1)", "roc(1)", "willr(2)", "ultosc(28,7,14)", "ultosc(1,2,3)", "aroon(2)"),
    *("aroonosc(25)", "adx(2)", "adx(5)", "adxr(2)", "adxr(7)", "dx(2)", "plus_di(5)", "minus_di(2)"),
    *("plus_dm(2)", "minus_dm(5)", "vortex(2)", "vortex(5)", "atr(1)", "atr(5)", "natr(2)", "stddev(20,2)"),
    *("var(1)", "var(20)", "avgdev(3)", "adosc(10,3)", "adosc(2,5)", "mfi(2)", "cmf(3)", "linearreg(2)"),
    *("linearreg_slope(25)", "linearreg_intercept(3)", "tsf(9)", "max(2)", "min(9)", "sum(2)"),
    *("midpoint(2)", "midprice(9)"),
]
SHARED = [name for name in TABLE if name not in NOT_IN_TALIB]


def theirs(text: str, bars: dict) -> list[np.ndarray]:
    """TA-Lib's answer for one symbol."""
    request = indicators.parse(text)
    given = [
        float(v) if not p.whole else int(v)
        for p, v in zip(request.row.parameters, request.parameters, strict=True)
    ]
    if request.row.name == "vwap":
        given = []  # TA-Lib's has no period
    results = getattr(talib, request.row.name.upper())(*(bars[name] for name in request.row.inputs), *given)
    results = list(results) if isinstance(results, tuple) else [results]
    if request.row.name == "supertrend":
        results[1] = np.where(results[1] == 0, np.nan, results[1])  # theirs is 0 before
    return results


def assert_agrees(text: str, bars: dict) -> None:
    mine = indicators.compute(bars, text)
    for ours, other in zip(mine.values(), theirs(text, bars), strict=True):
        if text.startswith("linearreg_slope"):
            # TA-Lib's slope is a small difference of sums of prices; the exact oracle decides about ours.
            level = np.max(bars["close"])
            ours, other = ours + level, other + level
        assert_close(ours, other)


def test_every_other_indicator_is_one_of_talibs():
    assert {name for name in TABLE if not hasattr(talib, name.upper())} == NOT_IN_TALIB
    assert len(TABLE) >= 60


@pytest.mark.parametrize("text", [*SHARED, *OTHERS])
def test_random_bars_give_talibs_values_and_lookback(text):
    for seed in range(3):
        bars = {name: column[0] for name, column in walk(1, 700, seed).items()}
        assert_agrees(text, bars)


@pytest.mark.parametrize("share", ["aapl", "spy"])
@pytest.mark.parametrize("text", SHARED)
def test_recorded_bars_give_talibs_values_and_lookback(text, share):
    assert_agrees(text, recorded(share))


@pytest.mark.parametrize("text", SHARED)
def test_defaults_and_bounds_are_talibs(text):
    function = abstract.Function(text.upper())
    mine = {p.name: p.default for p in TABLE[text].parameters}
    if text != "vwap":
        assert mine == dict(function.parameters)
    assert indicators.parse(text).lookback == function.lookback
    assert len(TABLE[text].outputs) == len(function.output_names)
    if len(TABLE[text].outputs) > 1:
        assert list(TABLE[text].outputs) == function.output_names
