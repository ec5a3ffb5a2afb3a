"""MASS against stumpy's, and against the definition."""

from __future__ import annotations

import numpy as np
import pytest
import stumpy
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import patterns
from schemas.errors import BarsError, ParameterError

BUMP = np.sin(np.linspace(0, np.pi, 24)) ** 2


def noise(n: int, seed: int = 0) -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(size=n) * 0.005))


def naive(closes: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The z-normalised distance as defined; a still stretch is 0 from a still one and √m from another."""
    m = len(template)

    def z(x: np.ndarray) -> np.ndarray | None:
        return None if (x == x[0]).all() else (x - x.mean()) / x.std()

    def apart(a: np.ndarray | None, b: np.ndarray | None) -> float:
        if a is None or b is None:
            return 0.0 if a is b else m**0.5
        return float(np.linalg.norm(a - b))

    wanted = z(template)
    return np.array([apart(z(closes[i : i + m]), wanted) for i in range(len(closes) - m + 1)])


@pytest.mark.parametrize("m", [3, 24, 101, 700])
def test_distances_are_stumpys(m):
    closes, template = noise(12_000), noise(m, 1)
    mine, theirs = patterns.distances(closes, template), stumpy.mass(template, closes)
    np.testing.assert_allclose(
        mine**2, theirs**2, atol=1e-8
    )  # a root of almost nothing magnifies its rounding


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([1.0, 1.5, 2.0, 7.0]), min_size=8, max_size=60),
    st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=3, max_size=7),
)
def test_distances_are_the_definitions_also_where_prices_stand_still(closes, template):
    mine = patterns.distances(np.array(closes), template)
    np.testing.assert_allclose(mine, naive(np.array(closes), np.array(template)), atol=2e-6)


def test_a_high_price_costs_no_digits():
    closes = noise(5_000, 2)
    near, far = patterns.distances(closes, BUMP), patterns.distances(closes + 2.0**30, BUMP)
    np.testing.assert_allclose(far, near, atol=1e-4)


def planted(scale: float = 20.0, bend: float = 0.0) -> np.ndarray:
    closes = noise(2_000, 3)
    bump = BUMP + bend * np.sin(np.arange(24))
    closes[700:724] = 150 + scale * bump
    return closes


def test_a_planted_shape_is_found_at_any_height_and_size_and_known_half_a_length_later():
    for scale in (0.01, 1.0, 50.0):
        found = patterns.matches(planted(scale), BUMP, max_distance=0.01)
        assert [(f.bar, f.length, f.known_at) for f in found] == [(700, 24, 700 + 23 + 12)]
        assert found[0].distance == pytest.approx(0.0, abs=1e-5)


def test_a_stretch_just_inside_the_distance_is_found_and_just_outside_is_not():
    closes = planted(bend=0.1)
    distance = patterns.distances(closes, BUMP)[700]
    assert [f.bar for f in patterns.matches(closes, BUMP, max_distance=distance * (1 + 1e-6))] == [700]
    assert patterns.matches(closes, BUMP, max_distance=distance * (1 - 1e-6)) == []


def test_the_nearest_do_not_overlap_by_more_than_half_and_come_nearest_first():
    found = patterns.matches(planted(), BUMP, top=5)
    assert found[0].bar == 700
    assert [f.distance for f in found] == sorted(f.distance for f in found)
    starts = sorted(f.bar for f in found)
    assert len(starts) == 5
    assert min(np.diff(starts)) > 12


def test_more_are_asked_for_than_there_are():
    assert len(patterns.matches(noise(60), BUMP, top=100)) <= 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(24, 9_000), st.floats(1.0, 5.0))
def test_matches_known_by_a_bar_do_not_change_when_later_bars_arrive(seed, cut, limit):
    closes = noise(9_000, seed)
    whole = [f for f in patterns.matches(closes, BUMP, max_distance=limit) if f.known_at < cut]
    assert patterns.matches(closes[:cut], BUMP, max_distance=limit) == whole


@pytest.mark.parametrize(
    ("template", "options", "problem"),
    [
        ([1.0, 2.0], {"top": 1}, "template: shape"),
        ([1.0, np.nan, 2.0], {"top": 1}, "template: shape"),
        (["a"], {"top": 1}, "template: not numbers"),
        (BUMP, {}, "max_distance and top: one of them is needed"),
        (BUMP, {"top": 1, "max_distance": 1.0}, "max_distance and top: one of them is needed"),
        (BUMP, {"top": 0}, "top must be at least 1"),
        (BUMP, {"max_distance": -1.0}, "max_distance must be at least 0"),
    ],
)
def test_what_cannot_be_searched_for_is_answered_with_the_remedy(template, options, problem):
    with pytest.raises(ParameterError, match=f"^{problem}"):
        patterns.matches(noise(60), template, **options)


def test_fewer_bars_than_points_are_too_few():
    with pytest.raises(BarsError, match="the template needs 24 bars, there are 20"):
        patterns.distances(noise(20), BUMP)
