import random
from dataclasses import replace

import pytest

from orchestrator.ledger import ACCEPTED
from orchestrator.policies import Spread
from orchestrator.scheduling import Scheduler, decide
from schemas.allocations import (
    CapacityMeasured,
    DeadlinePassed,
    Granted,
    HealthChanged,
    Reclaiming,
    Rejected,
    Released,
)
from tests.orchestrator.scheduling.cases import CLASSES, POLICY, Domain


def kinds(records) -> list[tuple[str, str]]:
    return [
        (type(record).__name__, getattr(record, "task_id", "") or getattr(record, "gpu_uuid", ""))
        for record in records
    ]


def test_higher_bands_go_first_then_the_earliest_due_then_the_first_accepted():
    here = Domain()
    here.device("GPU-a", 100, slots=8)
    here.task("low", priority=1)
    here.task("first")
    here.task("second")
    here.task("pressed", deadline_ns=20)
    here.task("high", priority=9)
    assert list(here.granted()) == ["high", "pressed", "first", "second", "low"]


def test_the_device_with_the_fewest_bytes_that_suffice_is_taken():
    here = Domain()
    for uuid, size in (("GPU-a", 40), ("GPU-b", 5), ("GPU-c", 20)):
        here.device(uuid, size)
    here.task("t", 6)
    assert here.granted() == {"t": ("GPU-c",)}


def test_a_spreading_policy_takes_the_emptiest():
    here = Domain(Spread(classes=CLASSES))
    for uuid, size in (("GPU-a", 20), ("GPU-b", 40), ("GPU-c", 30)):
        here.device(uuid, size)
    here.task("t", 6)
    assert here.granted() == {"t": ("GPU-b",)}


def test_equal_devices_are_told_apart_by_warnings_then_load_then_uuid():
    here = Domain()
    for uuid in ("GPU-c", "GPU-b", "GPU-a"):
        here.device(uuid, 10)
    warned = {"gpu_uuid": "GPU-a", "capacity_bytes": 10, "warnings": 1}
    here.now_ns = 2
    here.write(CapacityMeasured(**here.head(), **warned))
    here.task("t", 6)
    assert here.granted() == {"t": ("GPU-b",)}


@pytest.mark.parametrize(
    ("free", "own", "fits"),
    [
        (None, None, 10),  # nobody measured: the ledger alone
        (10, 0, 8),  # headroom of 2
        (6, 0, 4),  # strangers use 4
        (1, 0, None),  # hardly anything is left
    ],
)
def test_admission_is_the_least_of_ledger_and_measurement_less_headroom(free, own, fits):
    here = Domain()
    here.device("GPU-a", 10)
    here.now_ns = 2
    here.write(
        CapacityMeasured(**here.head(), gpu_uuid="GPU-a", capacity_bytes=10, free_bytes=free, own_bytes=own)
    )
    device = here.state.devices["GPU-a"]
    assert POLICY.admissible_bytes(device) == (fits if fits is not None else -1)
    for memory in (fits + 1, fits) if fits else (1,):
        here.task(f"t{memory}", memory)
    assert here.granted() == ({f"t{fits}": ("GPU-a",)} if fits else {})


def test_bytes_that_are_promised_and_not_used_yet_are_not_promised_again():
    here = Domain()
    here.device("GPU-a", 20)
    here.task("running", 8)
    here.granted()
    here.now_ns = 2  # strangers use 6; the task has allocated 3 of its 8
    measured = {"capacity_bytes": 20, "free_bytes": 11, "own_bytes": 3}
    here.write(CapacityMeasured(**here.head(), gpu_uuid="GPU-a", **measured))
    assert POLICY.admissible_bytes(here.state.devices["GPU-a"]) == 20 - 6 - 8 - 2


def test_a_gang_gets_devices_of_one_host_or_none():
    here = Domain()
    here.device("GPU-a", host="h1")
    here.device("GPU-b", host="h2")
    here.device("GPU-c", host="h2", health="UNKNOWN")
    here.task("gang", 6, devices=2)
    assert here.granted() == {}
    here.health("GPU-c", "HEALTHY")
    assert here.granted() == {"gang": ("GPU-b", "GPU-c")}


