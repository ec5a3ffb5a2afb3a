"""Swings, levels and triangles on planted prices; and before anything later comes."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import patterns
from agents.patterns import Level
from schemas.errors import ParameterError
from tests.agents.indicators.making import DATA, walk


def zigzag(prices: list[float], gap: int = 10) -> np.ndarray:
    """A line from price to price, ``gap`` bars each."""
    return np.interp(np.arange(gap * (len(prices) - 1) + 1), gap * np.arange(len(prices)), prices)


def bars_of(seed: int, n: int = 600) -> dict:
    return {name: column[0] for name, column in walk(1, n, seed).items()}


def test_swings_are_what_a_look_around_every_bar_finds():
    bars = bars_of(1)
    width = 3
    expected = []
    for t in range(width, 600 - width):
        low, high = bars["low"], bars["high"]
        left, right = slice(t - width, t), slice(t + 1, t + width + 1)
        if low[t] < low[left].min() and low[t] <= low[right].min():
            expected.append((t, low[t], False, t + width))
        if high[t] > high[left].max() and high[t] >= high[right].max():
            expected.append((t, high[t], True, t + width))
    found = [(s.bar, s.price, s.is_high, s.known_at) for s in patterns.swings(bars, width)]
    assert found == expected
    assert len(found) > 50


def test_swings_of_two_bars_are_the_reference_fractals():
    folder = DATA / "indicators"
    if not folder.exists():
        pytest.skip("the reference results are not here")
    quotes = list(csv.DictReader((folder / "si_quotes_default.csv").open()))
    bars = {name: np.array([float(q[name]) for q in quotes]) for name in ("high", "low", "close")}
    theirs = json.loads(gzip.decompress((folder / "si_results" / "fractal.standard.json.gz").read_bytes()))
    mine = patterns.swings(bars, 2)
    wanted = {(t, True) for t, row in enumerate(theirs) if row["fractalBear"] is not None}
    wanted |= {(t, False) for t, row in enumerate(theirs) if row["fractalBull"] is not None}
    found = {(s.bar, s.is_high) for s in mine}
    assert wanted <= found
    # Of two equal highs we take the first, they take none.
    for bar, is_high in found - wanted:
        prices = bars["high" if is_high else "low"]
        assert prices[bar] in prices[bar + 1 : bar + 3]


def test_a_planted_level_has_its_touches_and_becomes_known_with_the_third():
    closes = zigzag([90, 100, 92, 100.3, 94, 99.8, 85, 90])
    found = [level for level in patterns.levels(closes, tolerance=0.005) if level.highs]
    strength = sum(0.5 ** ((70 - bar) / 250) for bar in (10, 30, 50))
    assert found == [Level(pytest.approx(300.1 / 3), 3, 3, 10, 50, pytest.approx(strength), 55)]
    assert (found[0].side(90.0), found[0].side(110.0)) == ("resistance", "support")


@pytest.mark.parametrize(("third", "is_there"), [(100.5 - 1e-6, True), (100.5 + 1e-6, False)])
def test_a_touch_just_inside_the_tolerance_counts_and_one_just_outside_does_not(third, is_there):
    closes = zigzag([90, 100, 92, 100, 94, third, 85, 90])
    assert bool([level for level in patterns.levels(closes, tolerance=0.005) if level.highs]) == is_there


def test_levels_follow_from_touches_by_hand():
    bars = bars_of(2, 3_000)
    levels: list[dict] = []
    for swing in patterns.swings(bars, 5):
        near = [lv for lv in levels if abs(swing.price / lv["anchor"] - 1) <= 0.005]
        level = min(near, key=lambda lv: abs(swing.price / lv["anchor"] - 1), default=None)
        if level is None:
            levels.append(level := {"anchor": swing.price, "swings": []})
        level["swings"].append(swing)
    expected = {
        (len(lv["swings"]), lv["swings"][0].bar, lv["swings"][-1].bar, lv["swings"][2].known_at)
        for lv in levels
        if len(lv["swings"]) >= 3
    }
    found = {(v.touches, v.first_bar, v.last_bar, v.known_at) for v in patterns.levels(bars)}
    assert found == expected
    assert len(found) > 10


def test_levels_do_not_depend_on_bars_that_come_later():
    bars = bars_of(3, 2_000)
    early = {name: column[:1_200] for name, column in bars.items()}
    later = {v.first_bar: v for v in patterns.levels(bars)}
    for level in patterns.levels(early):
        grown = later[level.first_bar]
        assert (grown.known_at, grown.touches >= level.touches) == (level.known_at, True)


ASCENDING = [94, 100, 95, 100, 97, 100, 98.5]
KIND = {
    "ascending": [*ASCENDING, 104, 105],
    "descending": [106, 100, 105, 100, 103, 100, 101.5, 96, 95],
    "symmetric": [90, 110, 92, 108, 94, 106, 96, 112, 114],
}


@pytest.mark.parametrize("kind", KIND)
def test_a_planted_triangle_is_found_with_its_lines_and_its_break_out(kind):
    found = patterns.triangles(zigzag(KIND[kind]), least=6)
    assert [t.kind for t in found] == [kind]
    triangle = found[0]
    assert [s.bar for s in triangle.swings] == [10, 20, 30, 40, 50, 60]
    assert triangle.known_at == 63
    highs = [s for s in triangle.swings if s.is_high]
    slope, at_origin = np.polyfit([s.bar for s in highs], [s.price for s in highs], 1)
    assert triangle.upper.slope == pytest.approx(slope, abs=1e-9)
    assert triangle.upper.at(0) == pytest.approx(at_origin)
    assert triangle.upper.at(triangle.apex) == pytest.approx(triangle.lower.at(triangle.apex))
    assert triangle.breakout == (-1 if kind == "descending" else 1)
    closes = zigzag(KIND[kind])
    line = triangle.upper if triangle.breakout > 0 else triangle.lower
    outside = [
        t for t in range(64, len(closes)) if triangle.breakout * (closes[t] - line.at(t)) > 0.005 * 100 * 1.02
    ]
    assert abs(triangle.breakout_bar - outside[0]) <= 1


@pytest.mark.parametrize(
    "prices",
    [
        [94, 100, 95, 103, 97, 100, 98.5, 104],  # a high far off the line
        [94, 100, 95, 100, 95, 100, 95, 104],  # a rectangle
        [94, 96, 95, 98, 97, 101, 99, 104],  # a rising channel
        [95, 100, 96, 102, 95, 104, 94, 106],  # lines that run apart
        [99.6, 100, 99.7, 100, 99.8, 100, 99.9, 104],  # too narrow to tell from its touches
    ],
)
def test_what_is_no_triangle_is_none(prices):
    assert patterns.triangles(zigzag(prices), least=6) == []


def test_a_touch_just_outside_is_no_touch():
    closes = zigzag(KIND["ascending"])
    reach = max(
        abs(s.price - (t.upper if s.is_high else t.lower).at(s.bar))
        for t in patterns.triangles(closes, least=6)
        for s in t.swings
    )
    mean = np.mean([98.0, 98.0])
    assert patterns.triangles(closes, least=6, touch=1.02 * reach / mean)
    assert not patterns.triangles(closes, least=6, touch=0.95 * reach / mean)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(50, 600))
def test_triangles_known_by_a_bar_do_not_change_when_later_bars_arrive(seed, cut):
    bars = bars_of(seed)
    early = patterns.triangles({name: column[:cut] for name, column in bars.items()})
    later = [t for t in patterns.triangles(bars) if t.known_at < cut]
    assert [(t.kind, t.swings, t.upper, t.lower, t.apex, t.known_at) for t in early] == [
        (t.kind, t.swings, t.upper, t.lower, t.apex, t.known_at) for t in later
    ]
    for before, after in zip(early, later, strict=True):
        known = after.breakout_bar is not None and after.breakout_bar < cut
        assert before.breakout_bar == (after.breakout_bar if known else None)


@pytest.mark.parametrize(
    ("search", "option"),
    [
        (patterns.swings, {"width": 0}),
        (patterns.levels, {"tolerance": 0.0}),
        (patterns.levels, {"touches": 0}),
        (patterns.levels, {"half_life": 0.0}),
        (patterns.triangles, {"least": 3}),
        (patterns.triangles, {"most": 4}),
        (patterns.triangles, {"touch": 0.9}),
        (patterns.triangles, {"convergence": 1.5}),
    ],
)
def test_a_parameter_out_of_bounds_is_named(search, option):
    with pytest.raises(ParameterError, match=f"^{next(iter(option))} must be"):
        search(np.full(50, 1.0), **option)
