"""Signals and indicators may change under a checkpoint: what both have goes on; changes are remembered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.partition import Partition
from agents.partition_config import PartitionConfig
from agents.partition_state import course_of
from agents.reopening import Reopening
from agents.selection import Course, Selection
from agents.verification import under
from schemas.errors import CheckpointError, VerifyError
from streams.checkpoints import Checkpoint
from streams.recovery import Recovery
from tests.agents.live.making import live_partition, log_of
from tests.agents.test_partition import random_ticks

OURS, OTHER = "agents.signals.order_flow:order_flow", "tests.agents.live.own_signal:imbalance"
MESSAGES = log_of(random_ticks(3000, 0), list(range(0, 3000, 250)), {})
BEFORE = {"signals": (OURS,), "indicators": ("rsi(5)", "ema(4)")}
NOW = {"signals": (OURS, OTHER), "indicators": ("ema(4)", "obv")}


def config(**changes: object) -> PartitionConfig:
    return live_partition(**changes).config


def outputs(partition: Partition, begin: int, end: int) -> list:
    return [partition.process(message) for message in MESSAGES[begin:end]]


def kinds_of(partition: Partition) -> list[str]:
    return [spec.kind for spec in partition.config.signals]


def test_what_is_unchanged_goes_on_and_what_is_new_begins_empty() -> None:
    old, new = live_partition(**BEFORE), live_partition(**NOW)
    outputs(old, 0, 8)
    new.restore(old.snapshot())
    assert new.positions.sides["order_flow"][:3].tolist() == old.positions.sides["order_flow"][:3].tolist()
    assert new.positions.sides["imbalance"][:3].tolist() == [0, 0, 0]
    undisturbed = live_partition(**BEFORE)
    outputs(undisturbed, 0, 8)
    for mine, theirs in zip(outputs(new, 8, 12), outputs(undisturbed, 8, 12), strict=True):
        assert [o.value for o in mine if o.topic == "market.features"] == [
            o.value for o in theirs if o.topic == "market.features"
        ]
    sides = [partition.positions.sides["order_flow"][:3].tolist() for partition in (new, undisturbed)]
    assert sides[0] == sides[1]


def test_what_is_not_configured_any_more_is_dropped() -> None:
    old, new = live_partition(**NOW), live_partition(signals=(), indicators=())
    outputs(old, 0, 8)
    new.restore(old.snapshot())
    assert sorted(new.positions.sides) == ["lstm"]
    assert {o.topic for outs in outputs(new, 8, 12) for o in outs} == {"market.features", "market.bars"}
    assert b"indicators/" not in new.snapshot()


def test_a_checkpoint_remembers_since_when_what_was_computed() -> None:
    old, new = live_partition(**BEFORE), live_partition(**NOW)
    outputs(old, 0, 8)
    new.restore(old.snapshot())
    course = course_of(new.config, new.snapshot())
    assert course.stretches == [(0, old.config.selection), (8, new.config.selection)]
    assert [course.at(offset) for offset in (0, 7, 8, 99)] == [
        old.config.selection,
        old.config.selection,
        new.config.selection,
        new.config.selection,
    ]


def test_a_change_that_is_taken_back_before_a_message_leaves_no_trace() -> None:
    one, other = (Selection((), (), fee, 0) for fee in (0.1, 0.2))
    course = Course(one)
    course.change(5, other)
    course.change(5, one)
    assert course.stretches == [(0, one)]
    assert Course.from_list(course.as_list()).stretches == course.stretches


def recovery(state: bytes, next_offset: int, emitted: set[tuple[int, int]]) -> Recovery:
    return Recovery(Checkpoint(next_offset, {}, state), next_offset, None, frozenset(emitted), {})


def test_outputs_beyond_the_checkpoint_are_computed_as_they_were_before_the_change() -> None:
    old = live_partition(**BEFORE)
    outputs(old, 0, 4)
    state = old.snapshot()
    wanted = outputs(old, 4, 7)
    reopening = Reopening(config(**NOW), recovery(state, 4, {(4, 0), (6, 1)}))
    partition = reopening.open()
    assert outputs(partition, 4, 7) == wanted
    assert [reopening.is_over(offset) for offset in (6, 7)] == [False, True]
    changed = reopening.change(partition)
    assert (kinds_of(partition), kinds_of(changed)) == (["order_flow"], ["order_flow", "imbalance"])
    assert course_of(changed.config, changed.snapshot()).stretches[-1] == (7, changed.config.selection)


def test_without_outputs_beyond_the_checkpoint_the_change_is_at_once() -> None:
    old = live_partition(**BEFORE)
    outputs(old, 0, 4)
    partition = Reopening(config(**NOW), recovery(old.snapshot(), 4, set())).open()
    assert partition.config.selection == config(**NOW).selection


def test_outputs_that_need_a_signal_that_is_gone_are_an_error_with_the_way_out() -> None:
    old = live_partition(**NOW)
    outputs(old, 0, 4)
    reopening = Reopening(config(**BEFORE), recovery(old.snapshot(), 4, {(5, 0)}))
    with pytest.raises(CheckpointError) as raised:
        reopening.open()
    assert raised.value.problem == (
        "market.ticks[0]: outputs up to offset 5 are on the log and in no checkpoint: signals that were "
        "computed are not configured: imbalance@100ms imbalance/1; "
        "configured are: order_flow@100ms order_flow/1"
    )
    assert raised.value.remedy.startswith("name them in TAPESTREAM_SIGNALS too, until the worker")


def test_verification_computes_each_stretch_as_the_workers_did() -> None:
    partition = live_partition(**BEFORE)
    wanted = outputs(partition, 0, 5)
    partition = partition.under(config(**NOW))
    wanted += outputs(partition, 5, 12)
    course = course_of(config(**NOW), partition.snapshot())
    selected = under(config(**NOW), course, 0, 12)
    again = Partition(selected(0))
    found = outputs(again, 0, 5)
    again = again.under(selected(5))
    assert found + outputs(again, 5, 12) == wanted


def test_a_stretch_with_a_signal_that_is_not_configured_is_named() -> None:
    then, now = config(**NOW), config(**BEFORE)
    course = Course(then.selection)
    course.change(7, now.selection)
    with pytest.raises(VerifyError, match=r"market.ticks\[0\] offsets 2 to 6: signals that were computed"):
        under(now, course, 2, 12)
    assert under(now, course, 7, 12)(9) == now


def test_a_change_of_the_fee_is_a_change_of_the_selection() -> None:
    first, second = config(), replace(config(), fee_bps=5.0)
    assert first.selection != second.selection
    assert second.select(first.selection).fee_bps == first.fee_bps