def test_a_task_stays_on_the_devices_and_hosts_that_its_sender_names():
    here = Domain()
    for uuid, host in (("GPU-a", "h1"), ("GPU-b", "h2"), ("GPU-c", "h2")):
        here.device(uuid, host=host)
    here.task("there", 6, only_on=("h2",))
    here.task("that", 6, only_on=("GPU-c",))
    here.task("both", 2, only_on=("h2",), devices=2)
    assert here.granted() == {"there": ("GPU-b",), "that": ("GPU-c",), "both": ("GPU-b", "GPU-c")}


def test_a_later_task_that_fits_passes_one_that_does_not():
    here = Domain()
    here.device("GPU-a")
    here.task("running", 6)
    here.granted()
    here.task("large", 8)
    here.task("small", 3)
    assert here.granted() == {"small": ("GPU-a",)}


def test_a_late_task_that_does_not_fit_keeps_a_device_until_it_does():
    here = Domain()
    here.device("GPU-a")
    here.task("running", 6)
    here.granted()
    here.start("running")
    here.task("large", 8)
    here.at(31)
    here.task("small", 3)
    assert here.granted() == {}
    here.end("running")
    assert here.granted() == {"large": ("GPU-a",)}


@pytest.mark.parametrize(
    ("devices", "task", "reason"),
    [
        ([], {}, "NO_GPU"),
        ([("GPU-a", 3, "HEALTHY")], {}, "TOO_LARGE_FOR_ANY"),
        ([("GPU-a", 9, "LOST")], {}, "UNHEALTHY"),
        ([("GPU-a", 9, "UNKNOWN")], {"lane": "cpu"}, "REQUESTED"),
    ],
)
def test_work_goes_to_the_cpu_and_says_why(devices, task, reason):
    here = Domain()
    here.device("CPU-h1")
    for uuid, size, health in devices:
        here.device(uuid, size, health=health)
    here.task("t", cpu_ok=True, **task)
    (grant,) = here.decide()
    assert (grant.gpu_uuids, grant.cpu_reason) == (("CPU-h1",), reason)


def test_a_task_that_waited_too_long_for_a_gpu_goes_to_the_cpu():
    here = Domain()
    here.device("CPU-h1")
    here.device("GPU-a", health="UNKNOWN")
    here.task("t", cpu_ok=True)
    here.at(30)
    assert here.decide() == []
    here.at(31)
    (grant,) = here.decide()
    assert (grant.gpu_uuids, grant.cpu_reason) == (("CPU-h1",), "QUEUE_TIMEOUT")


def test_after_every_smaller_retry_out_of_memory_leads_to_the_cpu():
    here = Domain()
    here.device("GPU-a")
    here.device("CPU-h1")
    here.task("t", 8, min_memory_bytes=3, cpu_ok=True)
    tried = []
    for _ in range(4):
        (grant,) = here.decide()
        tried.append((grant.gpu_uuids, grant.memory_bytes, grant.cpu_reason))
        here.start("t")
        here.end("t", "FAILED", "OUT_OF_MEMORY")
    assert tried == [
        (("GPU-a",), 8, None),
        (("GPU-a",), 4, None),
        (("GPU-a",), 3, None),
        (("CPU-h1",), 8, "OOM_EXHAUSTED"),
    ]
    (again,) = here.decide()
    assert again.memory_bytes == 4  # on the CPU too, while its budget lasts


@pytest.mark.parametrize("failure", ["BAD_REQUEST", "TASK_ERROR", "UNKNOWN_TASK_TYPE", "RESULT_TOO_LARGE"])
def test_bad_input_is_never_tried_again(failure):
    here = Domain()
    here.device("GPU-a")
    here.device("CPU-h1")
    here.task("t", 8, min_memory_bytes=3, cpu_ok=True)
    here.granted()
    here.start("t")
    here.end("t", "FAILED", failure)
    assert (here.states(), here.decide()) == ({"t": "FAILED"}, [])


def test_what_no_device_can_ever_hold_is_refused_at_once():
    here = Domain()
    here.device("GPU-a")
    here.task("t", 11)
    (refusal,) = here.decide()
    assert (type(refusal), refusal.failure) == (Rejected, "TOO_LARGE")


def test_what_is_too_large_for_the_cpu_is_told_at_once_where_no_gpu_is_known():
    here = Domain()
    here.device("CPU-h1", 10)
    here.task("t", 11, cpu_ok=True)
    here.task("for_a_gpu_to_come", 11, cpu_ok=False)
    (refusal,) = here.decide()
    assert (type(refusal), refusal.task_id, refusal.failure) == (Rejected, "t", "TOO_LARGE")


