"""When memory is low: levels with hysteresis, as a table and a fold over samples.

A level is entered when :data:`IN_A_ROW` samples in a row reach its upper mark, and left when as many are
below its lower one. In between nothing changes, so a value that swings around a mark raises one alert.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.alerts import AlertLevel

IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class Threshold:
    """A level and its marks, as shares of the capacity."""

    level: AlertLevel
    enter: float
    leave: float


THRESHOLDS = (Threshold("WARN", 0.80, 0.75), Threshold("HIGH", 0.90, 0.85), Threshold("CRITICAL", 0.95, 0.90))
"""From the lowest to the highest."""

RANK: dict[AlertLevel | None, int] = {None: 0} | {row.level: i for i, row in enumerate(THRESHOLDS, start=1)}
"""How grave a level is; 0 for none."""


def level_at(share: float) -> AlertLevel | None:
    """The level whose upper mark a single look reaches; three in a row enter it."""
    return next((row.level for row in reversed(THRESHOLDS) if share >= row.enter), None)


@dataclass(frozen=True, slots=True)
class Gauge:
    """Where a value stands.

    Attributes
    ----------
    recent
        Shares of the capacity, the last :data:`IN_A_ROW` at most.
    """

    level: AlertLevel | None = None
    recent: tuple[float, ...] = ()


def gauged(gauge: Gauge, share: float) -> Gauge:
    """The gauge after one more sample.

    Parameters
    ----------
    share
        Used over capacity, not negative; may exceed 1 where the driver says so.
    """
    recent = (*gauge.recent, share)[-IN_A_ROW:]
    if len(recent) < IN_A_ROW:
        return Gauge(gauge.level, recent)
    rank = RANK[gauge.level]
    while rank and max(recent) < THRESHOLDS[rank - 1].leave:
        rank -= 1
    reached = sum(min(recent) >= row.enter for row in THRESHOLDS)
    rank = max(rank, reached)
    return Gauge(THRESHOLDS[rank - 1].level if rank else None, recent)
