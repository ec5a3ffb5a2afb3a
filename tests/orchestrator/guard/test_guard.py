"""Alerts and commands of the guard, message by message."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import hypothesis.strategies as st
import jsonschema
import pytest
from hypothesis import given

from orchestrator.guard import POLICIES, MemoryGuard, Sample
from orchestrator.guard.policies import LASTING, RENEW_AFTER_NS, in_force
from schemas import codec
from schemas.alerts import MemoryAlert
from schemas.commands import (
    LAPSES_MS,
    CleanupAnswer,
    CleanupCommand,
    PolicyCommand,
    PolicyName,
    decode_command,
)
from schemas.errors import FrameError
from tests.docs.pages import ROOT

S = 1_000_000_000
GPU = "GPU-1"


class Run:
    """A guard fed with percentages, a sample a second."""

    def __init__(self, policy: PolicyName = "moderate") -> None:
        self.guard = MemoryGuard(policy)
        self.at_s = 0

    def feed(self, *percents: float, kind: str = "device_memory", gpu: str = GPU) -> list[object]:
        outputs: list[object] = []
        for percent in percents:
            self.at_s += 1
            sample = Sample(gpu, round(percent * 10), 1_000, self.at_s * S, kind)  # type: ignore[arg-type]
            outputs += self.guard.take(sample)
        return outputs


def alerts(outputs: list[object]) -> list[tuple[str, str]]:
    return [(out.event, out.level) for out in outputs if isinstance(out, MemoryAlert)]


def commands(outputs: list[object]) -> list[tuple[str, str]]:
    """What is asked for, renewals aside."""
    found = [out for out in outputs if isinstance(out, CleanupCommand)]
    return [(out.phase, out.action) for out in found if out.phase != "renew"]


def test_an_alert_is_opened_escalated_eased_and_closed_under_one_id() -> None:
    outputs = Run().feed(50, 82, 82, 82, 92, 92, 92, 97, 97, 97, 80, 80, 80, 10, 10, 10)
    found = [out for out in outputs if isinstance(out, MemoryAlert)]
    assert [(out.event, out.level, out.at_ns // S) for out in found] == [
        ("opened", "WARN", 4),
        ("escalated", "HIGH", 7),
        ("escalated", "CRITICAL", 10),
        ("eased", "WARN", 13),
        ("closed", "WARN", 16),
    ]
    assert {(out.alert_id, out.opened_ns) for out in found} == {(f"{GPU}/device_memory/{4 * S}", 4 * S)}
    assert found[0].reason == "82.0% of 0.0 GiB used"


def test_a_second_trouble_is_another_alert() -> None:
    outputs = Run().feed(82, 82, 82, 10, 10, 10, 82, 82, 82)
    assert len({out.alert_id for out in outputs if isinstance(out, MemoryAlert)}) == 2


def test_an_alert_tells_when_the_next_level_is_expected() -> None:
    outputs = Run().feed(*[40 + i / 2 for i in range(90)])
    opened = next(out for out in outputs if isinstance(out, MemoryAlert))
    high, critical = opened.forecast
    assert (high.level, critical.level) == ("HIGH", "CRITICAL")
    # It grows by half a point a second and stands at 81 %; a damped trend is a little late.
    assert high.seconds is not None
    assert high.earliest_s is not None
    assert 15 <= high.seconds <= 40
    assert high.earliest_s <= high.seconds
    assert high.latest_s is None or high.latest_s >= high.seconds


@pytest.mark.parametrize(
    ("policy", "begun"),
    [
        ("conservative", ["pause_ticks", "once empty_idle_caches", "stop_admission"]),
        (
            "moderate",
            [
                "pause_ticks",
                "once empty_idle_caches",
                "clean_at_task_boundary",
                "spill_cudf",
                "cut_batches",
                "stop_admission",
                "once recycle_idle",
            ],
        ),
        (
            "aggressive",
            [
                "pause_ticks",
                "once empty_idle_caches",
                "clean_at_task_boundary",
                "spill_cudf",
                "cut_batches",
                "stop_admission",
                "once recycle_idle",
                "recycle_after_drain",
                "once preempt_lowest",
            ],
        ),
    ],
)
def test_each_policy_does_what_its_rows_say_and_undoes_it(policy: PolicyName, begun: list[str]) -> None:
    run = Run(policy)
    assert commands(run.feed(82, 82, 82)) == []
    expected = [tuple(row.split()) if " " in row else ("begin", row) for row in begun]
    assert commands(run.feed(97, 97, 97)) == expected
    ended = [("end", action) for phase, action in reversed(expected) if phase == "begin"]
    assert commands(run.feed(10, 10, 10)) == ended


def test_high_pauses_the_ticks_and_leaving_it_resumes_them() -> None:
    run = Run("conservative")
    assert commands(run.feed(92, 92, 92)) == [("begin", "pause_ticks"), ("once", "empty_idle_caches")]
    assert commands(run.feed(86, 86, 86, 89)) == []
    assert commands(run.feed(84, 84, 84)) == [("end", "pause_ticks")]


def test_what_is_done_once_is_asked_for_again_after_a_while() -> None:
    run = Run("conservative")
    run.feed(92, 92, 92)
    outputs = run.feed(*[92] * 70)
    asked = [out for out in outputs if isinstance(out, CleanupCommand) and out.phase == "once"]
    assert [(out.action, out.at_ns // S) for out in asked] == [
        ("empty_idle_caches", 33),
        ("empty_idle_caches", 63),
    ]


def test_what_lasts_is_renewed_before_it_lapses_and_not_after_its_end() -> None:
    run = Run("conservative")
    begun = [out for out in run.feed(92, 92, 92) if isinstance(out, CleanupCommand)]
    assert [(out.action, out.phase, out.lapses_ms) for out in begun] == [
        ("pause_ticks", "begin", LAPSES_MS),
        ("empty_idle_caches", "once", None),
    ]
    outputs = run.feed(*[92] * 12, *[10] * 12)
    told = [
        (out.phase, out.at_ns // S, out.lapses_ms)
        for out in outputs
        if isinstance(out, CleanupCommand) and out.action == "pause_ticks"
    ]
    assert told == [("renew", 8, LAPSES_MS), ("renew", 13, LAPSES_MS), ("end", 18, None)]
    assert RENEW_AFTER_NS * 3 <= LAPSES_MS * 1_000_000


def test_a_process_is_ended_only_where_that_is_allowed_and_nothing_milder_helped_for_a_minute() -> None:
    for may_end, asked in ((False, []), (True, [63, 93])):
        run = Run()
        run.guard = MemoryGuard("aggressive", may_end=may_end)
        outputs = run.feed(*[97] * 100)
        ends = [out for out in outputs if isinstance(out, CleanupCommand) and out.action == "end_process"]
        assert [out.at_ns // S for out in ends] == asked
    calm = Run()
    calm.guard = MemoryGuard("aggressive", may_end=True)
    outputs = calm.feed(*[97] * 50, *[80] * 5, *[97] * 50)
    assert not any(isinstance(out, CleanupCommand) and out.action == "end_process" for out in outputs)


def test_a_guard_goes_on_with_the_alert_of_the_one_before_it() -> None:
    before, after = Run("conservative"), Run("conservative")
    *_, alert = [out for out in before.feed(92, 92, 92, 97, 97, 97) if isinstance(out, MemoryAlert)]
    after.at_s = before.at_s
    after.guard.adopt(alert)
    assert after.guard.level(GPU) == "CRITICAL"
    first = after.feed(97)
    assert (alerts(first), [out for out in commands(first) if out[0] == "begin"]) == (
        [],
        [("begin", "pause_ticks"), ("begin", "stop_admission")],
    )
    (closed,) = [out for out in after.feed(10, 10, 10) if isinstance(out, MemoryAlert)]
    assert (closed.event, closed.alert_id, closed.opened_ns) == ("closed", alert.alert_id, alert.opened_ns)
    after.guard.adopt(alert)
    after.guard.adopt(closed)
    assert after.guard.level(GPU) is None


def test_a_change_of_policy_works_at_once_and_both_ways() -> None:
    run = Run("conservative")
    run.feed(97, 97, 97)
    to = PolicyCommand(policy="aggressive", at_ns=4 * S)
    assert commands(list(run.guard.change_policy(to))) == [
        ("begin", "clean_at_task_boundary"),
        ("begin", "spill_cudf"),
        ("begin", "cut_batches"),
        ("once", "recycle_idle"),
        ("begin", "recycle_after_drain"),
        ("once", "preempt_lowest"),
    ]
    assert list(run.guard.change_policy(to)) == []
    back = PolicyCommand(policy="conservative", at_ns=5 * S)
    assert commands(list(run.guard.change_policy(back))) == [
        ("end", "recycle_after_drain"),
        ("end", "cut_batches"),
        ("end", "spill_cudf"),
        ("end", "clean_at_task_boundary"),
    ]
    assert run.guard.policy == "conservative"


def test_torchs_and_rmms_memory_alert_and_command_nothing() -> None:
    run = Run()
    outputs = run.feed(97, 97, 97, kind="torch_reserved") + run.feed(97, 97, 97, kind="rmm_pool")
    assert alerts(outputs) == [("opened", "CRITICAL")] * 2
    assert commands(outputs) == []
    assert run.guard.level(GPU) is None


def test_devices_do_not_disturb_each_other() -> None:
    run = Run("conservative")
    run.feed(97, 97, 97)
    assert run.feed(10, 10, 10, gpu="GPU-2") == []
    assert (run.guard.level(GPU), run.guard.level("GPU-2")) == ("CRITICAL", None)


def test_a_sample_that_is_hardly_newer_or_has_no_capacity_changes_nothing() -> None:
    guard = MemoryGuard()
    for at_s in (1, 2):
        guard.take(Sample(GPU, 99, 100, at_s * S))
    assert guard.take(Sample(GPU, 99, 100, 2 * S)) == []
    assert guard.take(Sample(GPU, 99, 100, 2 * S + S // 3)) == []  # another reporter of the same device
    assert guard.take(Sample(GPU, 99, 0, 3 * S)) == []
    assert guard.level(GPU) is None
    assert alerts(list(guard.take(Sample(GPU, 99, 100, 4 * S)))) == [("opened", "CRITICAL")]


def test_a_device_that_is_gone_has_no_open_alert_and_no_measures() -> None:
    run = Run("conservative")
    run.feed(97, 97, 97)
    outputs = list(run.guard.forget(GPU, 9 * S, "the device is lost"))
    assert (alerts(outputs), commands(outputs)) == (
        [("closed", "CRITICAL")],
        [("end", "stop_admission"), ("end", "pause_ticks")],
    )
    assert (outputs[0].reason, outputs[0].at_ns) == ("the device is lost", 9 * S)  # type: ignore[union-attr]
    assert run.guard.forget(GPU, 10 * S, "again") == []


def test_a_stronger_policy_and_a_higher_level_never_do_less() -> None:
    for policy, stronger in pairwise(POLICIES):
        for level in ("WARN", "HIGH", "CRITICAL"):
            assert set(in_force(policy, level)) <= set(in_force(stronger, level))
    for policy in POLICIES:
        for lower, higher in pairwise((None, "WARN", "HIGH", "CRITICAL")):
            assert set(in_force(policy, lower)) <= set(in_force(policy, higher))  # type: ignore[arg-type]
    assert {
        action for rows in POLICIES.values() for actions in rows.values() for action in actions
    } >= LASTING


STEPS = st.lists(
    st.one_of(st.sampled_from([10, 74, 80, 84, 90, 95, 99]), st.sampled_from(list(POLICIES))), max_size=80
)


@given(STEPS)
def test_at_most_one_alert_is_open_and_what_begins_ends(steps: list[int | str]) -> None:
    run, outputs = Run(), []
    for step in steps:
        if isinstance(step, int):
            outputs += run.feed(step)
        else:
            run.at_s += 1
            command = PolicyCommand(policy=step, at_ns=run.at_s * S)  # type: ignore[arg-type]
            outputs += run.guard.change_policy(command)
        events = Counter(event for event, _ in alerts(outputs))
        assert events["opened"] - events["closed"] == (run.guard.level(GPU) is not None)
        lasting = Counter(action for phase, action in commands(outputs) if phase == "begin")
        lasting.subtract(action for phase, action in commands(outputs) if phase == "end")
        wanted = [a for a in in_force(run.guard.policy, run.guard.level(GPU)) if a in LASTING]
        assert +lasting == Counter(wanted)
    ids = [out.command_id for out in outputs if isinstance(out, CleanupCommand)]
    assert len(set(ids)) == len(ids)


def test_the_same_inputs_give_the_same_bytes() -> None:
    percents = [50, 82, 82, 82, 97, 97, 97, 60, 60, 60]
    assert [codec.dumps(out) for out in Run().feed(*percents)] == [
        codec.dumps(out) for out in Run().feed(*percents)
    ]


def test_messages_are_as_their_schemas_say_and_are_read_back() -> None:
    outputs = Run("aggressive").feed(*[97] * 3, *[10] * 3)
    answer = CleanupAnswer(
        command_id="1", gpu_uuid=GPU, agent="a", done=True, bytes_before=9, bytes_after=3, at_ns=1
    )
    policy = PolicyCommand(policy="moderate", at_ns=1)
    names = {
        MemoryAlert: "memory_alert",
        CleanupCommand: "cleanup_command",
        CleanupAnswer: "cleanup_answer",
        PolicyCommand: "policy_command",
    }
    for out in (*outputs, answer, policy):
        payload = codec.dumps(out)
        schema = json.loads((ROOT / f"docs/schemas/{names[type(out)]}.schema.json").read_text())  # type: ignore[index]
        jsonschema.validate(json.loads(payload), schema)
        read = codec.decode(MemoryAlert, payload) if isinstance(out, MemoryAlert) else decode_command(payload)
        assert read == out


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"{", "not JSON"),
        (b"{}", "gpu.commands: type: Unable to extract tag"),
        (
            b'{"type": "policy", "at_ns": 1, "policy": "brave"}',
            r"gpu.commands: policy.policy: Input should be",
        ),
    ],
)
def test_a_command_that_cannot_be_read_names_its_field(payload: bytes, problem: str) -> None:
    with pytest.raises(FrameError, match=problem):
        decode_command(payload)
