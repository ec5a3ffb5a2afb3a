"""The machine of a device's health, row by row and as a whole."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from orchestrator.discovery import CudaDevice, CudaReport, Device, Instance, Inventory, Vitals
from orchestrator.discovery.fleet import Fleet, looked, tried
from orchestrator.discovery.health import (
    MOVES,
    DeviceHealth,
    Reading,
    Sign,
    observed,
    probed,
    signs_of,
)
from orchestrator.discovery.probe import hex_of
from orchestrator.discovery.visible import Visible
from schemas.devices import Health

READINGS: tuple[Reading, ...] = get_args(Reading)
STATES: tuple[Health, ...] = get_args(Health)


def sign(reading: Reading) -> list[Sign]:
    return [] if reading == "good" else [Sign(reading, f"it is {reading}")]


def after(health: DeviceHealth, reading: Reading, times: int) -> DeviceHealth:
    for _ in range(times):
        health = observed(health, sign(reading))
    return health


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("reading", READINGS)
def test_each_row_of_the_table_moves_exactly_when_it_says(state: Health, reading: Reading) -> None:
    begun = DeviceHealth(state, probed=True)
    move = MOVES.get((state, reading))
    if move is None:
        assert after(begun, reading, 1_000).state == state
        return
    assert after(begun, reading, move.after - 1).state == state
    moved = after(begun, reading, move.after)
    assert (moved.state, moved.streak) == (move.to, 0)
    assert moved.reasons == (
        () if move.to == "HEALTHY" else tuple(s.reason for s in sign(reading)) or begun.reasons
    )


@pytest.mark.parametrize(
    ("state", "reading"),
    [key for key, move in MOVES.items() if move.after > 1 and key != ("PROBATION", "good")],
)
def test_one_other_reading_begins_the_count_anew(state: Health, reading: Reading) -> None:
    move = MOVES[state, reading]
    other: Reading = "doubt" if reading == "good" else "good"  # neither moves these states at once
    interrupted = observed(after(DeviceHealth(state, probed=True), reading, move.after - 1), sign(other))
    assert after(interrupted, reading, move.after - 1).state == state


@example(["good", "probe works", "doubt", "probe works"])
@given(st.lists(st.sampled_from((*READINGS, "probe works", "probe fails"))))
def test_no_device_is_healthy_without_a_probe_since_it_was_unknown_or_on_probation(events: list[str]) -> None:
    health, proven = DeviceHealth(), False
    raised: tuple[str, ...] = ()  # by the last look; a probe is none
    for event in events:
        before = health.state
        if event.startswith("probe"):
            health = probed(health, "" if event == "probe works" else "wrong numbers")
            proven = event == "probe works"
        else:
            health = observed(health, sign(event))  # type: ignore[arg-type]
            raised = ("it is doubt",) if event == "doubt" else ()
        if health.state in ("QUARANTINED", "LOST"):
            proven = False
        if health.state == "HEALTHY":
            assert proven
            assert health.reasons == raised
        else:
            assert health.reasons
            if before == "HEALTHY" and event in ("bad", "lost", "silent"):
                assert health.state in ("QUARANTINED", "LOST", "SUSPECT")


def test_a_device_waits_for_its_probe_and_says_so() -> None:
    waiting = observed(DeviceHealth(), [])
    assert (waiting.state, waiting.reasons, waiting.wants_probe) == (
        "UNKNOWN",
        ("waits for a probe by CUDA",),
        True,
    )
    assert probed(waiting).state == "HEALTHY"
    assert probed(waiting, "no memory") == DeviceHealth(
        "QUARANTINED", ("CUDA cannot compute on it: no memory",)
    )


WELL = Vitals(ecc_volatile=3, throttle=(), remap_failure=False, remap_pending=False)


@pytest.mark.parametrize(
    ("now", "signs"),
    [
        (WELL, ()),
        (Vitals(), ()),
        (replace(WELL, throttle=("power cap", "thermal slowdown (software)")), ()),
        (replace(WELL, xids=(13, 31, 43, 45)), ()),
        (replace(WELL, ecc_volatile=0), ()),
        (replace(WELL, ecc_volatile=5), (Sign("bad", "2 more uncorrected memory errors"),)),
        (replace(WELL, xids=(63, 79)), (Sign("doubt", "XID 63"), Sign("lost", "XID 79"))),
        (
            replace(WELL, remap_failure=True),
            (Sign("bad", "no spare memory rows are left; the device needs replacing"),),
        ),
        (
            replace(WELL, remap_pending=True),
            (Sign("doubt", "memory waits to be taken out of use; reset the device"),),
        ),
        (
            replace(WELL, retirement_pending=True),
            (Sign("doubt", "memory waits to be taken out of use; reset the device"),),
        ),
        (replace(WELL, throttle=("power brake",)), (Sign("doubt", "clocks are held back: power brake"),)),
    ],
)
def test_what_a_look_says_of_a_device(now: Vitals, signs: tuple[Sign, ...]) -> None:
    assert signs_of(Device("GPU-1", 0, vitals=now), WELL) == signs


def test_errors_from_before_the_first_look_are_not_held_against_a_device() -> None:
    assert signs_of(Device("GPU-1", 0, vitals=WELL), None) == ()


A, B, M = "GPU-aa", "GPU-bb", "MIG-cc"


def cuda(*uuids: str, problem: str = "") -> CudaReport:
    return CudaReport(tuple(CudaDevice(i, hex_of(u), problem=problem) for i, u in enumerate(uuids)))


def states(fleet: Fleet) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {uuid: (seen.health.state, seen.health.reasons) for uuid, seen in fleet.seen.items()}


def test_a_driver_that_goes_away_loses_its_devices_and_they_return_on_probation() -> None:
    there = Inventory((Device(A, 0, "H100"), Device(B, 1, "H100")))
    fleet = tried(looked(Fleet(), there), cuda(A, B))
    assert states(fleet) == {A: ("HEALTHY", ()), B: ("HEALTHY", ())}
    gone = Inventory((), absence="the NVIDIA driver is not loaded")
    fleet = looked(fleet, gone)
    assert states(fleet)[A] == ("SUSPECT", ("the NVIDIA driver is not loaded",))
    for _ in range(5):
        fleet = looked(fleet, gone)
    assert states(fleet)[A] == ("LOST", ("the NVIDIA driver is not loaded",))
    fleet = looked(fleet, there)
    assert {state for state, _ in states(fleet).values()} == {"PROBATION"}
    for _ in range(30):
        assert not fleet.wants_probe
        fleet = looked(fleet, there)
    assert fleet.wants_probe
    assert states(tried(fleet, cuda(A, B))) == {A: ("HEALTHY", ()), B: ("HEALTHY", ())}


def test_a_device_that_vanishes_is_lost_and_what_it_was_is_remembered() -> None:
    fleet = tried(looked(Fleet(), Inventory((Device(A, 0, "H100"), Device(B, 1, "H100")))), cuda(A, B))
    for _ in range(6):
        fleet = looked(fleet, Inventory((Device(B, 0, "H100"),)))
    assert states(fleet) == {A: ("LOST", ("the driver does not list it any more",)), B: ("HEALTHY", ())}
    assert fleet.seen[A].device.name == "H100"


def test_a_device_that_cuda_does_not_show_or_cannot_use_is_quarantined() -> None:
    fleet = looked(Fleet(), Inventory((Device(A, 0), Device(B, 1))))
    assert states(tried(fleet, cuda(A, problem="no memory"))) == {
        A: ("QUARANTINED", ("CUDA cannot compute on it: no memory",)),
        B: ("QUARANTINED", ("CUDA cannot compute on it: CUDA does not show it",)),
    }


def test_a_hidden_device_stays_unknown_and_is_not_probed() -> None:
    there = Inventory((Device(A, 0), Device(B, 1)))
    fleet = looked(Fleet(), there, Visible((A,), (), (A,)))
    assert states(tried(fleet, cuda(A))) == {
        A: ("HEALTHY", ()),
        B: ("UNKNOWN", ("hidden by CUDA_VISIBLE_DEVICES",)),
    }


def test_an_unreadable_gpu_is_its_instances_trouble() -> None:
    split = Device(A, 0, mig=True, instances=(Instance(M, 0, "1g", 100, 90),))
    fleet = tried(looked(Fleet(), Inventory((split,))), cuda(M))
    assert states(fleet) == {M: ("HEALTHY", ())}
    fleet = looked(fleet, Inventory((Device(A, 0, lost=True, problem="GPU is lost"),)))
    assert states(fleet) == {M: ("LOST", ("GPU is lost",))}
