"""Plots: that each finding is drawn where it is, with the bar at which it was known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents import patterns
from agents.patterns.plot import plot
from schemas.errors import ParameterError
from tests.agents.indicators.making import walk
from tests.agents.patterns.test_levels_and_triangles import KIND, zigzag
from tests.agents.patterns.test_shapes import hs, through

BARS = {name: column[0] for name, column in walk(1, 300, seed=2).items()}


def drawn(figure) -> dict[str, list[tuple[float, float]]]:
    """Points of each line with a label."""
    (axes,) = figure.axes
    return {
        line.get_label(): list(zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True))
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_a_shape_is_drawn_through_its_extrema_with_its_neckline(tmp_path):
    closes = through(hs())
    (shape,) = patterns.shapes(closes, ["HS"])
    figure = plot(closes, shape, title="X")
    lines = drawn(figure)
    assert lines["extrema"] == list(zip(shape.bars, shape.prices, strict=True))
    assert lines["neckline"] == [(19, 101.0), (29, 101.0)]
    assert [bar for bar, _ in lines["known at bar 37"]] == [37, 37]
    assert figure.axes[0].get_title(loc="left") == "X  head and shoulders"
    figure.savefig(tmp_path / "shape.png")
    assert (tmp_path / "shape.png").read_bytes().startswith(b"\x89PNG")


def test_a_triangle_is_drawn_with_its_lines_touches_and_break_out():
    closes = zigzag(KIND["symmetric"])
    (triangle,) = patterns.triangles(closes, least=6)
    lines = drawn(plot(closes, triangle))
    assert lines["touches"] == [(s.bar, s.price) for s in triangle.swings]
    assert lines["break-out"] == [(triangle.breakout_bar, closes[triangle.breakout_bar])]
    assert triangle.apex > triangle.known_at + 40  # so the lines end before they meet
    for label, line in (("upper line", triangle.upper), ("lower line", triangle.lower)):
        assert lines[label] == [(x, pytest.approx(line.at(x))) for x in (10, triangle.known_at + 40)]


def test_a_level_and_a_match_are_drawn_over_candles():
    level = patterns.levels(BARS)[0]
    figure = plot(BARS, level)
    assert {y for _, y in drawn(figure)[level.side(BARS["close"][-1])]} == {level.price}
    assert len(figure.axes[0].patches) == len(figure.axes[0].collections[0].get_segments()) + len(
        figure.axes[0].collections[1].get_segments()
    )
    (match,) = patterns.matches(BARS, BARS["close"][100:130], top=1)
    assert match.bar == 100
    assert [x for x, _ in drawn(plot(BARS, match))["match (closes)"]] == list(range(100, 130))


def test_what_is_no_finding_or_not_of_these_bars_is_refused():
    closes = through(hs())
    (shape,) = patterns.shapes(closes, ["HS"])
    with pytest.raises(ParameterError, match="str is no finding"):
        plot(closes, "HS")
    with pytest.raises(ParameterError, match="begins at bar 90, there are 38"):
        plot(closes, replace(shape, bars=(90, 91, 92, 93, 94)))