@pytest.mark.parametrize(("device", "failure"), [(None, "NO_DEVICE"), ("GPU-a", "QUEUE_TIMEOUT")])
def test_a_task_is_refused_when_its_class_has_waited_long_enough(device, failure):
    here = Domain()
    if device:
        here.device(device, health="UNKNOWN")
    here.task("t")
    here.at(120)
    assert here.decide() == []
    here.at(121)
    (refusal,) = here.decide()
    assert (type(refusal), refusal.failure) == (Rejected, failure)


def test_a_deadline_ends_what_waits_and_asks_what_runs_to_end():
    here = Domain()
    here.device("GPU-a")
    here.task("runs", 8, deadline_ns=10)
    here.granted()
    here.start("runs")
    here.task("waits", 8, deadline_ns=10)
    here.at(10)
    assert [type(record) for record in here.decide()] == [DeadlinePassed, DeadlinePassed]
    assert here.states() == {"runs": "RUNNING", "waits": "DEADLINE_EXCEEDED"}
    here.end("runs", "FAILED", "CRASHED")
    assert here.states()["runs"] == "DEADLINE_EXCEEDED"


def test_an_expired_lease_is_taken_back_and_its_bytes_stay_charged():
    here = Domain()
    here.device("GPU-a")
    here.task("t", 8)
    here.granted()
    here.start("t")
    here.at(41)
    assert kinds(here.decide()) == [("Reclaiming", "t")]
    device = here.state.devices["GPU-a"]
    assert (device.leased_bytes, device.reclaiming_bytes, device.free_bytes) == (0, 8, 2)


def test_a_grant_that_nobody_takes_up_comes_back_and_its_device_is_doubted():
    here = Domain()
    here.device("GPU-a")
    here.device("GPU-b", 20)
    here.task("t", 8)
    here.granted()
    here.at(41)
    assert kinds(here.decide()) == [("Reclaiming", "t"), ("Released", "t"), ("HealthChanged", "GPU-a")]
    assert here.granted() == {"t": ("GPU-b",)}


def test_what_runs_on_a_lost_device_is_tried_again_elsewhere():
    here = Domain()
    here.device("GPU-a")
    here.device("GPU-b", 20)
    here.task("t", 8)
    here.granted()
    here.start("t")
    here.health("GPU-a", "LOST")
    assert [type(record) for record in here.decide()] == [Reclaiming, Released]
    assert here.granted() == {"t": ("GPU-b",)}


def test_preemption_is_off_by_default():
    here = Domain()
    here.device("GPU-a")
    here.task("low", 8, priority=1)
    here.granted()
    here.start("low")
    here.at(20)
    here.task("high", 8, priority=9)
    assert here.decide() == []


def test_preemption_asks_the_lowest_then_the_newest_back_once_it_has_run_long_enough():
    here = Domain(replace(POLICY, preemption=True, min_run_ns=10, grace_ns=7))
    for number, (name, priority) in enumerate([("low-old", 1), ("low-new", 1), ("middle", 4)]):
        here.device(f"GPU-{number}", 10)
        here.task(name, 8, priority=priority)
        here.granted()
        here.start(name)
        here.at(here.now_ns + 1)
    here.task("high", 8, priority=9)
    assert here.decide() == []
    here.at(14)
    (asked,) = here.decide()
    assert (type(asked), asked.task_id, asked.cause, asked.grace_ns) == (
        Reclaiming,
        "low-new",
        "PREEMPTED",
        7,
    )
    here.at(15)
    assert here.decide() == []  # its bytes are on their way
    here.write(Released(**here.about("low-new")))
    assert here.granted() == {"high": ("GPU-1",)}
    assert here.states()["low-new"] == "QUEUED"


def test_nothing_is_granted_where_admission_is_stopped_until_it_is_open_again():
    here = Domain()
    here.device("GPU-a")
    here.device("GPU-b", 20)
    here.low_memory("GPU-a", stopped=True)
    here.task("fits-a-best", 4)
    assert here.granted() == {"fits-a-best": ("GPU-b",)}
    here.low_memory("GPU-b", stopped=True)
    here.task("waits", 4)
    assert here.decide() == []
    here.low_memory("GPU-a", stopped=False)
    assert here.granted() == {"waits": ("GPU-a",)}


