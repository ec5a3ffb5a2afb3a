"""No process is signalled but our own child, in order, and none with the switch off."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agents.tasks.assignment import ChildIdentity
from agents.tasks.ending import (
    ASK_NS,
    SWITCHED_OFF,
    TERM_NS,
    Ask,
    Ending,
    Instruction,
    RecordIntent,
    Signal,
    begin,
    step,
)
from schemas.errors import SettingsError
from schemas.kill_switch import kill_allowed

CHILD = ChildIdentity(100, 7, "lease-1")
ITSELF = ChildIdentity(100, 7, "lease-1")
REUSED = ChildIdentity(100, 8, "lease-1")
RELEASED = ChildIdentity(100, 7, "")
LEASED_AGAIN = ChildIdentity(100, 7, "lease-2")


@pytest.mark.parametrize(
    ("value", "allowed"),
    [("1", True), ("true", True), (None, False), ("", False), ("0", False), ("false", False)],
)
def test_the_switch_is_on_or_off(value: str | None, allowed: bool) -> None:
    assert kill_allowed(value) is allowed


@pytest.mark.parametrize(
    "value", ["True", "TRUE", "yes", "on", "2", " 1", "1 ", "False", "off", "no", "truе"]
)
def test_any_other_value_refuses_to_start(value: str) -> None:
    with pytest.raises(SettingsError, match=r"ALLOW_GPU_PROCESS_KILL=.* is neither on nor off") as refusal:
        kill_allowed(value)
    assert refusal.value.exit_code == 2


def ended(
    *looks: ChildIdentity | None, allowed: bool = True, recorded: bool = True
) -> tuple[Ending, list[Instruction]]:
    """Begin with the first look, then a step for each other one, each after its time."""
    first, *rest = looks
    ending, done = begin(CHILD, first, allowed=allowed, reason="holds 9 GiB", at_ns=0)
    instructions, at_ns = list(done), 0
    for seen in rest:
        at_ns += max(ASK_NS, TERM_NS)
        ending, done = step(ending, seen, allowed=allowed, intent_recorded=recorded, at_ns=at_ns)
        instructions += done
    return ending, instructions


INTENT = RecordIntent(CHILD, "holds 9 GiB")


def test_a_child_is_recorded_asked_terminated_and_killed_in_that_order() -> None:
    ending, instructions = ended(ITSELF, ITSELF, ITSELF, ITSELF, ITSELF)
    assert instructions == [INTENT, Ask(CHILD), Signal(CHILD, "SIGTERM"), Signal(CHILD, "SIGKILL")]
    assert ending.stage == "KILLED"


def test_a_child_that_goes_when_asked_is_not_signalled() -> None:
    assert ended(ITSELF, ITSELF, None, None) == (
        Ending(CHILD, "ENDED", 2 * ASK_NS, "holds 9 GiB"),
        [INTENT, Ask(CHILD)],
    )


def test_nothing_happens_before_the_intent_is_on_the_log() -> None:
    ending, instructions = ended(ITSELF, *[ITSELF] * 9, recorded=False)
    assert (ending.stage, instructions) == ("INTENDED", [INTENT])


def test_with_the_switch_off_not_even_an_intent_is_made() -> None:
    assert ended(ITSELF, *[ITSELF] * 9, allowed=False) == (Ending(CHILD, "REFUSED", 0, SWITCHED_OFF), [])


def test_a_switch_that_goes_off_stops_an_ending_half_way() -> None:
    ending, _ = begin(CHILD, ITSELF, allowed=True, reason="", at_ns=0)
    ending, _ = step(ending, ITSELF, allowed=True, intent_recorded=True, at_ns=1)
    ending, done = step(ending, ITSELF, allowed=False, intent_recorded=True, at_ns=10**12)
    assert (ending.stage, ending.why, done) == ("REFUSED", SWITCHED_OFF, ())


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (REUSED, "pid 100 belongs to another process by now"),
        (RELEASED, "pid 100 is not of lease lease-1 any more"),
        (LEASED_AGAIN, "pid 100 is not of lease lease-1 any more"),
        (ChildIdentity(101, 7, "lease-1"), "pid 101 is not 100"),
    ],
)
def test_whoever_is_not_the_child_is_refused(seen: ChildIdentity, why: str) -> None:
    assert ended(seen, ITSELF) == (Ending(CHILD, "REFUSED", 0, why), [])


@pytest.mark.parametrize("stranger", [REUSED, RELEASED, LEASED_AGAIN])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_pid_that_passes_on_is_not_signalled_any_more(stranger: ChildIdentity, steps: int) -> None:
    ending, instructions = ended(*[ITSELF] * steps, *[stranger] * 9)
    assert ending.stage == "ENDED"
    assert instructions == [INTENT, Ask(CHILD), Signal(CHILD, "SIGTERM")][:steps]


def test_a_child_that_is_gone_already_needs_nothing() -> None:
    assert ended(None) == (Ending(CHILD, "ENDED", 0, "holds 9 GiB"), [])


LOOKS = st.sampled_from([ITSELF, ITSELF, ITSELF, REUSED, RELEASED, LEASED_AGAIN, None])
STEPS = st.lists(st.tuples(LOOKS, st.booleans(), st.booleans(), st.integers(0, 8)), max_size=30)


@given(LOOKS, st.booleans(), STEPS)
def test_every_signal_is_ours_allowed_recorded_and_in_its_turn(
    first: ChildIdentity | None, on: bool, steps: list[tuple[ChildIdentity | None, bool, bool, int]]
) -> None:
    ending, done = begin(CHILD, first, allowed=on, reason="", at_ns=0)
    given_so_far: list[Instruction] = list(done)
    at_ns, last_ns, recorded = 0, 0, False
    if done:
        assert on
        assert first == ITSELF
    for seen, allowed, acknowledged, waited_s in steps:
        at_ns += waited_s * 1_000_000_000
        recorded = recorded or acknowledged
        ending, done = step(ending, seen, allowed=allowed, intent_recorded=recorded, at_ns=at_ns)
        for instruction in done:
            assert allowed
            assert recorded
            assert seen == ITSELF
            if isinstance(instruction, Signal):
                assert at_ns - last_ns >= min(ASK_NS, TERM_NS)
            last_ns = at_ns
        given_so_far += done
    whole = [RecordIntent(CHILD, ""), Ask(CHILD), Signal(CHILD, "SIGTERM"), Signal(CHILD, "SIGKILL")]
    assert given_so_far == whole[: len(given_so_far)]
