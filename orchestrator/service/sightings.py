"""From what a device says of itself, or from its silence, to records of the log. Pure."""

from __future__ import annotations

from typing import Any

from orchestrator.ledger import Device, State, health_path
from schemas.allocations import CapacityMeasured, DeviceSeen, HealthChanged, Record
from schemas.devices import DeviceReport, Health

SECOND_NS = 1_000_000_000
WORTH_SAYING_SHARE = 1 / 64
"""Of a device's bytes: a smaller change of what is free is not written down ..."""
REFRESH_NS = 60 * SECOND_NS
"""... until the last measure is as old as this."""
SUSPECT_AFTER_NS = 10 * SECOND_NS
LOST_AFTER_NS = 60 * SECOND_NS


def head_of(state: State, at_ns: int) -> dict[str, Any]:
    """What all records in the owner's name have."""
    return {"domain": state.domain, "owner": state.owner, "epoch": state.epoch, "at_ns": at_ns}


def seen(state: State, report: DeviceReport, now_ns: int, *, doubted: bool = False) -> list[Record]:
    """What the ledger should learn from a report.

    Parameters
    ----------
    doubted
        Whether the ledger has had its own reason to doubt the device just now: then a report that it is
        healthy does not count yet.
    """
    if report.memory_bytes is None:
        return []  # without its size nothing could be granted on it
    records: list[Record] = []
    device = state.devices.get(report.gpu_uuid)
    health: Health = "UNKNOWN" if device is None else device.health
    if device is None:
        records.append(
            DeviceSeen(
                **head_of(state, now_ns),
                gpu_uuid=report.gpu_uuid,
                device_kind=report.kind,
                host=report.host,
                capacity_bytes=report.memory_bytes,
                slots=report.slots,
            )
        )
    if device is None or _worth_saying(device, report):
        records.append(
            CapacityMeasured(
                **head_of(state, report.at_ns),
                gpu_uuid=report.gpu_uuid,
                capacity_bytes=report.memory_bytes,
                free_bytes=report.free_bytes,
                own_bytes=report.own_bytes,
                stranger_bytes=report.stranger_bytes,
                warnings=len(report.throttle),
            )
        )
    if not (doubted and report.health == "HEALTHY"):
        records += _moves(state, report.gpu_uuid, health, report.health, tuple(report.reasons), now_ns)
    return records


def silent(state: State, device: Device, silence_ns: int, now_ns: int) -> list[Record]:
    """What the ledger should learn of a device that has not reported for so long."""
    wanted: Health = device.health
    if silence_ns >= LOST_AFTER_NS:
        wanted = "LOST"
    elif silence_ns >= SUSPECT_AFTER_NS and device.health == "HEALTHY":
        wanted = "SUSPECT"
    reasons = (f"no report for {silence_ns // SECOND_NS} s",)
    return _moves(state, device.gpu_uuid, device.health, wanted, reasons, now_ns)


def _moves(
    state: State, uuid: str, health: Health, wanted: Health, reasons: tuple[str, ...], now_ns: int
) -> list[Record]:
    return [
        HealthChanged(**head_of(state, now_ns), gpu_uuid=uuid, health=step, reasons=reasons)
        for step in health_path(health, wanted)
    ]


def _worth_saying(device: Device, report: DeviceReport) -> bool:
    if report.at_ns <= device.measured_ns:
        return False
    if report.at_ns - device.measured_ns >= REFRESH_NS:
        return True
    enough = max(1, round(device.capacity_bytes * WORTH_SAYING_SHARE))
    pairs = (
        (device.capacity_bytes, report.memory_bytes),
        (device.measured_free_bytes, report.free_bytes),
        (device.own_bytes, report.own_bytes),
        (device.stranger_bytes, report.stranger_bytes),
    )
    return device.warnings != len(report.throttle) or any(_differ(old, new, enough) for old, new in pairs)


def _differ(old: int | None, new: int | None, enough: int) -> bool:
    if old is None or new is None:
        return old is not new
    return abs(old - new) >= enough
