"""Bars that look like numbers and are none: times that fall, values that are masked."""

from __future__ import annotations

import numpy as np
import pytest

from agents import indicators, patterns
from schemas.errors import BarsError

CLOSES = 100.0 + np.sin(np.arange(60.0))
TIMES = np.arange(60) * 1_000_000_000


@pytest.mark.parametrize("name", ["ts_ns", "close_ns", "ts_event_ns"])
def test_falling_times_are_refused_at_the_first_that_falls(name: str) -> None:
    with pytest.raises(BarsError, match=rf"bar 1: {name} is not after its predecessor \(sort the bars\)"):
        indicators.compute({"close": CLOSES, name: TIMES[::-1]}, ["sma(3)"])
    twice = np.where(np.arange(60) == 7, TIMES[6], TIMES)
    with pytest.raises(BarsError, match="bar 7: "):
        patterns.shapes({"close": CLOSES, name: twice})


def test_times_of_several_symbols_rise_each_for_itself() -> None:
    long = {"symbol": ["B", "A"] * 30, "close": CLOSES, "ts_ns": np.repeat(TIMES[:30], 2)}
    assert np.isfinite(indicators.compute(long, ["sma(3)"])["sma(3)"]).sum() == 2 * 28
    long["ts_ns"] = np.where(np.arange(60) == 8, 0, long["ts_ns"])
    with pytest.raises(BarsError, match="B bar 4: ts_ns is not after"):
        indicators.compute(long, ["sma(3)"])
    block = {"close": np.stack([CLOSES, CLOSES]), "ts_ns": TIMES}
    assert indicators.compute(block, ["sma(3)"])["sma(3)"].shape == (2, 60)
    with pytest.raises(BarsError, match="row 0 bar 1: ts_ns is not after"):
        indicators.compute(block | {"ts_ns": TIMES[::-1]}, ["sma(3)"])


def test_what_is_masked_is_nan_and_not_the_number_under_the_mask() -> None:
    for masked in (np.ma.masked_array(CLOSES, np.arange(60) == 30), np.ma.masked_greater(CLOSES, 100.999)):
        for bars in (masked, {"close": masked}):
            with pytest.raises(BarsError, match=r"bar \d+: close is nan"):
                indicators.compute(bars, ["sma(3)"])
    leading = np.ma.masked_array(CLOSES, np.arange(60) < 5)
    found = indicators.compute({"close": leading}, ["sma(3)"])["sma(3)"]
    assert np.flatnonzero(np.isfinite(found))[0] == 7
