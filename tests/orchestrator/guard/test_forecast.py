"""The forecast's intervals cover what they say, its score is honest, peaks are calibrated or not given."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from orchestrator.guard import PeakEstimate, PeakMemory
from orchestrator.guard.forecast import COVERAGE, DAMPING, HORIZONS, Forecast, conformal_quantile
from orchestrator.guard.peaks import PEAK_COVERAGE
from schemas.alerts import Crossing
from schemas.tasks import TaskResult

SERIES = 300
LENGTH = 320


def noise(rng: np.random.Generator) -> np.ndarray:
    return 0.5 + 0.02 * rng.standard_normal(LENGTH + 1)


def wander(rng: np.random.Generator) -> np.ndarray:
    return 0.5 + np.cumsum(0.002 * rng.standard_normal(LENGTH + 1))


def swing(rng: np.random.Generator) -> np.ndarray:
    """Reverting steps: memory that is taken and given back."""
    values = np.zeros(LENGTH + 1)
    for i in range(1, LENGTH + 1):
        values[i] = 0.9 * values[i - 1] + 0.01 * rng.standard_t(3)
    return 0.5 + values


def binomial_bound(trials: int, chance: float, sigmas: float = 4.0) -> float:
    return sigmas * math.sqrt(chance * (1 - chance) / trials)


@pytest.mark.parametrize("make", [noise, wander, swing])
def test_the_interval_covers_what_it_says(make) -> None:  # type: ignore[no-untyped-def]
    """One step ahead of each of many series, so that the trials are independent."""
    covered = 0
    for seed in range(SERIES):
        values = make(np.random.default_rng(seed)).tolist()
        forecast = Forecast()
        for value in values[:-1]:
            forecast.add(value)
        width = forecast.half_width(1)
        assert width is not None
        covered += abs(values[-1] - forecast.at(1)) <= width
    # A conformal quantile of 240 errors covers at least 0.9 and at most 0.9 + 1/241 of exchangeable ones.
    assert abs(covered / SERIES - COVERAGE) <= binomial_bound(SERIES, COVERAGE) + 1 / 241, covered / SERIES


def test_errors_that_grow_with_the_horizon_widen_the_interval() -> None:
    forecast = Forecast()
    for value in wander(np.random.default_rng(1)).tolist():
        forecast.add(value)
    widths = [forecast.half_width(steps) for steps in range(1, HORIZONS[-1] + 1)]
    known = [width for width in widths if width is not None]
    assert len(known) == HORIZONS[-1]
    assert known == sorted(known)


def test_there_is_no_interval_before_there_are_enough_errors() -> None:
    forecast = Forecast()
    found = []
    for i in range(12):
        forecast.add(0.5 + i % 2 / 100)
        found.append(forecast.half_width(1) is not None)
    assert found == [False] * 9 + [True] * 3  # nine errors: ceil(10 × 0.9) is the ninth


def test_the_forecast_is_the_formula() -> None:
    forecast = Forecast()
    assert math.isnan(forecast.at(1))
    forecast.add(0.5)
    assert forecast.at(60) == 0.5
    forecast.add(0.6)
    trend = 0.05 * 0.05  # half of the step goes into the level, a twentieth of that into the trend
    assert forecast.at(3) == pytest.approx(0.55 + trend * (DAMPING + DAMPING**2 + DAMPING**3), abs=1e-15)


def test_the_score_shows_where_the_trend_helps_and_where_it_does_not() -> None:
    climb, flat = Forecast(), Forecast()
    rng = np.random.default_rng(5)
    for i in range(300):
        climb.add(0.1 + 0.002 * i)
        flat.add(0.5 + 0.01 * rng.standard_normal())
    climbing = [score.skill or 0.0 for score in climb.scores()]
    still = {score.steps: score.skill or 0.0 for score in flat.scores()}
    assert min(climbing) > 0.3
    assert still[1] > 0.1  # noise is smoothed
    assert still[60] < 0.1  # but a minute ahead there is nothing to know, and the score says so


def test_a_score_is_what_was_wrong_beside_what_persistence_would_have_been() -> None:
    forecast, values = Forecast(), [0.1, 0.3, 0.2, 0.6, 0.5]
    said: list[float] = []
    for value in values:
        forecast.add(value)
        said.append(forecast.at(1))
    errors = [abs(a - b) for a, b in zip(said[:-1], values[1:], strict=True)]
    naive = [abs(a - b) for a, b in pairwise(values)]
    score = forecast.scores()[0]
    assert (score.steps, score.count) == (1, 4)
    assert score.mean_error == pytest.approx(np.mean(errors))
    assert score.persistence_error == pytest.approx(np.mean(naive))
    assert score.skill == pytest.approx(1 - np.mean(errors) / np.mean(naive))
    assert forecast.scores()[-1].skill is None


def test_memory_that_never_changes_has_no_skill_to_show() -> None:
    forecast = Forecast()
    for _ in range(20):
        forecast.add(0.5)
    score = forecast.scores()[0]
    assert (score.mean_error, score.persistence_error, score.skill) == (0.0, 0.0, None)


def test_the_time_to_a_threshold_lies_in_its_interval_and_counts_in_seconds() -> None:
    one, two = Forecast(step_s=1.0), Forecast(step_s=2.0)
    rng = np.random.default_rng(7)
    for i in range(165):
        value = 0.2 + 0.004 * i + 0.004 * rng.standard_normal()
        one.add(value)
        two.add(value)
    (high,) = one.crossings(["HIGH"])
    assert high.earliest_s is not None
    assert high.seconds is not None
    assert 1 <= high.earliest_s <= high.seconds
    assert high.latest_s is None or high.latest_s >= high.seconds
    (slower,) = two.crossings(["HIGH"])
    assert (slower.earliest_s, slower.seconds) == (2 * high.earliest_s, 2 * high.seconds)


def test_what_is_not_in_sight_has_no_time() -> None:
    forecast = Forecast()
    for _ in range(100):
        forecast.add(0.2)
    assert forecast.crossings(["WARN", "CRITICAL"]) == [Crossing(level="WARN"), Crossing(level="CRITICAL")]


@pytest.mark.parametrize(("count", "expected"), [(0, None), (8, None), (9, 9.0), (10, 10.0), (19, 18.0)])
def test_a_conformal_quantile_is_a_value_that_was_seen_or_none(count: int, expected: float | None) -> None:
    assert conformal_quantile([float(i) for i in range(count, 0, -1)], 0.9) == expected


def test_a_peak_is_uncalibrated_until_there_are_enough_tasks() -> None:
    peaks = PeakMemory()
    for i in range(1, 19):
        peaks.add("train_model", "gpu", i)
    assert peaks.estimate("train_model", "gpu") == PeakEstimate("train_model", "gpu", None, 18)
    assert peaks.estimate("train_model", "gpu").calibration == "uncalibrated (18 tasks)"
    peaks.add("train_model", "gpu", 19)
    assert peaks.estimate("train_model", "gpu") == PeakEstimate("train_model", "gpu", 19, 19)
    assert peaks.estimate("train_model", "gpu").calibration == "19 tasks"
    assert peaks.estimate("train_model", "cpu") == PeakEstimate("train_model", "cpu", None, 0)


def test_peaks_are_learned_from_tasks_that_succeeded_by_the_kind_of_their_device() -> None:
    def result(**fields: object) -> TaskResult:
        known = {"task_id": "t", "task_type": "echo", "state": "SUCCEEDED", "peak_memory_bytes": 7}
        return TaskResult.model_validate(known | fields)

    peaks = PeakMemory()
    for found in (
        result(ran_on=["CPU-here"]),
        result(ran_on=["GPU-1"]),
        result(ran_on=["GPU-1"], peak_memory_bytes=None),
        result(ran_on=["GPU-1"], state="FAILED"),
        result(ran_on=[]),
    ):
        peaks.learn(found)
    assert peaks.all() == [PeakEstimate("echo", lane, None, 1) for lane in ("cpu", "gpu")]


@pytest.mark.parametrize("count", [19, 50, 300])
def test_the_next_task_stays_below_the_peak_as_often_as_it_says(count: int) -> None:
    trials, below = 1_000, 0
    for seed in range(trials):
        sizes = np.random.default_rng(seed).lognormal(20, 1, count + 1).astype(np.int64).tolist()
        peaks = PeakMemory()
        for size in sizes[:-1]:
            peaks.add("any", "gpu", size)
        estimate = peaks.estimate("any", "gpu").peak_bytes
        assert estimate is not None
        below += sizes[-1] <= estimate
    chance = math.ceil((count + 1) * PEAK_COVERAGE) / (count + 1)
    assert abs(below / trials - chance) <= binomial_bound(trials, chance), below / trials
    assert chance >= PEAK_COVERAGE


def test_the_score_about_a_threshold_counts_the_wrong_sides_of_both() -> None:
    """Oracle: the same forecasts made again one by one, each side compared when its time has come."""
    values = [0.78 + 0.05 * math.sin(i / 9) + 0.0002 * i for i in range(150)]
    forecast, made = Forecast(), []
    for value in values:
        forecast.add(value)
        made.append({steps: forecast.at(steps) for steps in HORIZONS})
    scores = {score.steps: score for score in forecast.side_scores("WARN")}
    for steps in HORIZONS:
        pairs = [(made[i][steps], values[i], values[i + steps]) for i in range(len(values) - steps)]
        wrong = sum((ahead >= 0.8) != (came >= 0.8) for ahead, _, came in pairs)
        stays = sum((now >= 0.8) != (came >= 0.8) for _, now, came in pairs)
        score = scores[steps]
        assert (score.count, score.wrong, score.persistence_wrong) == (len(pairs), wrong, stays)
        assert score.skill == pytest.approx(1 - wrong / stays)
    assert [score.skill for score in forecast.side_scores("CRITICAL")] == [None] * len(HORIZONS)
