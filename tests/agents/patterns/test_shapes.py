"""The ten shapes: against the slow version, on planted shapes, on noise, and before anything later comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import patterns
from agents.kernels.patterns.shapes import KINDS
from agents.kernels.patterns.smoothing import BANDWIDTHS
from schemas.errors import BarsError, ParameterError
from tests.agents.indicators.making import recorded
from tests.oracles import lmw


def rows(closes) -> list[tuple[str, int, tuple[int, ...]]]:
    return [(shape.kind, shape.known_at, shape.bars) for shape in patterns.shapes(np.asarray(closes))]


def noise(n: int, seed: int, step: float = 0.01) -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(size=n) * step))


@pytest.mark.parametrize("step", [0.002, 0.01, 0.03])
def test_a_random_walk_gives_the_oracles_shapes(step):
    closes = noise(160, seed=11, step=step)
    theirs = lmw.scan(closes.tolist(), BANDWIDTHS.tolist())
    assert rows(closes) == theirs
    assert len(theirs) > 3


def test_smooth_prices_with_wide_bandwidths_give_the_oracles_shapes():
    t = np.arange(150)
    closes = 100 + 0.5 * np.sin(t / 3.5) + np.random.default_rng(3).normal(size=150) * 0.3
    theirs = lmw.scan(closes.tolist(), BANDWIDTHS.tolist())
    assert rows(closes) == theirs
    assert len(theirs) > 5


def test_recorded_closes_give_the_oracles_shapes():
    closes = recorded("ibm")["close"][3_000:3_160]
    theirs = lmw.scan(closes.tolist(), BANDWIDTHS.tolist())
    assert rows(closes) == theirs
    assert theirs


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from([99.0, 99.5, 100.0, 100.5, 101.0]), min_size=42, max_size=46))
def test_prices_on_a_coarse_grid_with_many_ties_give_the_oracles_shapes(closes):
    assert rows(closes) == lmw.scan(closes, BANDWIDTHS.tolist())


# --- Planted shapes. Extrema five bars apart; the last at bar 34, three bars before the end.

BASE = 100.0


def through(values: list[float], gap: int = 5) -> np.ndarray:
    """A line through the values, ``gap`` bars apart, the last but one on bar 34 of 38."""
    knots = [34 - gap * (len(values) - 2 - i) for i in range(len(values))]
    return np.interp(np.arange(38), knots, values)


def kinds_of(values: list[float]) -> set[str]:
    """Shapes whose five extrema are the planted ones: those between a start and an end."""
    found = patterns.shapes(through(values))
    return {shape.kind for shape in found if shape.prices == tuple(values[1:-1])}


def mirrored(values: list[float]) -> list[float]:
    return [2 * BASE - v for v in values]


EPS = 1e-6


def edge(share: float) -> float:
    """Largest b / a for which a and b are within ``share`` of their average."""
    return (1 + share) / (1 - share)


def edge_of_three(share: float) -> float:
    """Largest c / a for which a, a and c are within ``share`` of their average (2a + c) / 3."""
    return (2 + 2 * share) / (2 - share)


def hs(e1=105.0, e2=101.0, e3=110.0, e4=101.0, e5=105.0):
    return [96.0, e1, e2, e3, e4, e5, 96.0]


@pytest.mark.parametrize(
    ("values", "kind", "is_there"),
    [
        (hs(), "HS", True),
        (hs(e5=105 * edge(0.015) * (1 - EPS)), "HS", True),
        (hs(e5=105 * edge(0.015) * (1 + EPS)), "HS", False),
        (hs(e4=101 * edge(0.015) * (1 - EPS)), "HS", True),
        (hs(e4=101 * edge(0.015) * (1 + EPS)), "HS", False),
        (hs(e3=105.0 + EPS), "HS", True),
        (hs(e3=105.0 - EPS), "HS", False),
        ([90, 101, 99, 105, 97, 109, 90], "BTOP", True),
        ([90, 101, 99, 101 - EPS, 97, 109, 90], "BTOP", False),
        ([90, 101, 99, 105, 99 + EPS, 109, 90], "BTOP", False),
        ([90, 109, 97, 105, 99, 101, 90], "TTOP", True),
        ([90, 109, 97, 109 + EPS, 99, 101, 90], "TTOP", False),
        ([90, 109, 97, 105, 97 - EPS, 101, 90], "TTOP", False),
        ([90, 105, 100, 105, 100, 105, 90], "RTOP", True),
        ([90, 105, 100, 105, 100, 105 * edge_of_three(0.0075) * (1 - EPS), 90], "RTOP", True),
        ([90, 105, 100, 105, 100, 105 * edge_of_three(0.0075) * (1 + EPS), 90], "RTOP", False),
        ([90, 105, 100, 105, 100 * edge(0.0075) * (1 - EPS), 105, 90], "RTOP", True),
        ([90, 105, 100, 105, 100 * edge(0.0075) * (1 + EPS), 105, 90], "RTOP", False),
    ],
)
def test_a_planted_shape_is_found_inside_its_tolerance_and_not_outside(values, kind, is_there):
    values = [float(v) for v in values]
    assert (kind in kinds_of(values)) == is_there


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (mirrored(hs()), "IHS"),
        (mirrored([90, 101, 99, 105, 97, 109, 90]), "BBOT"),
        (mirrored([90, 109, 97, 105, 99, 101, 90]), "TBOT"),
        (mirrored([90, 105, 100, 105, 100, 105, 90]), "RBOT"),
    ],
)
def test_the_mirrored_shape_is_the_other_kind(values, kind):
    found = kinds_of([float(v) for v in values])
    assert kind in found
    assert not found & {"HS", "BTOP", "TTOP", "RTOP"}


def double_top(first: float, second: float, apart: int) -> np.ndarray:
    return np.interp(np.arange(38), [34 - apart - 4, 34 - apart, 20, 34, 38], [90, first, 95, second, 90])


@pytest.mark.parametrize(
    ("closes", "is_there"),
    [
        (double_top(105.0, 105.0, 24), True),
        (double_top(105.0, 105.0, 23), True),
        (double_top(105.0, 105.0, 22), False),
        (double_top(105.0, 105.0 * edge(0.015) * (1 - EPS), 24), True),
        (double_top(105.0, 105.0 * edge(0.015) * (1 + EPS), 24), False),
    ],
)
def test_a_planted_double_top_or_bottom_is_found_inside_its_tolerance_and_not_outside(closes, is_there):
    assert ("DTOP" in {s.kind for s in patterns.shapes(closes)}) == is_there
    if is_there:
        assert "DBOT" in {s.kind for s in patterns.shapes(300.0 - closes)}


def test_a_shape_is_known_three_bars_after_its_last_extremum_and_not_a_bar_earlier():
    closes = np.concatenate([through(hs()), np.linspace(94, 80, 6)])
    found = [s for s in patterns.shapes(closes, ["HS"]) if s.bars == (14, 19, 24, 29, 34)]
    assert [(s.known_at, s.prices) for s in found] == [(37, (105.0, 101.0, 110.0, 101.0, 105.0))]
    with pytest.raises(BarsError, match="the scan needs 38 bars, there are 37"):
        patterns.shapes(closes[:37])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(38, 400))
def test_what_is_known_does_not_change_when_later_bars_arrive(seed, cut):
    closes = noise(400, seed)
    whole = [row for row in rows(closes) if row[1] < cut]
    assert rows(closes[:cut]) == whole


def test_threads_and_places_in_a_block_change_nothing():
    closes = noise(40_000, 5)
    alone = patterns.shapes(closes, threads=1)
    both = patterns.shapes(closes, threads=2)
    assert both.bars.tobytes() == alone.bars.tobytes()
    later = patterns.shapes(closes[13:])
    at = np.searchsorted(alone.known_at, 13 + 200)
    assert (later[-1].known_at, len(later)) == (alone[-1].known_at - 13, len(later))
    expected = [(s.kind, s.known_at - 13, tuple(b - 13 for b in s.bars)) for s in alone[at:]]
    assert [(s.kind, s.known_at, s.bars) for s in later if s.known_at >= 200] == expected


BAND = {
    **dict.fromkeys(("HS", "IHS"), (1_050, 1_500)),
    **dict.fromkeys(("BTOP", "BBOT", "TTOP", "TBOT"), (220, 390)),
    **dict.fromkeys(("RTOP", "RBOT"), (850, 1_250)),
    **dict.fromkeys(("DTOP", "DBOT"), (200, 370)),
}
"""What a Gaussian walk of 1 % a bar shows in 40,000 bars."""


@pytest.mark.parametrize("seed", [1, 2])
def test_gaussian_noise_shows_each_shape_within_its_band_and_tops_as_often_as_bottoms(seed):
    counts = patterns.shapes(noise(40_000, seed)).counts()
    outside = {kind: counts[kind] for kind, (low, high) in BAND.items() if not low <= counts[kind] <= high}
    assert outside == {}
    for top, bottom in zip(KINDS[::2], KINDS[1::2], strict=True):
        assert abs(counts[top] - counts[bottom]) < 5 * (counts[top] + counts[bottom]) ** 0.5


def test_a_still_or_straight_series_has_no_shapes():
    assert rows(np.full(200, 100.0)) == []
    assert rows(np.linspace(100, 200, 200)) == []


@pytest.mark.parametrize(
    ("bars", "problem"),
    [
        (np.full(37, 1.0), "the scan needs 38 bars, there are 37"),
        (np.concatenate([np.full(20, 1.0), [np.nan], np.full(20, 1.0)]), "bar 20: close is nan"),
        (np.concatenate([[np.nan], np.full(40, 1.0)]), "the first 1 bars have no price"),
        (np.linspace(-1, 5, 50), "bar 0: close is -1"),
        (np.full((2, 50), 1.0), "there are bars of 2 symbols"),
        (
            {"high": np.full(50, 1.0), "low": np.full(50, 2.0), "close": np.full(50, 1.0)},
            "bar 0: high 1 is below low 2",
        ),
    ],
)
def test_bars_without_shapes_to_find_are_answered_with_what_is_wrong(bars, problem):
    with pytest.raises(BarsError) as caught:
        patterns.shapes(bars)
    assert str(caught.value).startswith(problem)
    assert caught.value.remedy


def test_an_unknown_shape_is_answered_with_the_known_ones():
    with pytest.raises(ParameterError, match="FLAG: no such shape"):
        patterns.shapes(np.full(50, 1.0), ["FLAG"])
