"""What is said of a device on ``gpu.devices``: a pure function of what was seen."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.discovery.cpu import CpuPool
from orchestrator.discovery.fleet import Fleet, Seen
from orchestrator.discovery.inventory import GpuProcess
from schemas.devices import DeviceReport


def reports_of(
    fleet: Fleet, pool: CpuPool, *, host: str, own_pids: frozenset[int], at_ns: int
) -> list[DeviceReport]:
    """A report for each device that was ever seen, by uuid, and then the pool's.

    Parameters
    ----------
    own_pids
        Processes that we started; what others hold is a stranger's.
    at_ns
        When it was measured, ns since 1970-01-01 UTC.
    """
    gpus = [
        _gpu_report(uuid, fleet.seen[uuid], host=host, own_pids=own_pids, at_ns=at_ns)
        for uuid in sorted(fleet.seen)
    ]
    return [*gpus, pool_report(pool, host=host, at_ns=at_ns)]


def pool_report(pool: CpuPool, *, host: str, at_ns: int) -> DeviceReport:
    """The CPU's own report; it answers, so it is healthy."""
    return DeviceReport(
        gpu_uuid=pool.gpu_uuid,
        kind="cpu",
        host=host,
        name=f"{pool.slots} slots",
        health="HEALTHY",
        at_ns=at_ns,
        memory_bytes=pool.memory_bytes,
        free_bytes=pool.free_bytes,
        slots=pool.slots,
        utilisation=None if pool.utilisation is None else min(1.0, pool.utilisation),
    )


def _gpu_report(uuid: str, seen: Seen, *, host: str, own_pids: frozenset[int], at_ns: int) -> DeviceReport:
    device, vitals = seen.device, seen.device.vitals
    # What was last measured of a device that does not answer says nothing of it now.
    answers = seen.health.reading not in ("silent", "lost")
    part = seen.instance or device
    own, strangers = _split(part.processes, part.memory_bytes, part.free_bytes, own_pids)
    return DeviceReport(
        gpu_uuid=uuid,
        kind="gpu" if seen.instance is None else "mig",
        host=host,
        name=part.name,
        nvml_index=device.nvml_index,
        cuda_ordinal=seen.cuda_ordinal,
        health=seen.health.state,
        reasons=list(seen.health.reasons),
        at_ns=at_ns,
        memory_bytes=part.memory_bytes,
        free_bytes=part.free_bytes if answers else None,
        own_bytes=own if answers else None,
        stranger_bytes=strangers if answers else None,
        parent_uuid=None if seen.instance is None else device.gpu_uuid,
        processes=None if part.processes is None or not answers else len(part.processes),
        uncorrected_errors=vitals.ecc_volatile,
        throttle=list(vitals.throttle or ()) if answers else [],
        utilisation=vitals.utilisation if answers else None,
        temperature_c=vitals.temperature_c if answers else None,
        power_w=vitals.power_w if answers else None,
    )


def _split(
    processes: Iterable[GpuProcess] | None, memory: int | None, free: int | None, own_pids: frozenset[int]
) -> tuple[int | None, int | None]:
    """Bytes of ours and bytes of others: all that is used and not ours, the driver's own share included."""
    if processes is None:
        return None, None
    ours = [process.used_bytes for process in processes if process.pid in own_pids]
    if None in ours:
        return None, None
    own = sum(used for used in ours if used is not None)
    return own, None if memory is None or free is None else max(0, memory - free - own)
