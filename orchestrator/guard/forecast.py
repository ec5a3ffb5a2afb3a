"""Where memory is going: a damped Holt trend with intervals from its own errors, scored against persistence.

Level and trend are smoothed as in Gardner and McKenzie (1985), in the notation of Hyndman and Athanasopoulos,
"Forecasting: Principles and Practice", 8.2: ``l = α y + (1 - α)(l' + φ b')``,
``b = β (l - l') + (1 - β) φ b'``, and ``h`` steps ahead ``l + (φ + φ² + … + φ^h) b``. The trend fades, since
memory that grows soon stops.

Intervals assume no distribution: each forecast is kept until its time has come, and the half-width is the
conformal upper quantile of the absolute errors at that horizon, over the last :data:`KEPT_ERRORS`. Until
there are enough there is none. The same errors say how much better than "it stays as it is" the forecast is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.guard.thresholds import THRESHOLDS
from schemas.alerts import AlertLevel, Crossing

LEVEL_SMOOTHING = 0.5
TREND_SMOOTHING = 0.05
DAMPING = 0.98
HORIZONS = (1, 5, 15, 60)
"""Steps ahead at which forecasts are kept and scored; the last one is as far as we look."""
COVERAGE = 0.9
KEPT_ERRORS = 240


def conformal_quantile(values: Sequence[float], coverage: float) -> float | None:
    """The upper quantile that a next, exchangeable value stays below with at least this probability.

    The ``⌈(n + 1) coverage⌉``-th smallest (Vovk; Lei et al. 2018); None when there are too few to say.
    """
    rank = math.ceil((len(values) + 1) * coverage)
    return sorted(values)[rank - 1] if 0 < rank <= len(values) else None


@dataclass(frozen=True, slots=True)
class Score:
    """How good the forecasts of one horizon were, over the errors that are kept.

    Attributes
    ----------
    skill
        1 is perfect, 0 as good as saying that nothing changes, negative worse; None before the first error,
        or when nothing ever changed.
    """

    steps: int
    count: int
    mean_error: float | None
    persistence_error: float | None
    skill: float | None


@dataclass(frozen=True, slots=True)
class SideScore:
    """How often the forecasts of one horizon named the wrong side of a threshold, over those that are kept.

    Attributes
    ----------
    wrong, persistence_wrong
        Forecasts that were below the mark when the value was not, or the other way round.
    skill
        As of :class:`Score`; None while persistence was never wrong, since nobody could have been better.
    """

    steps: int
    count: int
    wrong: int
    persistence_wrong: int

    @property
    def skill(self) -> float | None:
        return 1 - self.wrong / self.persistence_wrong if self.persistence_wrong else None


@dataclass(slots=True)
class _Horizon:
    """Forecasts of one horizon whose time has not come, and those whose time has, beside what came."""

    steps: int
    waiting: deque[tuple[float, float]] = field(default_factory=deque)
    settled: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=KEPT_ERRORS))

    @property
    def errors(self) -> list[float]:
        return [abs(forecast - value) for forecast, _, value in self.settled]

    @property
    def naive(self) -> list[float]:
        return [abs(before - value) for _, before, value in self.settled]

    def settle(self, value: float) -> None:
        if len(self.waiting) == self.steps:
            self.settled.append((*self.waiting.popleft(), value))

    def sides(self, mark: float) -> SideScore:
        wrong = sum((forecast >= mark) != (value >= mark) for forecast, _, value in self.settled)
        naive = sum((before >= mark) != (value >= mark) for _, before, value in self.settled)
        return SideScore(self.steps, len(self.settled), wrong, naive)


class Forecast:
    """The forecast of one device's used share of memory, one sample after another, equally far apart.

    Parameters
    ----------
    step_s
        Seconds between two samples.
    """

    def __init__(self, step_s: float = 1.0) -> None:
        self._step_s = step_s
        self._level: float | None = None
        self._trend = 0.0
        self._horizons = {steps: _Horizon(steps) for steps in HORIZONS}

    def add(self, value: float) -> None:
        """Take one more sample."""
        for horizon in self._horizons.values():
            horizon.settle(value)
        if self._level is None:
            self._level = value
        else:
            before, faded = self._level, DAMPING * self._trend
            self._level = LEVEL_SMOOTHING * value + (1 - LEVEL_SMOOTHING) * (before + faded)
            self._trend = TREND_SMOOTHING * (self._level - before) + (1 - TREND_SMOOTHING) * faded
        for steps, horizon in self._horizons.items():
            horizon.waiting.append((self.at(steps), value))

    def at(self, steps: int) -> float:
        """The value expected so many steps ahead; NaN before the first sample."""
        if self._level is None:
            return math.nan
        return self._level + self._trend * DAMPING * (1 - DAMPING**steps) / (1 - DAMPING)

    def half_width(self, steps: int) -> float | None:
        """How far from :meth:`at` the value may be, with probability :data:`COVERAGE`; None until known.

        Between two horizons that are scored it is interpolated.
        """
        return _between(self._quantiles(), steps)

    def crossings(self, levels: Sequence[AlertLevel]) -> list[Crossing]:
        """When each level's upper mark is reached, and the earliest and latest time for it."""
        steps = range(1, HORIZONS[-1] + 1)
        centre = [self.at(step) for step in steps]
        widths = self._widths()
        marks = {row.level: row.enter for row in THRESHOLDS}
        return [
            Crossing(
                level=level,
                seconds=self._first(centre, marks[level]),
                earliest_s=self._first([c + w for c, w in zip(centre, widths, strict=False)], marks[level]),
                latest_s=self._first([c - w for c, w in zip(centre, widths, strict=False)], marks[level]),
            )
            for level in levels
        ]

    def scores(self) -> list[Score]:
        """How good it has been, a row a horizon."""
        return [_score(self._horizons[steps]) for steps in HORIZONS]

    def side_scores(self, level: AlertLevel) -> list[SideScore]:
        """How good it has been about a level's upper mark, a row a horizon."""
        (mark,) = (row.enter for row in THRESHOLDS if row.level == level)
        return [self._horizons[steps].sides(mark) for steps in HORIZONS]

    def _quantiles(self) -> dict[int, float | None]:
        return {steps: conformal_quantile(h.errors, COVERAGE) for steps, h in self._horizons.items()}

    def _widths(self) -> list[float]:
        """Half-widths step by step, as far as they are known."""
        quantiles, known = self._quantiles(), []
        for step in range(1, HORIZONS[-1] + 1):
            width = _between(quantiles, step)
            if width is None:
                break
            known.append(width)
        return known

    def _first(self, values: Sequence[float], mark: float) -> float | None:
        return next((self._step_s * i for i, value in enumerate(values, start=1) if value >= mark), None)


def _between(widths: dict[int, float | None], steps: int) -> float | None:
    """The width at a step, on the line between those of the horizons around it."""
    below = max((h for h in HORIZONS if h <= steps), default=HORIZONS[0])
    above = min((h for h in HORIZONS if h >= steps), default=HORIZONS[-1])
    low, high = widths[below], widths[above]
    if low is None or high is None:
        return None
    return low if below == above else low + (high - low) * (steps - below) / (above - below)


def _score(horizon: _Horizon) -> Score:
    count = len(horizon.settled)
    if not count:
        return Score(horizon.steps, 0, None, None, None)
    mean, naive = sum(horizon.errors) / count, sum(horizon.naive) / count
    return Score(horizon.steps, count, mean, naive, 1 - mean / naive if naive > 0 else None)
