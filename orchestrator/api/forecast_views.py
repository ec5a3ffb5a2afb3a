"""From the read model's forecasts to what is answered."""

from __future__ import annotations

from orchestrator.api import bodies
from orchestrator.api.model.forecasts import DeviceForecast
from orchestrator.guard.thresholds import RANK, THRESHOLDS, Threshold

DIGITS = 6
"""Of shares and skills: a millionth of the capacity."""


def forecast(found: DeviceForecast) -> bodies.DeviceForecast:
    """Where a device's memory is going."""
    return bodies.DeviceForecast(
        gpu_uuid=found.gpu_uuid,
        level=found.level,
        scores=[
            bodies.HorizonScore(
                seconds=score.steps,
                count=score.count,
                mean_error=_rounded(score.mean_error),
                persistence_error=_rounded(score.persistence_error),
                skill=_rounded(score.skill),
            )
            for score in found.scores
        ],
        thresholds=[_threshold(found, row) for row in THRESHOLDS],
    )


def _threshold(found: DeviceForecast, row: Threshold) -> bodies.ThresholdForecast:
    crossing = next((it for it in found.crossings if it.level == row.level), None)
    return bodies.ThresholdForecast(
        level=row.level,
        enter=row.enter,
        reached=RANK[row.level] <= RANK[found.level],
        seconds=crossing.seconds if crossing else None,
        earliest_s=crossing.earliest_s if crossing else None,
        latest_s=crossing.latest_s if crossing else None,
        scores=[
            bodies.SideScore(
                seconds=score.steps,
                count=score.count,
                wrong=score.wrong,
                persistence_wrong=score.persistence_wrong,
                skill=_rounded(score.skill),
            )
            for score in found.sides[row.level]
        ],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
