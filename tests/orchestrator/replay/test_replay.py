import pytest

from orchestrator.ledger import digest, fold
from orchestrator.policies import Policy, Spread, options_of
from orchestrator.replay import replay_decisions, what_if
from schemas.allocations import OwnerClaimed, PolicyChanged, changed, kind
from schemas.errors import SettingsError
from tests.orchestrator.scheduling.cases import POLICY, Domain


def a_day(policy: Policy = POLICY) -> Domain:
    """Ten tasks on two GPUs and the CPU, with a retry, an expiry, a refusal and a change of owner."""
    here = Domain(policy)
    here.write(PolicyChanged(**here.head() | {"policy": policy.label}, options=options_of(policy)))
    here.device("GPU-a", 10)
    here.device("GPU-b", 20)
    here.device("CPU-h1", 30)
    for number in range(10):
        here.now_ns += 3
        here.task(f"t{number}", 3 + number * 2, min_memory_bytes=3, cpu_ok=number > 5, priority=number)
        here.decide()
        if number == 5:
            here.write(OwnerClaimed(**here.head() | {"owner": "o2", "epoch": 2}))
        for name, state in here.states().items():
            if state == "GRANTED" and name != "t2":
                here.start(name)
            elif state == "RUNNING":
                failure = "OUT_OF_MEMORY" if name == "t1" and here.state.tasks[name].attempt == 1 else None
                here.end(name, "FAILED" if failure else "SUCCEEDED", failure)
    for now_ns in (60, 90, 200):
        here.at(now_ns)
        here.decide()
    return here


def test_every_decision_follows_from_the_log():
    here = a_day()
    found = replay_decisions(here.log, "here")
    assert (found.difference, found.ignored) == (None, {})
    assert found.decisions == sum(record.basis >= 0 for _, record in here.log) > 10
    assert found.digest == digest(here.state) == digest(fold("here", [record for _, record in here.log]))
    assert {kind(record) for _, record in here.log if record.basis >= 0} == {
        *("granted", "rejected", "reclaiming", "released", "health_changed"),
    }


def grants(here: Domain) -> list[int]:
    return [offset for offset, record in here.log if kind(record) == "granted"]


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        (
            {"gpu_uuids": ("GPU-b",)},
            "field_differs",
            "gpu_uuids is ('GPU-b',) in the log, ('GPU-a',) derived",
        ),
        ({"memory_bytes": 2}, "field_differs", "memory_bytes is 2 in the log, 3 derived"),
        ({"why": "a friend"}, "field_differs", "why is 'a friend' in the log"),
        ({"owner": "o9"}, "owner_differs", "o9 in epoch 1"),
        ({"basis": 10_000}, "basis_is_missing", "rests on 10000"),
    ],
)
def test_the_first_decision_that_differs_is_named(fields, name, said):
    here = a_day()
    at = grants(here)[0]
    here.log[at] = (at, changed(here.log[at][1], **fields))
    difference = replay_decisions(here.log, "here").difference
    assert (difference.offset, difference.name) == (at, name)
    assert said in str(difference)


def test_a_decision_that_was_made_up_and_one_that_was_left_out_are_named():
    here = a_day()
    at = grants(here)[0]
    extra = changed(here.log[at][1], task_id="t9")
    log = [*here.log[: at + 1], (at, extra), *here.log[at + 1 :]]
    assert replay_decisions(log, "here").difference.name == "decision_is_extra"
    several = [
        entry for entry in here.log if kind(entry[1]) == "reclaiming" and entry[1].cause == "LEASE_EXPIRED"
    ]
    short = [entry for entry in here.log if entry[0] <= several[0][0]] + [
        entry for entry in here.log if entry[0] > several[0][0] and kind(entry[1]) != "released"
    ]
    assert replay_decisions(short, "here").difference is not None


def test_records_that_came_twice_are_no_difference():
    here = a_day()
    log = [entry for entry in here.log for _ in range(2)]
    assert replay_decisions(log, "here").difference is None


def test_a_range_compares_only_its_decisions():
    here = a_day()
    first, *_, last = grants(here)
    here.log[last] = (last, changed(here.log[last][1], why="a friend"))
    assert replay_decisions(here.log, "here", last=first).difference is None
    assert replay_decisions(here.log, "here", first=last).difference.offset == last


def test_a_policy_that_is_not_installed_cannot_be_replayed():
    here = a_day()
    log = [(offset, changed(record, policy="default/0")) for offset, record in here.log]
    with pytest.raises(SettingsError, match="here is version 1"):
        replay_decisions(log, "here")


def test_another_policy_is_compared_by_waits_utilisation_and_refusals():
    here = Domain(Policy())
    here.device("GPU-a", 10, slots=1)
    here.device("GPU-b", 20, slots=1)
    for now_ms, name, memory in ((0, "small", 5), (2, "large", 15)):
        here.now_ns = 1 + now_ms * 1_000_000
        here.task(name, memory)
        here.granted()
        here.start(name)
    here.now_ns = 1 + 32 * 1_000_000
    here.task("huge", 30)
    here.decide()
    here.end("small")  # after 32 ms
    here.end("large")  # after 30 ms
    own, spread = (what_if(here.log, "here", policy).summary() for policy in (Policy(), Spread()))
    wait = {"tasks": 2, "p50": 0.0, "p99": 0.0}
    assert own == {
        "policy": "default/1",
        "tasks": 3,
        "granted": 2,
        "waits_ms": {"normal": wait},
        "utilisation": round((32 * 5 + 30 * 15) / (32 * 30), 4),
        "rejected": {"TOO_LARGE": 1},
        "on_cpu": {},
    }
    # The small task sits on the only device that is large enough for the next one.
    assert spread == own | {
        "policy": "spread/1",
        "waits_ms": {"normal": wait | {"p50": 30.0, "p99": 30.0}},
        "utilisation": round((32 * 5 + 30 * 15) / (62 * 30), 4),
    }


def test_nothing_comes_of_an_empty_log():
    assert what_if([], "here", POLICY).summary()["tasks"] == 0
    assert replay_decisions([], "here").difference is None
