from dataclasses import replace
from typing import Any

import pytest

from orchestrator.ledger import ACCEPTED, Device, State
from orchestrator.service.sightings import LOST_AFTER_NS, REFRESH_NS, SUSPECT_AFTER_NS, seen, silent
from schemas.allocations import CapacityMeasured, DeviceSeen, HealthChanged, OwnerClaimed, kind
from schemas.devices import DeviceReport

GIB = 1 << 30


def owned() -> State:
    state = State("d")
    state.apply(OwnerClaimed(domain="d", owner="o", epoch=1, at_ns=1))
    return state


def report(**fields: Any) -> DeviceReport:
    known = {
        "gpu_uuid": "GPU-1",
        "kind": "gpu",
        "host": "h",
        "health": "HEALTHY",
        "at_ns": 1_000,
        "memory_bytes": 80 * GIB,
        "free_bytes": 70 * GIB,
    }
    return DeviceReport.model_validate(known | fields)


def known(**fields: Any) -> tuple[State, Device]:
    state = owned()
    for record in seen(state, report(**fields), now_ns=5):
        assert state.apply(record) is ACCEPTED
    return state, state.devices["GPU-1"]


def test_a_device_that_reports_for_the_first_time_is_entered_measured_and_moved_to_its_health() -> None:
    records = seen(owned(), report(), now_ns=5)
    assert [kind(record) for record in records] == ["device_seen", "capacity_measured", "health_changed"]
    device = known()[1]
    assert (device.health, device.capacity_bytes, device.measured_free_bytes) == (
        "HEALTHY",
        80 * GIB,
        70 * GIB,
    )


def test_a_device_whose_size_nobody_knows_is_not_entered() -> None:
    assert seen(owned(), report(memory_bytes=None), now_ns=5) == []


def test_a_report_that_says_nothing_new_is_not_written_down() -> None:
    state, _ = known()
    assert seen(state, report(at_ns=2_000, free_bytes=70 * GIB - 1), now_ns=6) == []


@pytest.mark.parametrize("fields", [{"free_bytes": 60 * GIB}, {"own_bytes": 1}, {"throttle": ["hot"]}])
def test_a_change_that_matters_is_written_down(fields: dict[str, Any]) -> None:
    state, _ = known()
    (record,) = seen(state, report(at_ns=2_000, **fields), now_ns=6)
    assert isinstance(record, CapacityMeasured)


def test_an_old_measure_is_refreshed_and_an_older_one_is_not() -> None:
    state, _ = known()
    assert [kind(r) for r in seen(state, report(at_ns=1_000 + REFRESH_NS), now_ns=6)] == ["capacity_measured"]
    assert seen(state, report(at_ns=999, free_bytes=0), now_ns=6) == []


def test_health_that_skips_states_is_written_step_by_step() -> None:
    state, _ = known()
    records = seen(state, report(health="QUARANTINED", reasons=["XID 79"]), now_ns=6)
    assert [(r.health, r.reasons) for r in records if isinstance(r, HealthChanged)] == [
        ("SUSPECT", ("XID 79",)),
        ("QUARANTINED", ("XID 79",)),
    ]


def test_a_device_that_the_ledger_doubts_is_not_believed_to_be_healthy() -> None:
    state, device = known()
    device.health = "SUSPECT"
    assert seen(state, report(), now_ns=6, doubted=True) == []
    assert [kind(record) for record in seen(state, report(), now_ns=6)] == ["health_changed"]


@pytest.mark.parametrize(
    ("health", "silence_ns", "steps"),
    [
        ("HEALTHY", SUSPECT_AFTER_NS - 1, []),
        ("HEALTHY", SUSPECT_AFTER_NS, ["SUSPECT"]),
        ("SUSPECT", SUSPECT_AFTER_NS, []),
        ("HEALTHY", LOST_AFTER_NS, ["LOST"]),
        ("QUARANTINED", LOST_AFTER_NS, ["LOST"]),
        ("LOST", 10 * LOST_AFTER_NS, []),
    ],
)
def test_a_silent_device_is_doubted_and_then_lost(health: Any, silence_ns: int, steps: list[str]) -> None:
    state, device = known()
    records = silent(state, replace(device, health=health), silence_ns, now_ns=9)
    assert [r.health for r in records if isinstance(r, HealthChanged)] == steps


def test_a_pool_of_cpu_slots_keeps_its_slots() -> None:
    first = seen(owned(), report(gpu_uuid="CPU-h", kind="cpu", slots=4), now_ns=5)[0]
    assert isinstance(first, DeviceSeen)
    assert (first.device_kind, first.slots) == ("cpu", 4)
