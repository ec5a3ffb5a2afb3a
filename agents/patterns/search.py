"""The searches."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.dense.device import NUMPY
from agents.kernels.patterns import mass, scan
from agents.kernels.patterns import swings as swing_points
from agents.kernels.patterns.shapes import KINDS
from agents.kernels.patterns.smoothing import WINDOW
from agents.patterns.found import Level, Line, Match, Shapes, Swing, Triangle
from agents.patterns.series import Series, bounded, read
from schemas.errors import ParameterError

Floats = npt.NDArray[np.float64]

TRIANGLES = ("ascending", "descending", "symmetric")


def shapes(
    bars: Any, kinds: Iterable[str] = KINDS, *, threads: int | None = None, device: str = NUMPY
) -> Shapes:
    """The ten shapes of Lo, Mamaysky and Wang (2000) in closing prices.

    Parameters
    ----------
    bars
        An array of closes, a mapping or a frame, of one symbol; prices above 0.
    kinds
        Of ``HS IHS BTOP BBOT TTOP TBOT RTOP RBOT DTOP DBOT``.
    threads
        How many share the windows; default one a core. Does not change a bit.
    device
        Where the regressions are computed: ``cpu``, compiled; or ``cuda:N``, as products of matrices, which
        may choose another bandwidth where two fit equally to rounding.

    Returns
    -------
    Shapes
        In the order in which they are known: three bars after their last extremum. Each is there once.

    Raises
    ------
    BarsError
        With fewer than 38 bars, NaN, or a price that is not above 0.
    ParameterError
        When there is no such kind.
    """
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    strange = [kind for kind in wanted if kind not in KINDS]
    if strange:
        raise ParameterError(f"{', '.join(strange)}: no such shape", f"there are {', '.join(KINDS)}")
    closes = read(bars, WINDOW, "the scan").close
    chosen = None
    if device != NUMPY:
        from agents.patterns.regression import bandwidths

        chosen = bandwidths(closes, device)
    rows = scan.scan(closes, threads or len(os.sched_getaffinity(0)), chosen)
    if len(wanted) < len(KINDS):
        rows = rows[np.isin(rows[:, 0], [KINDS.index(kind) for kind in wanted])]
    return Shapes(rows, closes)


def swings(bars: Any, width: int = 5) -> list[Swing]:
    """Swing points: highs above and lows below those of ``width`` bars on either side (the first of equals).

    Raises
    ------
    BarsError, ParameterError
        When bars cannot be, or ``width`` is below 1.
    """
    series = read(bars, 2 * int(bounded("width", width, 1)) + 1, "a swing")
    at, kinds = swing_points.find(series.high, series.low, width)
    return [_swing(series, bar, kind, width) for bar, kind in zip(at.tolist(), kinds.tolist(), strict=True)]


def _swing(series: Series, bar: int, kind: int, width: int) -> Swing:
    is_high = kind == swing_points.HIGH
    price = float((series.high if is_high else series.low)[bar])
    return Swing(bar, price, is_high, bar + width)


def levels(
    bars: Any,
    *,
    tolerance: float = 0.005,
    touches: int = 3,
    width: int = 5,
    half_life: float = 250.0,
) -> list[Level]:
    """Support and resistance: prices at which confirmed swings cluster.

    Swings join, as they become known, the nearest level whose founding price is within ``tolerance`` of
    theirs, or found one. So levels at a bar depend on what was known at that bar alone: to see
    them as they were, give the bars up to there.

    Parameters
    ----------
    bars
        Of one symbol; without high and low the close stands for both.
    tolerance
        Share of the price.
    touches
        The least that make a level.
    width
        Bars on either side of a swing.
    half_life
        Bars after which a touch counts half for the strength.

    Returns
    -------
    list of Level
        Strongest first.

    Raises
    ------
    BarsError, ParameterError
        When bars cannot be, or a parameter is out of bounds.
    """
    bounded("tolerance", tolerance, 1e-6, 0.2)
    bounded("touches", touches, 1)
    bounded("half_life", half_life, 1e-3)
    series = read(bars, 2 * int(bounded("width", width, 1)) + 1, "a swing")
    at, kinds = swing_points.find(series.high, series.low, width)
    if len(at) == 0:
        return []
    is_high = kinds == swing_points.HIGH
    prices = np.where(is_high, series.high[at], series.low[at])
    labels = swing_points.cluster(prices, tolerance)
    number = np.bincount(labels)
    ages = len(series.close) - 1 - at
    sums = (np.bincount(labels, weights) for weights in (prices, is_high, np.exp2(-ages / half_life)))
    price, highs, strength = sums
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(number) - number
    first, last = at[order[starts]], at[order[starts + number - 1]]
    found = [
        Level(
            float(price[i] / number[i]),
            int(number[i]),
            int(highs[i]),
            int(first[i]),
            int(last[i]),
            float(strength[i]),
            int(at[order[starts[i] + touches - 1]]) + width,
        )
        for i in np.flatnonzero(number >= touches)
    ]
    return sorted(found, key=lambda level: (-level.strength, level.price))


def triangles(
    bars: Any,
    *,
    width: int = 3,
    least: int = 5,
    most: int = 8,
    touch: float = 0.005,
    flat: float = 0.15,
    convergence: float = 0.7,
) -> list[Triangle]:
    """Ascending, descending and symmetric triangles.

    Lines are fitted by least squares to the highs and to the lows among the last ``most`` to ``least``
    confirmed swings, at least two of each; every one of them must lie within ``touch`` of its line. A line is
    flat when it moves by no more than ``flat`` of the opening, the lines' distance at the first swing, until
    the last swing. By then the distance must have shrunk to ``convergence`` of the opening, which must be
    more than two touches. A break-out is a close beyond a line by more than a touch.

    Parameters
    ----------
    bars
        Of one symbol; without high and low the close stands for both.
    width
        Bars on either side of a swing.
    least, most
        How many swings make a triangle; the most that fit are taken.
    touch
        Share of the triangle's mean price.
    flat, convergence
        Shares of the opening.

    Returns
    -------
    list of Triangle
        In the order in which they are known. One begins after the last swing of the one before.

    Raises
    ------
    BarsError, ParameterError
        When bars cannot be, or a parameter is out of bounds.
    """
    bounded("least", least, 4)
    bounded("most", most, least)
    bounded("touch", touch, 1e-6, 0.2)
    bounded("flat", flat, 0.0, 0.5)
    bounded("convergence", convergence, 0.0, 1.0)
    series = read(bars, 2 * int(bounded("width", width, 1)) + 1, "a swing")
    at, kinds = swing_points.find(series.high, series.low, width)
    limits = (least, most, touch, flat, convergence)
    ints, floats = swing_points.triangles(series.high, series.low, series.close, at, kinds, width, limits)
    found = []
    for (kind, _, first, last, known_at, breakout_bar, side), line in zip(
        ints.tolist(), floats.tolist(), strict=True
    ):
        touched = tuple(_swing(series, int(at[i]), int(kinds[i]), width) for i in range(first, last + 1))
        upper, lower = Line(int(at[first]), line[0], line[1]), Line(int(at[first]), line[2], line[3])
        out = breakout_bar if breakout_bar >= 0 else None
        found.append(Triangle(TRIANGLES[kind], touched, upper, lower, line[4], known_at, out, side))
    return found


def distances(bars: Any, template: Any) -> Floats:
    """The z-normalised distance of a template to every stretch of the closes (MASS).

    Returns
    -------
    numpy.ndarray
        float64 [bars − length + 1]; entry i is known at bar i + length − 1. Exact to about 1e-10; later bars
        may move the last digits.

    Raises
    ------
    BarsError, ParameterError
        When bars cannot be or are shorter than the template, or the template has NaN or under 3 points.
    """
    shape = _template(template)
    return mass.profile(read(bars, len(shape), "the template").close, shape)[0]


def matches(
    bars: Any, template: Any, *, max_distance: float | None = None, top: int | None = None
) -> list[Match]:
    """Stretches of the closes that look like a template, whatever their height and size.

    Parameters
    ----------
    bars
        Of one symbol.
    template
        Its points, at least 3.
    max_distance
        Take every stretch that is at most so far and nearer than all that begin within half its length. It is
        known when those are: half a length after its end. This looks at nothing later.
    top
        Instead: the nearest that do not begin within half a length of each other, over the whole history.
        Which they are may change with later bars; it is a look back, not a signal.

    Returns
    -------
    list of Match
        By bar for ``max_distance``, nearest first for ``top``.

    Raises
    ------
    BarsError, ParameterError
        As :func:`distances`, or when not exactly one of ``max_distance`` and ``top`` is given.
    """
    if (max_distance is None) == (top is None):
        raise ParameterError("max_distance and top: one of them is needed", "give the one or the other")
    shape = _template(template)
    closes = read(bars, len(shape), "the template").close
    profile, means, spreads = mass.profile(closes, shape)
    m, zone = len(shape), len(shape) // 2
    if top is not None:
        return _nearest(profile, m, zone, int(bounded("top", top, 1)))
    limit = bounded("max_distance", max_distance or 0.0, 0.0)
    # The profile's rounding, seen through the root, must not hide a candidate from the exact sums.
    starts = np.flatnonzero(profile**2 <= limit**2 + 1e-8 * m)
    exact = mass.refined(closes, shape, means, spreads, starts)
    starts, exact = starts[exact <= limit], exact[exact <= limit]
    kept = mass.minima(starts, exact, zone) & (starts + zone < len(profile))
    return [
        Match(start, m, distance, start + m - 1 + zone)
        for start, distance in zip(starts[kept].tolist(), exact[kept].tolist(), strict=True)
    ]


def _nearest(profile: Floats, m: int, zone: int, top: int) -> list[Match]:
    left = profile.copy()
    found: list[Match] = []
    while len(found) < top:
        start = int(np.argmin(left))
        if not np.isfinite(left[start]):
            break
        found.append(Match(start, m, float(profile[start]), start + m - 1))
        left[max(start - zone, 0) : start + zone + 1] = np.inf
    return found


def _template(values: Any) -> mass.Template:
    try:
        shape = np.asarray(values, np.float64)
    except (TypeError, ValueError) as exc:
        raise ParameterError("template: not numbers", "give an array of at least 3 numbers") from exc
    if shape.ndim != 1 or len(shape) < 3 or not np.isfinite(shape).all():
        raise ParameterError(
            f"template: shape {shape.shape}, or NaN in it", "give an array of at least 3 numbers"
        )
    return mass.Template(shape)
