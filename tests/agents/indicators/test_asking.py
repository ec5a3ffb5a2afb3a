"""Names, parameters and the shapes in which bars come; and what is said when they are wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from agents import indicators
from agents.indicators import compute
from schemas.errors import BarsError, ParameterError
from tests.agents.indicators.making import walk

C = np.array([1.0, 2.0, 4.0, 7.0, 11.0])


def test_a_name_with_numbers_by_place_or_by_name():
    asked = [
        indicators.parse(text)
        for text in ("MACD", "macd(5, 9)", "Macd(signalperiod=3)", "keltner(nbdev=1.5)")
    ]
    assert [(r.text, r.row.name, r.parameters) for r in asked] == [
        ("macd", "macd", (12, 26, 9)),
        ("macd(5,9)", "macd", (5, 9, 9)),
        ("macd(signalperiod=3)", "macd", (12, 26, 3)),
        ("keltner(nbdev=1.5)", "kc", (20, 10, 1.5)),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rsj", "rsj: there is no such indicator (did you mean rsi?)"),
        ("rsi(1)", "rsi: timeperiod must be a whole number from 2 to 100000, was 1 (14 is the usual value)"),
        (
            "rsi(2.5)",
            "rsi: timeperiod must be a whole number from 2 to 100000, was 2.5 (14 is the usual value)",
        ),
        ("t3(5,nan)", "t3: vfactor must be a number from 0 to 1, was nan (0.7 is the usual value)"),
        (
            "rsi(length=3)",
            "rsi: length: no such parameter, it takes timeperiod (see indicators.describe('rsi'))",
        ),
        ("rsi(3,timeperiod=4)", "rsi: 2 parameters, it takes timeperiod (leave the rest away)"),
        ("bop(3)", "bop: 1 parameters, it takes no parameters (leave the rest away)"),
        ("t3(5,timeperiod=4)", "t3: timeperiod: given twice (see indicators.describe('t3'))"),
        ("rsi(", '\'rsi(\' is not an indicator (write it like "rsi" or "macd(12,26,9)")'),
    ],
)
def test_what_cannot_be_asked_is_answered_with_the_remedy(text, problem):
    with pytest.raises(ParameterError) as caught:
        indicators.parse(text)
    assert str(caught.value) == problem


def test_asking_twice_for_the_same_is_refused():
    with pytest.raises(ParameterError, match="sma: asked for twice"):
        compute(C, ["sma(2)", "sma", "SMA"])


def test_describe_says_what_it_takes_and_gives():
    assert indicators.describe("macd") == (
        "macd(fastperiod=12, slowperiod=26, signalperiod=9): Appel's MACD; of close; "
        "gives macd, macdsignal, macdhist after 33 bars"
    )
    assert "rsi" in indicators.names()


def test_an_array_a_mapping_and_a_matrix():
    one = compute(C, ["sma(2)"])["sma(2)"]
    assert one.tobytes() == np.array([np.nan, 1.5, 3.0, 5.5, 9.0]).tobytes()
    assert compute(C.tolist(), "sma(2)")["sma(2)"].tobytes() == one.tobytes()
    both = compute({"Close": np.stack([C, 2 * C])}, "sma(2)")["sma(2)"]
    assert both.tobytes() == np.stack([one, 2 * one]).tobytes()


def test_a_long_pandas_frame_keeps_its_index_and_its_order():
    frame = pd.DataFrame(
        {"symbol": ["B", "A"] * 5, "Close": np.column_stack([C, 10 * C]).ravel()}, index=range(100, 110)
    )
    result = compute(frame, ["mom(1)"])
    assert isinstance(result, pd.DataFrame)
    assert result.index.tolist() == frame.index.tolist()
    assert result["mom(1)"][2:].tolist() == [1, 10, 2, 20, 3, 30, 4, 40]
    assert result["mom(1)"][:2].isna().all()


def test_bars_as_the_stream_has_them_in_fixed_point():
    table = pa.table(
        {
            "symbol": pa.array(["B", "A"] * 5).dictionary_encode(),
            "window_ns": [60] * 10,
            "close_px": (np.column_stack([C, 10 * C]).ravel() * 1e9).astype(np.int64),
        }
    )
    for bars in (table, table.to_batches()[0]):
        result = compute(bars, "mom(1)")
        assert isinstance(result, pa.Table)
        assert result["mom(1)"].to_pylist()[2:] == [1, 10, 2, 20, 3, 30, 4, 40]


def test_leading_nan_are_passed_over():
    late = np.concatenate([[np.nan] * 3, C])
    assert compute(late, "mom(1)")["mom(1)"][4:].tolist() == [1, 2, 3, 4]


def test_too_few_bars_can_be_nan_instead():
    assert np.isnan(compute(C, "rsi", short="nan")["rsi"]).all()


BARS = {name: column[:, :40] for name, column in walk(3, 40).items()}


def at(name: str, value: float) -> dict:
    changed = BARS[name].copy()
    changed[1, 33] = value
    return {**BARS, name: changed}


@pytest.mark.parametrize(
    ("bars", "text", "problem"),
    [
        (C, "rsi", 'rsi needs 15 bars, there are 5 (give more bars, a shorter period, or short="nan")'),
        (
            at("close", np.nan),
            "rsi",
            "row 1 bar 33: close is nan (fill or drop such bars (leading NaN may stay))",
        ),
        (
            at("close", np.inf),
            "rsi",
            "row 1 bar 33: close is inf (fill or drop such bars (leading NaN may stay))",
        ),
        (at("high", 1.0), "atr", "row 1 bar 33: high 1 is below low {low:g} (drop or repair the bar)"),
        (at("volume", -1.0), "obv", "row 1 bar 33: volume is below 0 (drop or repair the bar)"),
        ({"close": C}, "atr", "bars have no column high, they have close (add a column high)"),
        ({"px": C}, "rsi", "bars have the columns px (name those needed of open, high, low, close, volume)"),
        ({}, "rsi", "there are no bars (give arrays or a frame with open, high, low, close, volume)"),
        (object(), "rsi", "bars are a object (give an array, a mapping of arrays, or a frame)"),
        (
            {"close": ["a", "b"]},
            "rsi",
            "close holds <U1, not numbers *",
        ),
        (
            {"high": C, "low": C[:3]},
            "medprice",
            "low has shape (3,), *",
        ),
        (
            {"close": []},
            "rsi",
            "bars have shape (0,) (give (bars,) or (symbols, bars), with at least one bar)",
        ),
        (
            {"close": C, "window_ns": [1, 1, 2, 2, 2]},
            "rsi",
            "window_ns: bars of several windows are mixed (keep the rows of one window)",
        ),
        ({"close": C, "symbol": ["A"]}, "rsi", "symbol has (1,) rows, the bars (5,) (give one symbol a bar)"),
        ({"close": C, "symbol": list("AAAAB")}, "mom(1)", "B: mom(1) needs 2 bars, there are 1 *"),
    ],
)
def test_bars_that_cannot_be_computed_on_are_answered_with_the_remedy(bars, text, problem):
    with pytest.raises(BarsError) as caught:
        compute(bars, text)
    said, wanted = str(caught.value), problem.format(low=BARS["low"][1, 33])
    assert said.startswith(wanted[:-1]) if wanted.endswith("*") else said == wanted