def test_a_device_that_is_low_asks_the_lowest_task_that_can_shrink_back_once_it_has_run_long_enough():
    here = Domain(replace(POLICY, min_run_ns=10, grace_ns=7))
    here.device("GPU-a", 40)
    for name, priority, least in (("low-rigid", 1, 8), ("low", 2, 2), ("middle", 4, 2)):
        here.task(name, 8, priority=priority, min_memory_bytes=least, shrinks=4, preemptions=1)
        here.granted()
        here.start(name)
    here.low_memory("GPU-a", stopped=True, make_room=True)
    assert here.decide() == []
    here.at(14)
    (asked,) = here.decide()
    assert (type(asked), asked.task_id, asked.cause, asked.grace_ns, asked.detail) == (
        Reclaiming,
        "low",
        "MEMORY_LOW",
        7,
        "the memory of GPU-a is low",
    )
    assert here.decide() == []  # one is asked for at a time
    here.write(Released(**here.about("low")))
    here.low_memory("GPU-a", stopped=False)
    (again,) = here.decide()
    assert (again.task_id, again.attempt, again.memory_bytes) == ("low", 2, 4)
    here.start("low")
    here.at(40)
    here.low_memory("GPU-a", stopped=True, make_room=True)
    (asked,) = here.decide()  # "low" may be preempted once only
    assert asked.task_id == "middle"


def test_a_decision_changes_nothing_and_is_the_same_every_time():
    here = Domain()
    here.device("GPU-a", 100, slots=3)
    for number in range(9):
        here.task(f"t{number}", 1 + number)
    before = here.state.copy()
    assert decide(here.state, 5, POLICY) == decide(here.state, 5, POLICY)
    assert here.state == before


def test_a_record_that_got_lost_is_proposed_again():
    here = Domain()
    here.device("GPU-a")
    here.task("t")
    scheduler = Scheduler(here.state, POLICY)
    assert scheduler.decide(2) == scheduler.decide(2) != []


@pytest.mark.parametrize("seed", range(6))
def test_a_warm_scheduler_decides_what_a_fresh_one_does(seed):
    chance = random.Random(seed)
    here = Domain(replace(POLICY, preemption=bool(seed % 2), min_run_ns=5, backfill=4, reservations=1))
    for number in range(6):
        here.device(f"GPU-{number}", chance.choice([10, 20]), host=f"h{number // 3}", slots=2)
    here.device("CPU-h0", 20, host="h0")
    scheduler, started, ended = Scheduler(here.state, here.policy), 0, 0
    for step in range(60):
        here.at(here.now_ns + chance.randrange(1, 9))
        if chance.random() < 0.7:
            here.task(
                f"t{step}",
                chance.randrange(1, 22),
                devices=chance.choice([1, 1, 1, 2]),
                cpu_ok=chance.random() < 0.5,
                priority=chance.randrange(10),
                only_on=chance.choice([(), (), ("h1",)]),
            )
        moves = {"HEALTHY": "SUSPECT", "SUSPECT": "HEALTHY"}
        uuid = f"GPU-{chance.randrange(6)}"
        if chance.random() < 0.2 and here.state.devices[uuid].health in moves:
            here.health(uuid, moves[here.state.devices[uuid].health])
        warm, fresh = (
            scheduler.decide(here.now_ns),
            decide(here.state, here.now_ns, here.policy),
        )
        assert warm == fresh
        for record in warm:
            assert here.state.apply(record) == ACCEPTED
            healthy = isinstance(record, Granted) and all(
                here.state.devices[uuid].health == "HEALTHY" for uuid in record.gpu_uuids
            )
            if healthy and chance.random() < 0.8:
                here.start(record.task_id)
                started += 1
        for name, task in list(here.state.tasks.items()):
            if task.state == "RUNNING" and chance.random() < 0.3:
                here.end(name)
                ended += 1
    assert min(started, ended) > 3


def test_health_records_of_a_decision_are_the_owners():
    here = Domain()
    here.device("GPU-a")
    here.task("t", 8)
    here.granted()
    here.at(41)
    doubted = [record for record in here.decide() if isinstance(record, HealthChanged)]
    assert [(record.owner, record.epoch, record.health) for record in doubted] == [("o1", 1, "SUSPECT")]
