"""Plots of what was found over its bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from agents.indicators import bars as bar_columns
from agents.patterns.found import Level, Match, Shape, Triangle
from agents.patterns.series import Series, read
from schemas.errors import ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN = 12
"""Bars shown before and after a finding, at least."""

_UP, _DOWN, _INK, _MARK, _QUIET = "#2e7d5b", "#b5433c", "#22303c", "#1f5fa8", "#8a949c"

Finding = Shape | Triangle | Match | Level


def plot(bars: Any, finding: Finding, *, title: str = "") -> Figure:
    """A finding over its bars, with its extrema, lines and the bar at which it was known.

    Parameters
    ----------
    bars
        The bars in which it was found. With open, high and low they are candles, else a line.
    finding
        A shape, triangle, match or level.
    title
        Before the finding's own, for example the symbol.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig(path)``.

    Raises
    ------
    ParameterError
        When it is no finding, or of later bars than there are.
    """
    if not isinstance(finding, Finding):
        raise ParameterError(
            f"{type(finding).__name__} is no finding", "give a Shape, Triangle, Match or Level"
        )
    series = read(bars, 1, "a plot")
    first, last = _extent(finding, len(series.close))
    figure = Figure(figsize=(10, 5.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    _draw_bars(axes, bars, series, first, last)
    _DRAW[type(finding)](axes, series, finding)
    _known_at(axes, finding.known_at, first, last)
    axes.set_title(f"{title}  {_name(finding)}".strip(), loc="left", fontsize=12, color=_INK)
    axes.set_xlim(first - 0.8, last + 0.8)
    axes.set_xlabel("bar")
    axes.set_ylabel("price")
    axes.grid(axis="y", color="#e6e9eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False, fontsize=9)
    return figure


def _extent(finding: Finding, n: int) -> tuple[int, int]:
    """First and last bar to show."""
    if isinstance(finding, Level):
        begin, end = finding.first_bar, n - 1
    elif isinstance(finding, Triangle):
        ends = (
            finding.known_at,
            finding.breakout_bar or 0,
            min(int(finding.apex) + 1, finding.known_at + 40),
        )
        begin, end = finding.swings[0].bar, max(ends)
    elif isinstance(finding, Match):
        begin, end = finding.bar, finding.known_at
    else:
        begin, end = finding.bars[0], finding.known_at
    if begin >= n:
        raise ParameterError(
            f"the finding begins at bar {begin}, there are {n}", "give the bars it was found in"
        )
    margin = max(MARGIN, (end - begin) // 4)
    return max(begin - margin, 0), min(end + margin, n - 1)


def _name(finding: Finding) -> str:
    if isinstance(finding, Shape):
        return _TITLES[finding.kind]
    if isinstance(finding, Triangle):
        out = {1: ", broken out upwards", -1: ", broken out downwards", 0: ""}[finding.breakout]
        return f"{finding.kind} triangle{out}"
    if isinstance(finding, Match):
        return f"template, distance {finding.distance:.3g}"
    return f"level {finding.price:.6g}, {finding.touches} touches"


_TITLES = {
    "HS": "head and shoulders",
    "IHS": "inverse head and shoulders",
    "BTOP": "broadening top",
    "BBOT": "broadening bottom",
    "TTOP": "triangle top",
    "TBOT": "triangle bottom",
    "RTOP": "rectangle top",
    "RBOT": "rectangle bottom",
    "DTOP": "double top",
    "DBOT": "double bottom",
}


def _draw_bars(axes: Axes, bars: Any, series: Series, first: int, last: int) -> None:
    at = np.arange(first, last + 1)
    given = bar_columns.read(bars)
    if not all(given.has(name) for name in ("open", "high", "low")) or last - first > 400:
        axes.plot(at, series.close[at], color=_INK, linewidth=1.2, label="close")
        return
    (opens,) = given.columns(("open",))
    rising = series.close[at] >= opens[at]
    for chosen, colour in ((at[rising], _UP), (at[~rising], _DOWN)):
        axes.vlines(chosen, series.low[chosen], series.high[chosen], color=colour, linewidth=0.9)
        height = np.abs(series.close[chosen] - opens[chosen])
        bottom = np.minimum(series.close[chosen], opens[chosen])
        axes.bar(chosen, height, 0.62, bottom, color=colour, edgecolor=colour, linewidth=0.6)


def _draw_shape(axes: Axes, series: Series, shape: Shape) -> None:
    axes.plot(shape.bars, shape.prices, color=_MARK, linewidth=1.6, marker="o", markersize=5, label="extrema")
    labels = ["E1", "E2", "E3", "E4", "E5"] if len(shape.bars) == 5 else ["E1", "Ea"]
    for i, (label, bar, price) in enumerate(zip(labels, shape.bars, shape.prices, strict=True)):
        other = shape.prices[i - 1] if i else shape.prices[1]
        above = price >= other if len(shape.bars) == 5 else shape.kind == "DTOP"
        _tag(axes, label, bar, float((series.high if above else series.low)[bar]), above)
    if shape.kind in ("HS", "IHS"):
        axes.plot(shape.bars[1::2], shape.prices[1::2], color=_QUIET, linestyle="--", label="neckline")


def _tag(axes: Axes, text: str, bar: float, price: float, above: bool) -> None:
    offset = (0, 6 if above else -6)
    axes.annotate(
        text,
        (bar, price),
        offset,
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        color=_MARK,
        fontsize=9,
        fontweight="bold",
    )


def _draw_triangle(axes: Axes, series: Series, triangle: Triangle) -> None:
    ends = np.array([triangle.swings[0].bar, min(triangle.apex, triangle.known_at + 40.0)])
    for line, label in ((triangle.upper, "upper line"), (triangle.lower, "lower line")):
        style = "-" if label == "upper line" else "--"
        axes.plot(ends, [line.at(x) for x in ends], color=_MARK, linewidth=1.5, linestyle=style, label=label)
    touched = [(swing.bar, swing.price) for swing in triangle.swings]
    axes.plot(*zip(*touched, strict=True), "o", color=_MARK, markersize=5, label="touches")
    if triangle.breakout_bar is not None:
        price = float(series.close[triangle.breakout_bar])
        marker = "^" if triangle.breakout > 0 else "v"
        axes.plot(triangle.breakout_bar, price, marker, color="#d9822b", markersize=10, label="break-out")


def _draw_match(axes: Axes, series: Series, match: Match) -> None:
    at = np.arange(match.bar, match.bar + match.length)
    axes.plot(at, series.close[at], color=_MARK, linewidth=2.2, label="match (closes)")


def _draw_level(axes: Axes, series: Series, level: Level) -> None:
    axes.axhline(level.price, color=_MARK, linewidth=1.6, label=level.side(float(series.close[-1])))
    for bar, label in ((level.first_bar, "first"), (level.last_bar, "last")):
        axes.plot(bar, level.price, "o", color=_MARK, markersize=6)
        _tag(axes, label, bar, float(series.low[bar]), above=False)


_DRAW: dict[type, Any] = {
    Shape: _draw_shape,
    Triangle: _draw_triangle,
    Match: _draw_match,
    Level: _draw_level,
}


def _known_at(axes: Axes, bar: int, first: int, last: int) -> None:
    if first <= bar <= last:
        axes.axvline(bar, color=_QUIET, linewidth=1.0, linestyle=":", label=f"known at bar {bar}")
