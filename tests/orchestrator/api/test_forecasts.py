"""Scores of the memory guard's forecasts in ``GET /gpu/stats``: those of the guard itself."""

from __future__ import annotations

import math

from orchestrator.api import views
from orchestrator.api.forecast_views import forecast
from orchestrator.api.model import ReadModel
from orchestrator.guard import MemoryGuard, sample_of
from orchestrator.guard.thresholds import THRESHOLDS
from schemas import codec
from schemas.devices import DeviceReport
from streams import topics
from streams.tail import Entry

S = 1_000_000_000


def report(second: float, share: float | None, uuid: str = "GPU-1") -> DeviceReport:
    return DeviceReport(
        gpu_uuid=uuid,
        kind="gpu",
        host="h",
        health="HEALTHY",
        at_ns=int(second * S),
        memory_bytes=1_000_000,
        free_bytes=None if share is None else round(1_000_000 * (1 - share)),
    )


def climbing(seconds: int) -> list[DeviceReport]:
    return [report(i, 0.6 + 0.002 * i + 0.01 * math.sin(i)) for i in range(1, seconds)]


def entry(offset: int, said: DeviceReport | None, key: bytes = b"GPU-1") -> Entry:
    return Entry(topics.GPU_DEVICES, 0, offset, 1, key, None if said is None else codec.dumps(said))


def test_each_device_shows_the_scores_and_crossings_that_its_guard_has() -> None:
    model, guard = ReadModel(), MemoryGuard()
    reports = [*climbing(90), report(90, None), report(90.2, 0.5), report(91, 0.79)]
    for number, said in enumerate(reports):
        model.fold([entry(number, said)])
        sample = sample_of(said)
        if sample is not None:
            guard.take(sample)
    (shown,) = views.stats(model, 0).forecasts
    assert [(s.seconds, s.count) for s in shown.scores] == [(s.steps, s.count) for s in guard.scores("GPU-1")]
    assert [s.skill for s in shown.scores] == [round(s.skill or 0, 6) for s in guard.scores("GPU-1")]
    crossings = {crossing.level: crossing for crossing in guard.crossings("GPU-1")}
    for row, threshold in zip(THRESHOLDS, shown.thresholds, strict=True):
        assert (threshold.level, threshold.enter, threshold.reached) == (row.level, row.enter, False)
        assert threshold.seconds == crossings[row.level].seconds
        assert [(s.count, s.wrong, s.persistence_wrong) for s in threshold.scores] == [
            (s.count, s.wrong, s.persistence_wrong) for s in guard.side_scores("GPU-1", row.level)
        ]


def test_a_level_that_is_reached_has_no_time_to_it() -> None:
    model = ReadModel()
    model.fold([entry(i, report(i + 1, 0.92)) for i in range(9)])
    (shown,) = views.stats(model, 0).forecasts
    assert shown.level == "HIGH"
    assert [(row.reached, row.seconds) for row in shown.thresholds] == [
        (True, None),
        (True, None),
        (False, None),
    ]


def test_a_forecast_begins_anew_after_a_long_silence_and_ends_with_its_device() -> None:
    model = ReadModel()
    model.fold([entry(i, said) for i, said in enumerate(climbing(30))])
    assert views.stats(model, 0).forecasts[0].scores[0].count == 28
    model.fold([entry(30, report(29 + 60, 0.5))])
    assert views.stats(model, 0).forecasts[0].scores[0].count == 0
    model.fold([entry(31, None)])
    assert views.stats(model, 0).forecasts == []


def test_what_is_worked_out_once_a_sample_is_never_old() -> None:
    model = ReadModel()
    for number, said in enumerate(climbing(9)):
        model.fold([entry(number, said)])
        (found,) = model.forecasts.all()
        assert found.scores[0].count == number
        assert forecast(found).scores[0].count == number
        assert model.forecasts.all()[0] is found
