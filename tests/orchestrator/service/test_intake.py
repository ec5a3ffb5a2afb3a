from typing import Any

import pytest

from agents.tasks.protocol import Order
from orchestrator.api.model import fingerprint
from orchestrator.guard import PeakMemory
from orchestrator.ledger import ACCEPTED, State, digest
from orchestrator.service.intake import MIB, Message, TaskNeeds, Undecodable, cpu_bytes, take_in
from schemas import codec
from schemas.allocations import CancelRequested, DeviceSeen, Input, OwnerClaimed, Rejected, TaskAccepted
from schemas.tasks import MAX_DEADLINE_MS, MAX_DEPTH, TaskRequest

NOW_NS = 5_000_000_000
NEEDS = {"echo": TaskNeeds(100 * MIB, 10 * MIB, shrinkable=True)}


def owned(*, pool_bytes: int | None = None) -> State:
    state = State("d")
    head: dict[str, Any] = {"domain": "d", "owner": "o", "epoch": 1, "at_ns": 1}
    assert state.apply(OwnerClaimed(**head)) is ACCEPTED
    if pool_bytes is not None:
        seen = DeviceSeen(
            **head, gpu_uuid="CPU-h", device_kind="cpu", host="h", capacity_bytes=pool_bytes, slots=2
        )
        assert state.apply(seen) is ACCEPTED
    return state


def message(value: Any, *, offset: int = 7) -> Message:
    payload = value if isinstance(value, bytes) else codec.dumps(value)
    return Message(3, offset, payload, timestamp_ms=4_000)


def taken(value: Any, state: State | None = None) -> Any:
    return take_in(state or owned(), message(value), NEEDS, NOW_NS)


def test_a_request_is_accepted_with_what_it_says_and_the_rest_from_its_type() -> None:
    request = {"task_id": "a", "task_type": "echo", "deadline_ms": 500, "priority": 8, "idempotency_key": "k"}
    assert taken(request) == TaskAccepted(
        domain="d",
        owner="o",
        epoch=1,
        at_ns=NOW_NS,
        inputs=(Input("gpu.tasks", 3, 7),),
        task_id="a",
        task_type="echo",
        submitted_ns=4_000_000_000,
        memory_bytes=100 * MIB,
        min_memory_bytes=10 * MIB,
        cpu_bytes=100 * MIB,
        priority=8,
        deadline_ns=4_500_000_000,
        idempotency_key="k",
        shrinks=4,
    )


def test_where_a_task_shall_run_is_taken_over() -> None:
    assert taken({"task_type": "echo", "only_on": ["h2", "GPU-a"]}).only_on == ("h2", "GPU-a")


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 2**63 - 1, 0])
def test_whatever_a_senders_clock_says_the_times_fit_the_log_and_its_snapshots(timestamp_ms: int) -> None:
    request = codec.dumps({"task_type": "echo", "deadline_ms": MAX_DEADLINE_MS})
    state = owned()
    record = take_in(state, Message(3, 7, request, timestamp_ms), NEEDS, NOW_NS)
    assert isinstance(record, TaskAccepted)
    assert 0 <= record.submitted_ns <= NOW_NS
    assert state.apply(record) is ACCEPTED
    assert digest(state)


@pytest.mark.parametrize("known", ["in the state", "underway"])
def test_a_bad_request_with_another_tasks_id_is_refused_by_its_coordinates_and_ends_nothing(
    known: str,
) -> None:
    state = owned()
    underway = {"a"} if known == "underway" else ()
    if known == "in the state":
        assert state.apply(taken({"task_id": "a", "task_type": "echo"})) is ACCEPTED
    bad = message({"task_id": "a", "task_type": "echo", "priority": 99}, offset=8)
    refusal = take_in(state, bad, NEEDS, NOW_NS, underway=underway)
    assert isinstance(refusal, Rejected)
    assert (refusal.task_id, refusal.field) == ("task-3-8", "priority")
    assert refusal.problem.endswith("; 'a' is another task")
    assert state.apply(refusal) is ACCEPTED
    assert {name: task.state for name, task in state.tasks.items() if name != "task-3-8"} == (
        {"a": "QUEUED"} if known == "in the state" else {}
    )


def nested(depth: int) -> bytes:
    """A request whose data are lists in lists, ``data`` itself being the first level."""
    return (
        b'{"task_id":"a","task_type":"echo","data":{"value":'
        + b"[" * (depth - 1)
        + b"]" * (depth - 1)
        + b"}}"
    )


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 300, 1_000])
def test_data_too_deep_to_be_passed_on_are_refused(depth: int) -> None:
    refusal = taken(nested(depth))
    assert isinstance(refusal, Rejected)
    assert (refusal.task_id, refusal.field) == ("a", "data")
    assert "nested more than 100 deep" in refusal.problem


