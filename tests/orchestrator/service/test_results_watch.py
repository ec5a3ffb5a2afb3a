from typing import Any

import pytest

from orchestrator.endings import result_of
from orchestrator.ledger import ACCEPTED, State
from orchestrator.service.results_watch import LAST_RESORT_NS, ResultsWatch, task_of_result
from schemas import codec
from schemas.allocations import (
    CancelRequested,
    DeviceSeen,
    Ended,
    Granted,
    HealthChanged,
    Input,
    OwnerClaimed,
    Reclaiming,
    Record,
    Rejected,
    Released,
    Started,
    TaskAccepted,
)
from schemas.tasks import Failure

HEAD: dict[str, Any] = {"domain": "d", "owner": "o", "epoch": 1}


def folded(*records: Record) -> State:
    state = State("d")
    for record in (
        OwnerClaimed(**HEAD, at_ns=1),
        DeviceSeen(
            **HEAD, at_ns=1, gpu_uuid="CPU-h", device_kind="cpu", host="h", capacity_bytes=100, slots=1
        ),
        HealthChanged(**HEAD, at_ns=1, gpu_uuid="CPU-h", health="HEALTHY"),
        *records,
    ):
        assert state.apply(record) is ACCEPTED, record
    return state


def accepted(**fields: Any) -> TaskAccepted:
    return TaskAccepted(
        **HEAD,
        **{"at_ns": 2, "task_id": "a", "task_type": "echo", "submitted_ns": 1_000_000}
        | {"memory_bytes": 10, "min_memory_bytes": 10, "cpu_bytes": 10, "inputs": (Input("gpu.tasks", 0, 0),)}
        | fields,
    )


def granted(attempt: int = 1, **fields: Any) -> Granted:
    return Granted(
        **HEAD,
        **{"at_ns": 3, "task_id": "a", "attempt": attempt, "gpu_uuids": ("CPU-h",), "memory_bytes": 10}
        | {"lease_ns": 5, "cpu_reason": "NO_GPU", "why": "best fit"}
        | fields,
    )


STARTED = Started(**HEAD, at_ns=3_000_000, task_id="a", attempt=1, agent="g")
SUCCEEDED = Ended(
    **HEAD, at_ns=5_000_000, task_id="a", attempt=1, agent="g", outcome="SUCCEEDED", peak_memory_bytes=7
)


def test_the_owner_answers_for_a_task_that_never_ran() -> None:
    state = folded(accepted(), CancelRequested(**HEAD, at_ns=4, task_id="a"))
    watch = ResultsWatch(state)
    watch.begin()
    (result,) = watch.due(5)
    assert (result.state, result.failure, result.attempts, result.ran_on) == (
        "CANCELLED",
        Failure(code="CANCELLED", problem="cancelled by its sender"),
        [],
        [],
    )
    watch.saw("a")
    assert watch.due(6) == []


def test_the_owner_leaves_a_task_that_an_agent_ended_to_the_agent_for_a_while() -> None:
    watch = ResultsWatch(folded(accepted(), granted(), STARTED, SUCCEEDED))
    watch.begin()
    assert watch.due(5_000_000) == []
    (late,) = watch.due(5_000_000 + LAST_RESORT_NS)
    assert (late.state, late.result, late.failure and late.failure.code) == ("SUCCEEDED", None, "LOST")


def test_a_result_that_was_seen_is_never_due() -> None:
    state = folded(Rejected(**HEAD, at_ns=2, task_id="a", failure="BAD_REQUEST", problem="p", field="f"))
    watch = ResultsWatch(state, published={"a"})
    watch.begin()
    assert watch.due(9) == []


def test_a_refusal_keeps_its_problem_and_its_field() -> None:
    state = folded(Rejected(**HEAD, at_ns=2, task_id="a", failure="BAD_REQUEST", problem="p", field="f"))
    failure = result_of(state.tasks["a"]).failure
    assert failure == Failure(code="BAD_REQUEST", problem="p", remedy="see docs/tasks.md", field="f")


def test_a_result_tells_every_attempt_where_it_ran_and_how_long() -> None:
    state = folded(accepted(), granted(), STARTED, SUCCEEDED)
    result = result_of(state.tasks["a"])
    assert (result.ran_on, result.placement, result.cpu_reason) == (["CPU-h"], "best fit", "NO_GPU")
    assert (result.queued_ms, result.ran_ms, result.peak_memory_bytes) == (2.0, 2.0, 7)
    assert [(a.attempt, a.started_ns, a.ended_ns, a.failure) for a in result.attempts] == [
        (1, 3_000_000, 5_000_000, None)
    ]


def test_a_lease_that_was_taken_back_is_an_attempt_that_was_lost() -> None:
    state = folded(
        accepted(losses=0),
        granted(),
        STARTED,
        Reclaiming(**HEAD, at_ns=9_000_000, task_id="a", attempt=1, cause="LEASE_EXPIRED"),
    )
    watch = ResultsWatch(state)
    watch.begin()
    (result,) = watch.due(9_000_000)
    assert (result.state, result.failure and result.failure.code) == ("FAILED", "LOST")
    assert [a.failure and a.failure.problem for a in result.attempts] == ["LEASE_EXPIRED"]


def test_two_owners_give_the_same_bytes() -> None:
    records = (accepted(), granted(), STARTED, SUCCEEDED)
    first, second = folded(*records), folded(*records)
    second.apply(Released(**HEAD, at_ns=9_000_000, task_id="a", attempt=1, agent="g"))
    assert codec.dumps(result_of(first.tasks["a"])) == codec.dumps(result_of(second.tasks["a"]))


def test_a_task_that_is_not_over_has_no_result() -> None:
    with pytest.raises(ValueError, match="QUEUED"):
        result_of(folded(accepted()).tasks["a"])


@pytest.mark.parametrize(
    ("value", "task_id"),
    [
        (b'{"task_id":"a","state":"FAILED"}', "a"),
        (b'{"task_id":"a","progress":0.5}', None),
        (b"nonsense", None),
        (b"[]", None),
        (None, None),
    ],
)
def test_results_are_told_from_progress(value: bytes | None, task_id: str | None) -> None:
    assert task_of_result(value) == task_id
