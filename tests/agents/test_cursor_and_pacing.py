"""Where a partition is in its log, and how often it checkpoints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.cursor import Cursor, Step
from agents.pacing import CheckpointPacer


def test_an_event_the_state_has_is_skipped_and_one_too_far_waits_for_the_range_before() -> None:
    cursor = Cursor(10)
    assert [cursor.see(offset) for offset in (9, 10, 11)] == [Step.SKIP, Step.COMPUTE, Step.FILL]
    assert cursor.missing(14) == (10, 14)


@given(st.lists(st.integers(0, 60), max_size=80))
def test_whatever_order_events_come_in_every_offset_is_computed_once_and_in_order(offsets: list[int]) -> None:
    cursor, computed = Cursor(0), []
    for offset in offsets:
        step = cursor.see(offset)
        if step is Step.SKIP:
            continue
        if step is Step.FILL:
            for missing in range(*cursor.missing(offset)):
                cursor.advance(missing)
                computed.append(missing)
        cursor.advance(offset)
        computed.append(offset)
    assert computed == list(range(max(offsets, default=-1) + 1))


def test_going_back_is_a_defect() -> None:
    with pytest.raises(ValueError, match="offset 4 is in the state already"):
        Cursor(5).advance(4)


def test_cheap_checkpoints_come_at_the_interval_and_dear_ones_stretch_it() -> None:
    pacer = CheckpointPacer(interval_s=2.0, share=0.05)
    assert (pacer.period_s, pacer.pause_s(4)) == (2.0, 0.5)
    pacer.record(0, 0.1)
    pacer.record(1, 0.3)
    pacer.record(1, 0.0)
    assert pacer.period_s == pytest.approx(8.0)
    pacer.forget(1)
    assert pacer.period_s == 2.0


@given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=16), st.floats(0.01, 0.5))
def test_the_share_is_never_exceeded(costs: list[float], share: float) -> None:
    pacer = CheckpointPacer(interval_s=0.1, share=share)
    for partition, cost in enumerate(costs):
        pacer.record(partition, cost)
    assert sum(costs) / pacer.period_s <= share * (1 + 1e-12)
