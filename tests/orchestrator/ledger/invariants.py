"""The invariants of the allocation log, each a small law about one step: before, record, after.

They are written from the design and not from the fold's checks, so that they can find a check missing.
"""

from collections.abc import Callable
from typing import Any

from orchestrator.ledger import Ignored, State
from schemas.allocations import (
    CapacityMeasured,
    DeadlinePassed,
    DeviceSeen,
    Ended,
    Granted,
    HealthChanged,
    OwnerClaimed,
    Reclaiming,
    Released,
    Renewed,
    Snapshot,
    Started,
    TaskAccepted,
    Tick,
)

Law = Callable[[State, Any, State], bool]

OVER = {"SUCCEEDED", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED", "REJECTED"}
ENDED_EARLY = {"FAILED", "CANCELLED", "DEADLINE_EXCEEDED"}

ALLOWED = (
    {("QUEUED", to) for to in ("GRANTED", "REJECTED", "CANCELLED", "DEADLINE_EXCEEDED")}
    | {("GRANTED", to) for to in ("RUNNING", "RECLAIMING", *ENDED_EARLY)}
    | {("RUNNING", to) for to in ("SUCCEEDED", "RECLAIMING", *ENDED_EARLY)}
    | {("RECLAIMING", to) for to in ("QUEUED", "CANCELLED", "DEADLINE_EXCEEDED")}
)
HEALTH = {
    ("UNKNOWN", "HEALTHY"),
    ("UNKNOWN", "SUSPECT"),
    ("HEALTHY", "SUSPECT"),
    ("SUSPECT", "HEALTHY"),
    ("SUSPECT", "QUARANTINED"),
    ("QUARANTINED", "PROBATION"),
    ("PROBATION", "HEALTHY"),
    ("PROBATION", "QUARANTINED"),
    ("LOST", "UNKNOWN"),
}


def never_over_capacity(before, record, after):
    """No device holds more bytes or tasks than it has, counted from the leases alone."""
    for uuid, device in after.devices.items():
        held = [lease for lease in after.leases.values() if uuid in lease.gpu_uuids]
        if sum(lease.memory_bytes for lease in held) > device.capacity_bytes or len(held) > device.slots:
            return False
    return True


def free_leased_and_reclaiming_make_capacity(before, record, after):
    for uuid, device in after.devices.items():
        held = [lease for lease in after.leases.values() if uuid in lease.gpu_uuids]
        leased = sum(lease.memory_bytes for lease in held if not lease.reclaiming)
        reclaiming = sum(lease.memory_bytes for lease in held if lease.reclaiming)
        if (device.leased_bytes, device.reclaiming_bytes, device.used_slots) != (
            leased,
            reclaiming,
            len(held),
        ):
            return False
        if device.free_bytes + leased + reclaiming != device.capacity_bytes or device.free_bytes < 0:
            return False
    return True


def one_live_attempt_a_task(before, record, after):
    if isinstance(record, Granted):
        task = before.tasks[record.task_id]
        return record.task_id not in before.leases and record.attempt == task.attempt + 1
    for name, lease in after.leases.items():
        task = after.tasks[name]
        if lease.attempt != task.attempt or lease.reclaiming != (task.state not in ("GRANTED", "RUNNING")):
            return False
    return all(
        name in after.leases
        for name, task in after.tasks.items()
        if task.state in ("GRANTED", "RUNNING", "RECLAIMING")
    )


def terminal_states_absorb(before, record, after):
    for name, task in before.tasks.items():
        if task.state in OVER and name in after.tasks and after.tasks[name] != task:
            return False
    return True


def tasks_move_as_the_design_says(before, record, after):
    for name, task in after.tasks.items():
        was = before.tasks.get(name)
        if was is None:
            if task.state not in ("QUEUED", "REJECTED"):
                return False
        elif was.state != task.state and (was.state, task.state) not in ALLOWED:
            return False
    return True


def devices_move_as_the_design_says(before, record, after):
    if not isinstance(record, HealthChanged):
        return True
    was, now = before.devices[record.gpu_uuid].health, after.devices[record.gpu_uuid].health
    return (was, now) in HEALTH or (now == "LOST" and was != "LOST")


def stale_owner_or_epoch_has_no_effect(before, record, after):
    if isinstance(record, Snapshot) or record.domain != before.domain:
        return before == after
    if isinstance(record, OwnerClaimed):
        return record.epoch == before.epoch + 1
    agents_own = isinstance(record, Started | Renewed | Ended) or (
        isinstance(record, Released) and record.agent
    )
    return agents_own or (record.owner, record.epoch) == (before.owner, before.epoch)


def nothing_starts_on_a_sick_device(before, record, after):
    if isinstance(record, Granted):
        uuids = record.gpu_uuids
    elif isinstance(record, Started):
        uuids = before.leases[record.task_id].gpu_uuids
    else:
        return True
    return all(before.devices[uuid].health == "HEALTHY" for uuid in uuids)


def nothing_is_granted_where_admission_is_stopped(before, record, after):
    return not isinstance(record, Granted) or not any(
        before.devices[uuid].stopped for uuid in record.gpu_uuids
    )


def gangs_are_whole(before, record, after):
    if not isinstance(record, Granted):
        return True
    task, uuids = before.tasks[record.task_id], record.gpu_uuids
    devices = [before.devices[uuid] for uuid in uuids]
    on_cpu = {device.kind == "cpu" for device in devices}
    wanted = 1 if on_cpu == {True} else task.devices
    return len(uuids) == len(set(uuids)) == wanted and len({device.host for device in devices}) == 1


def tasks_run_where_they_may(before, record, after):
    if not isinstance(record, Granted):
        return True
    task, devices = before.tasks[record.task_id], [before.devices[uuid] for uuid in record.gpu_uuids]
    on_cpu = {device.kind == "cpu" for device in devices}
    named = all({device.gpu_uuid, device.host} & set(task.only_on) for device in devices)
    may = on_cpu == {False} if task.lane == "gpu" and not task.cpu_ok else len(on_cpu) == 1
    stays = task.lane == "gpu" or on_cpu == {True}
    return may and stays and (named or not task.only_on) and on_cpu == {record.cpu_reason is not None}


def retry_bytes_fall_strictly(before, record, after):
    if isinstance(record, Ended) and record.failure == "OUT_OF_MEMORY":
        was, now = before.tasks[record.task_id], after.tasks[record.task_id]
        smaller = now.memory_bytes < was.memory_bytes or (was.lane, now.lane) == ("gpu", "cpu")
        return now.state in OVER or smaller
    if isinstance(record, Reclaiming) and record.cause == "MEMORY_LOW":
        was, now = before.tasks[record.task_id], after.tasks[record.task_id]
        return now.state in OVER or now.memory_bytes < was.memory_bytes
    if isinstance(record, Granted):
        task = before.tasks[record.task_id]
        moved = task.lane == "gpu" and record.cpu_reason is not None
        return record.memory_bytes == (task.cpu_bytes if moved else task.memory_bytes)
    return True


def budgets_only_fall(before, record, after):
    for name, task in before.tasks.items():
        now = after.tasks.get(name, task)
        if (now.shrinks, now.losses, now.preemptions) > (task.shrinks, task.losses, task.preemptions):
            return False
        if now.attempt > task.attempt + 1:
            return False
    return True


def leases_are_honoured(before, record, after):
    if not isinstance(record, Reclaiming):
        return True
    lease, task = before.leases[record.task_id], before.tasks[record.task_id]
    broken = {before.devices[uuid].health for uuid in lease.gpu_uuids} & {"QUARANTINED", "LOST"}
    true = {
        "LEASE_EXPIRED": record.at_ns >= lease.expires_ns,
        "DEVICE_UNHEALTHY": bool(broken),
        "PREEMPTED": task.preemptions > 0,
        "MEMORY_LOW": any(before.devices[uuid].make_room for uuid in lease.gpu_uuids)
        and min(task.preemptions, task.shrinks) > 0
        and task.memory_bytes > task.min_memory_bytes,
    }
    return true[record.cause] and lease.attempt == record.attempt and not lease.reclaiming


def only_the_holder_speaks(before, record, after):
    if isinstance(record, Started):
        lease = before.leases[record.task_id]
        return lease.attempt == record.attempt and not lease.agent and not lease.reclaiming
    if isinstance(record, Renewed | Ended):
        lease = before.leases[record.task_id]
        held = lease.agent == record.agent or (not lease.agent and isinstance(record, Ended))
        return held and lease.attempt == record.attempt and not lease.reclaiming
    return True


def bytes_return_only_when_nothing_runs(before, record, after):
    if not isinstance(record, Released):
        return True
    lease = before.leases[record.task_id]
    gone = all(before.devices[uuid].health == "LOST" for uuid in lease.gpu_uuids)
    confirmed = bool(record.agent) or not lease.agent or gone
    return lease.reclaiming and lease.attempt == record.attempt and confirmed


def deadlines_are_honoured(before, record, after):
    if not isinstance(record, DeadlinePassed):
        return True
    deadline = before.tasks[record.task_id].deadline_ns
    return 0 < deadline <= record.at_ns


def requests_count_once(before, record, after):
    for name in after.tasks.keys() - before.tasks.keys():
        key = after.tasks[name].idempotency_key
        if key and any(task.idempotency_key == key for task in before.tasks.values()):
            return False
        if record.inputs:
            source = record.inputs[0]
            if source.offset < before.next_inputs.get((source.topic, source.partition), 0):
                return False
    if isinstance(record, TaskAccepted):
        return record.task_id not in before.tasks
    return True


def time_never_goes_back(before, record, after):
    if isinstance(record, CapacityMeasured):
        return after.devices[record.gpu_uuid].measured_ns > before.devices[record.gpu_uuid].measured_ns
    if isinstance(record, Tick):
        return after.now_ns > before.now_ns
    return after.now_ns == before.now_ns


def devices_are_entered_once(before, record, after):
    return not isinstance(record, DeviceSeen) or record.gpu_uuid not in before.devices


def duplicates_are_no_ops(before, record, after):
    again = after.copy()
    return isinstance(again.apply(record), Ignored) or again == after


INVARIANTS: dict[str, Law] = {
    law.__name__: law
    for law in (
        stale_owner_or_epoch_has_no_effect,
        never_over_capacity,
        free_leased_and_reclaiming_make_capacity,
        one_live_attempt_a_task,
        terminal_states_absorb,
        tasks_move_as_the_design_says,
        devices_move_as_the_design_says,
        nothing_starts_on_a_sick_device,
        nothing_is_granted_where_admission_is_stopped,
        gangs_are_whole,
        tasks_run_where_they_may,
        retry_bytes_fall_strictly,
        budgets_only_fall,
        leases_are_honoured,
        only_the_holder_speaks,
        bytes_return_only_when_nothing_runs,
        deadlines_are_honoured,
        requests_count_once,
        time_never_goes_back,
        devices_are_entered_once,
        duplicates_are_no_ops,
    )
}


def broken(before: State, record: Any, after: State) -> str | None:
    """The name of the first invariant that an accepted record broke, or could not even be asked about."""
    for name, law in INVARIANTS.items():
        try:
            holds = law(before, record, after)
        except KeyError:
            return name
        if not holds:
            return name
    return None