def test_data_of_the_greatest_depth_go_all_the_way() -> None:
    assert isinstance(taken(nested(MAX_DEPTH)), TaskAccepted)
    request = codec.decode(TaskRequest, nested(MAX_DEPTH))
    order = Order(
        agent="g", task_id="a", task_type="echo", attempt=1, data=request.data, devices=(), memory_bytes=1,
        inline_bytes=1,
    )  # fmt: skip
    assert codec.decode(Order, codec.dumps(order)) == order
    assert fingerprint(request)


def test_a_request_without_an_id_gets_one_from_its_coordinates() -> None:
    assert taken({"task_type": "echo"}).task_id == "task-3-7"


def test_a_type_that_nobody_told_the_owner_of_is_accepted_since_an_agent_may_know_it() -> None:
    accepted = taken({"task_type": "mine"})
    assert (accepted.memory_bytes, accepted.min_memory_bytes) == (1024 * MIB, 1024 * MIB)


def test_a_request_that_names_no_memory_gets_what_its_type_was_seen_to_need_if_that_is_more() -> None:
    def asked(peak: int | None, tasks: int = 19, **fields: Any) -> int:
        peaks = PeakMemory()
        for _ in range(tasks if peak is not None else 0):
            peaks.add("echo", "cpu", peak or 0)
        request = message({"task_type": "echo"} | fields)
        return take_in(owned(), request, NEEDS, NOW_NS, peaks).memory_bytes  # type: ignore[union-attr]

    assert asked(None) == 100 * MIB
    assert asked(200 * MIB) == 250 * MIB  # with a margin
    assert asked(200 * MIB, tasks=18) == 100 * MIB  # uncalibrated
    assert asked(10 * MIB) == 100 * MIB  # it is held to it, and one in twenty takes more than the peak
    assert asked(200 * MIB, memory_required=5) == 5


def test_a_submission_time_ahead_of_the_owners_clock_counts_as_now() -> None:
    early = Message(3, 7, codec.dumps({"task_type": "echo"}), timestamp_ms=9_999_999)
    assert take_in(owned(), early, NEEDS, NOW_NS).submitted_ns == NOW_NS  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "task_id", "field"),
    [
        ({"task_id": "a", "task_type": "echo", "priority": 99}, "a", "priority"),
        ({"task_id": "a"}, "a", "task_type"),
        ({"task_id": "no spaces", "task_type": "echo"}, "task-3-7", "task_id"),
        ({"task_type": "echo", "memory_required": -1}, "task-3-7", "memory_required"),
        ({"task_id": "a", "task_type": "echo", "min_memory": 9, "memory_required": 1}, "a", "request"),
    ],
)
def test_a_bad_request_is_refused_with_its_field(value: Any, task_id: str, field: str) -> None:
    refused = taken(value)
    assert isinstance(refused, Rejected)
    assert (refused.task_id, refused.failure, refused.field) == (task_id, "BAD_REQUEST", field)
    assert refused.problem.startswith(f"{field}: ")


@pytest.mark.parametrize("value", [b"\xff\xfe", b"not json", b"", [1], "text", {"cancel": True}])
def test_what_is_no_request_at_all_is_for_the_dead_letters(value: Any) -> None:
    assert isinstance(taken(value), Undecodable)


def test_a_message_of_an_unknown_version_is_for_the_dead_letters() -> None:
    newer = Message(0, 0, codec.dumps({"task_type": "echo"}), 1, (("tapestream-version", b"99"),))
    assert isinstance(take_in(owned(), newer, NEEDS, NOW_NS), Undecodable)


def test_a_wish_to_cancel_is_told_by_its_field() -> None:
    wish = taken({"task_id": "a", "cancel": True, "reason": "why not"})
    assert isinstance(wish, CancelRequested)
    assert (wish.task_id, wish.reason) == ("a", "why not")


def test_the_same_request_again_counts_once() -> None:
    state = owned()
    first = take_in(state, message({"task_id": "a", "task_type": "echo"}), NEEDS, NOW_NS)
    again = take_in(state, message({"task_id": "a", "task_type": "echo"}, offset=8), NEEDS, NOW_NS)
    assert [state.apply(record) is ACCEPTED for record in (first, again)] == [True, False]  # type: ignore[arg-type]


def test_the_same_idempotency_key_counts_once_whatever_the_id() -> None:
    state = owned()
    records = [
        take_in(
            state,
            message({"task_id": name, "task_type": "echo", "idempotency_key": "k"}, offset=offset),
            NEEDS,
            NOW_NS,
        )
        for offset, name in enumerate(("a", "b"), start=7)
    ]
    assert [state.apply(record) is ACCEPTED for record in records] == [True, False]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "least", "pool", "found"),
    [
        (100, 10, None, 100),  # no pool is known yet
        (100, 10, 100, 100),  # it fits
        (1_000, 10, 100, 31),  # halves of it, down to a slot's share of 50
        (1_000, 80, 100, 80),  # no lower than its least
        (1_000, 1_000, 100, 1_000),  # it cannot be cut, so it will be refused
    ],
)
def test_what_a_task_takes_on_the_cpu(wanted: int, least: int, pool: int | None, found: int) -> None:
    assert cpu_bytes(owned(pool_bytes=pool), wanted, least) == found
