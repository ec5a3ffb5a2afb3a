"""Features and samples look back alone; what a split learns from ends before what it is tested on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.models.bars import COLUMNS, Bars, make_bars
from agents.models.evaluation import Plan, evaluate
from agents.models.features import FEATURES, WARM_UP, features, forward_return
from agents.models.gaps import cut, find_gaps
from agents.models.samples import fit_scaler, hold_band, labels, make_samples, walk_forward
from agents.models.training import Training
from schemas.errors import ModelError
from tests.agents.models.planted import momentum, walk


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(1, 299), factor=st.floats(0.2, 5))
def test_what_comes_after_a_bar_changes_no_bit_before_it(cut: int, factor: float) -> None:
    bars = walk(300)
    other = replace(bars, **{name: getattr(bars, name).copy() for name in COLUMNS})
    for name in COLUMNS:
        getattr(other, name)[cut:] *= factor
    whole = features(bars)
    assert features(other)[:cut].tobytes() == whole[:cut].tobytes()
    assert features(bars.head(cut)).tobytes() == whole[:cut].tobytes()


@settings(max_examples=25, deadline=None)
@given(start=st.integers(1, 250))
def test_a_history_that_begins_later_has_the_same_bits_after_its_warm_up(start: int) -> None:
    bars = walk(300)
    assert features(bars.tail(300 - start))[WARM_UP:].tobytes() == features(bars)[start + WARM_UP :].tobytes()


def test_features_are_what_their_names_say() -> None:
    bars = walk(60)
    row, t = features(bars)[40], 40
    log = np.log(bars.close)
    steps = np.diff(log)[t - 20 : t]
    volume = np.log1p(bars.volume)
    expected = [
        log[t] - log[t - 1], log[t] - log[t - 5], log[t] - log[t - 20], np.sqrt((steps**2).mean()),
        np.log(bars.high[t] / bars.low[t]),
        (bars.close[t] - bars.low[t]) / (bars.high[t] - bars.low[t]) - 0.5,
        np.log(bars.open[t] / bars.close[t - 1]), volume[t] - volume[t - 19 : t + 1].mean(),
    ]  # fmt: skip
    np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-7)
    assert len(FEATURES) == 8
    assert np.isnan(features(bars)[:WARM_UP]).all()
    assert np.isfinite(features(bars)[WARM_UP:]).all()


def test_labels_are_cut_at_the_band_of_the_training_part() -> None:
    returns = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    assert labels(returns, 0.01).tolist() == [0, 1, 1, 1, 2]
    assert hold_band(returns, 0.5) == pytest.approx(0.5 * np.std(returns))
    assert forward_return(walk(10), 3)[-3:].tolist() == pytest.approx([np.nan] * 3, nan_ok=True)


def test_no_label_of_a_part_needs_a_bar_of_the_next_part() -> None:
    samples = make_samples([walk(500, "A"), walk(400, "B", 1)], window=10, horizon=7)
    for fold in walk_forward(samples, 4):
        assert samples.until_ns[fold.train].max() < samples.ts_ns[fold.validation].min()
        assert samples.until_ns[fold.validation].max() < samples.ts_ns[fold.test].min()
        purged = (
            (samples.ts_ns < samples.ts_ns[fold.test].min()).sum() - len(fold.train) - len(fold.validation)
        )
        assert purged >= 2 * samples.horizon  # at least the horizon, at both cuts


def test_scaler_and_band_do_not_know_what_comes_after_training() -> None:
    bars = walk(400)
    changed = replace(bars, **{name: getattr(bars, name).copy() for name in COLUMNS})
    samples = make_samples([bars], 10, 5)
    train = walk_forward(samples, 3)[0].train
    last = int(samples.until_ns[train].max() // (86_400 * 10**9))
    for name in COLUMNS:
        getattr(changed, name)[last:] *= 3.0
    other = make_samples([changed], 10, 5)
    ours, theirs = fit_scaler(samples, train), fit_scaler(other, train)
    assert (ours.mean.tobytes(), ours.scale.tobytes()) == (theirs.mean.tobytes(), theirs.scale.tobytes())
    assert hold_band(samples.forward[train], 0.5) == hold_band(other.forward[train], 0.5)


def test_a_fold_is_scored_alike_whatever_comes_after_it() -> None:
    bars = momentum(800)
    plan = Plan(8, 2, folds=2, seeds=(1,), training=Training(hidden=4, max_epochs=2))
    other = replace(bars, **{name: getattr(bars, name).copy() for name in COLUMNS})
    for name in COLUMNS:
        getattr(other, name)[620:] *= 2.0  # the second test part begins near bar 540
    first, second = (evaluate([one], plan)[1]["folds"] for one in (bars, other))
    assert first[0] == second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize(
    ("column", "row", "value", "field"),
    [
        ("close", 3, float("nan"), "bars.A.close[3]"),
        ("high", 5, 1.0, "bars.A.high[5]"),
        ("low", 6, 1e9, "bars.A.low[6]"),
        ("open", 0, -1.0, "bars.A.open[0]"),
        ("volume", 2, -1.0, "bars.A.volume[2]"),
    ],
)
def test_impossible_bars_are_refused_where_they_are(column: str, row: int, value: float, field: str) -> None:
    columns = {name: getattr(walk(10), name).copy() for name in COLUMNS}
    columns[column][row] = value
    with pytest.raises(ModelError) as caught:
        make_bars("A", columns)
    assert (caught.value.field, bool(caught.value.remedy)) == (field, True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"open": None}, "bars.A.open"),
        ({"open": [1.0]}, "bars.A.open"),
        ({"open": ["x"] * 10}, "bars.A.open"),
        ({"open": [[1.0]]}, "bars.A.open"),
        ({"ts_ns": [5] * 10}, "bars.A.ts_ns[1]"),
        ({"ts_ns": ["x"] * 10}, "bars.A.ts_ns"),
    ],
)
def test_columns_that_are_no_bars_are_refused_by_name(change: dict[str, object], field: str) -> None:
    columns: dict[str, object] = {name: getattr(walk(10), name) for name in COLUMNS} | change
    with pytest.raises(ModelError) as caught:
        make_bars("A", {name: value for name, value in columns.items() if value is not None})
    assert caught.value.field == field


def test_too_few_bars_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ModelError, match="30 are too few, 35 are needed"):
        make_samples([walk(30)], 10, 5)


def test_histories_are_cut_where_they_jump_and_no_window_reaches_across() -> None:
    bars = walk(200)
    factor = np.where(np.arange(200) < 90, 7.0, 1.0)
    raw = Bars("A", bars.ts_ns, *(getattr(bars, n) * factor for n in COLUMNS[:4]), bars.volume)
    rows = find_gaps(raw, 0.35)
    assert (rows.tolist(), find_gaps(bars, 0.35).tolist()) == ([90], [])
    parts = cut(raw, rows)
    assert [(len(part), part.ts_ns[0]) for part in parts] == [(90, bars.ts_ns[0]), (110, bars.ts_ns[90])]
    samples = make_samples(parts, 10, 5)
    assert np.abs(samples.forward).max() < 0.1
    assert len(samples) == (90 - 34) + (110 - 34)
