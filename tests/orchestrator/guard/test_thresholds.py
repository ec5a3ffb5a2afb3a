"""Hysteresis: levels from shares, by examples and as properties."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from orchestrator.guard.thresholds import IN_A_ROW, RANK, THRESHOLDS, Gauge, gauged


def levels(shares: list[float]) -> list[str | None]:
    gauge, found = Gauge(), []
    for share in shares:
        gauge = gauged(gauge, share)
        found.append(gauge.level)
    return found


@pytest.mark.parametrize(
    ("shares", "last"),
    [
        ([0.80, 0.80, 0.80], "WARN"),
        ([0.7999, 0.80, 0.80], None),
        ([0.99, 0.99], None),
        ([0.99, 0.79, 0.99, 0.99], None),
        ([0.90, 0.90, 0.90], "HIGH"),
        ([0.95, 0.95, 0.95], "CRITICAL"),
        ([1.2, 1.2, 1.2], "CRITICAL"),
        ([0.96, 0.91, 0.85], "WARN"),
        ([0.85] * 3 + [0.75] * 9, "WARN"),
        ([0.85] * 3 + [0.74] * 2, "WARN"),
        ([0.85] * 3 + [0.74, 0.76, 0.74, 0.74], "WARN"),
        ([0.85] * 3 + [0.74] * 3, None),
        ([0.97] * 3 + [0.90] * 9, "CRITICAL"),
        ([0.97] * 3 + [0.89] * 3, "HIGH"),
        ([0.97] * 3 + [0.80] * 3, "WARN"),
        ([0.97] * 3 + [0.10] * 3, None),
    ],
)
def test_three_samples_in_a_row_decide(shares: list[float], last: str | None) -> None:
    assert levels(shares)[-1] == last


# Values around the marks, where it matters.
SHARES = st.lists(
    st.one_of(
        st.floats(0, 1.1),
        st.sampled_from(
            [mark + d for row in THRESHOLDS for mark in (row.enter, row.leave) for d in (-1e-9, 0, 1e-9)]
        ),
    ),
    max_size=60,
)


@given(SHARES)
def test_a_level_is_entered_at_its_upper_mark_alone_and_left_below_its_lower_one_alone(
    shares: list[float],
) -> None:
    found = levels(shares)
    for i, (before, now) in enumerate(pairwise([None, *found])):
        recent = shares[max(0, i - IN_A_ROW + 1) : i + 1]
        if before != now:
            assert len(recent) == IN_A_ROW
        if RANK[now] > RANK[before]:
            assert min(recent) >= THRESHOLDS[RANK[now] - 1].enter
        if RANK[now] < RANK[before]:
            assert max(recent) < THRESHOLDS[RANK[now]].leave
        if len(recent) == IN_A_ROW:  # and nothing that should have happened did not
            assert RANK[now] >= sum(min(recent) >= row.enter for row in THRESHOLDS)
            assert RANK[now] <= sum(max(recent) >= row.leave for row in THRESHOLDS)


@given(st.sampled_from(THRESHOLDS), st.lists(st.floats(0, 1), min_size=3, max_size=60))
def test_within_a_band_nothing_ever_changes(row, unit: list[float]) -> None:  # type: ignore[no-untyped-def]
    inside = [row.leave + u * (row.enter - row.leave) * 0.999 for u in unit]
    entered = levels([row.enter] * 3)[-1]
    assert set(levels([row.enter] * 3 + inside)[3:]) == {entered}
    below = RANK[row.level] - 1
    assert all(RANK[level] <= below for level in levels(inside))
