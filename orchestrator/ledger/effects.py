"""What a record that counts does to the state. Run only after its checks, so nothing here asks again."""

from __future__ import annotations

from orchestrator.ledger.retry import Retry, after, shrunk
from orchestrator.ledger.state import Device, Lease, State, Task, Try
from schemas.allocations import (
    AdmissionChanged,
    CancelRequested,
    CapacityMeasured,
    DeadlinePassed,
    DeviceSeen,
    Ended,
    Granted,
    HealthChanged,
    Input,
    OwnerClaimed,
    PolicyChanged,
    Reclaiming,
    Rejected,
    Released,
    Renewed,
    Started,
    TaskAccepted,
    Tick,
)
from schemas.tasks import FailureCode, TerminalState

MAX_DETAIL = 500
"""Characters of an attempt's end that the state keeps."""


def claim(state: State, record: OwnerClaimed) -> None:
    """The domain has another owner, whose epoch fences off all before."""
    state.owner, state.epoch = record.owner, record.epoch


def enter_device(state: State, record: DeviceSeen) -> None:
    """A device of UNKNOWN health, on which nothing is granted yet."""
    uuid = record.gpu_uuid
    state.devices[uuid] = Device(uuid, record.device_kind, record.host, record.capacity_bytes, record.slots)
    _device_changed(state, uuid)


def change_health(state: State, record: HealthChanged) -> None:
    """Only the state; what runs there is reclaimed by decisions of their own."""
    state.devices[record.gpu_uuid].health = record.health
    _device_changed(state, record.gpu_uuid)


def measure(state: State, record: CapacityMeasured) -> None:
    """What the driver says, for admission; the ledger's own bytes are not its business."""
    device = state.devices[record.gpu_uuid]
    device.capacity_bytes = record.capacity_bytes
    device.measured_free_bytes, device.own_bytes = record.free_bytes, record.own_bytes
    device.stranger_bytes, device.warnings = record.stranger_bytes, record.warnings
    device.measured_ns = record.at_ns
    _device_changed(state, record.gpu_uuid)


def change_admission(state: State, record: AdmissionChanged) -> None:
    """Whether the device takes more, and whether it should hold less."""
    device = state.devices[record.gpu_uuid]
    device.stopped, device.make_room = record.stopped, record.make_room
    _device_changed(state, record.gpu_uuid)


def enqueue(state: State, record: TaskAccepted) -> None:
    """A task that waits for its first attempt."""
    state.accepted_tasks += 1
    state.tasks[record.task_id] = Task(
        task_id=record.task_id,
        task_type=record.task_type,
        number=state.accepted_tasks,
        submitted_ns=record.submitted_ns,
        memory_bytes=record.cpu_bytes if record.lane == "cpu" else record.memory_bytes,
        min_memory_bytes=record.min_memory_bytes,
        cpu_bytes=record.cpu_bytes,
        priority=record.priority,
        deadline_ns=record.deadline_ns,
        devices=record.devices,
        cpu_ok=record.cpu_ok or record.lane == "cpu",
        lane=record.lane,
        only_on=record.only_on,
        idempotency_key=record.idempotency_key,
        shrinks=record.shrinks,
        losses=record.losses,
        preemptions=record.preemptions,
        queued_ns=max(state.now_ns, record.submitted_ns),
        cpu_reason="REQUESTED" if record.lane == "cpu" else None,
        origin=str(record.inputs[0]) if record.inputs else "",
    )
    if record.idempotency_key:
        state.keys[record.idempotency_key] = record.task_id
    _read_past(state, record.inputs)
    _task_changed(state, record.task_id)


def grant(state: State, record: Granted) -> None:
    """Bytes and a slot on each device are the attempt's until they are released."""
    task = state.tasks[record.task_id]
    task.state, task.attempt = "GRANTED", record.attempt
    if record.cpu_reason is not None and task.lane == "gpu":
        task.lane, task.cpu_reason, task.memory_bytes = "cpu", record.cpu_reason, record.memory_bytes
    granted_ns = max(state.now_ns, record.at_ns)
    state.leases[record.task_id] = Lease(
        record.task_id,
        record.attempt,
        record.gpu_uuids,
        record.memory_bytes,
        record.lease_ns,
        granted_ns + record.lease_ns,
        granted_ns,
        why=record.why,
    )
    for uuid in record.gpu_uuids:
        device = state.devices[uuid]
        device.leased_bytes += record.memory_bytes
        device.used_slots += 1
        _device_changed(state, uuid)
    _task_changed(state, record.task_id)


def start(state: State, record: Started) -> None:
    """From now on this agent speaks for the attempt, and its lease counts from the ledger's time."""
    lease = state.leases[record.task_id]
    lease.agent, lease.started_ns = record.agent, max(state.now_ns, lease.granted_ns)
    lease.began_ns = record.at_ns
    state.tasks[record.task_id].state = "RUNNING"
    _extend(state, lease)
    _task_changed(state, record.task_id)


def renew(state: State, record: Renewed) -> None:
    """The lease counts anew, by the ledger's time and not by the agent's clock."""
    _extend(state, state.leases[record.task_id])
    _task_changed(state, record.task_id)


def end(state: State, record: Ended) -> None:
    """To its end, or to another attempt as soon as the bytes are back."""
    task = state.tasks[record.task_id]
    _reclaim(state, record.task_id)
    _note_try(state, task, record.at_ns, record.peak_memory_bytes, record.failure, record.detail)
    following = after(task, record.failure) if record.outcome == "FAILED" else None
    _go_on(state, task, following, record.outcome, record.failure)
    task.closed_by = record.agent if task.is_over else ""


def reclaim(state: State, record: Reclaiming) -> None:
    """The right is gone; the bytes stay charged."""
    task = state.tasks[record.task_id]
    _reclaim(state, record.task_id)
    _note_try(state, task, record.at_ns, None, "LOST", record.detail or record.cause)
    if record.cause == "MEMORY_LOW":
        following = shrunk(task)
        for uuid in state.leases[record.task_id].gpu_uuids:
            state.devices[uuid].make_room = False
            _device_changed(state, uuid)
    else:
        following = after(task, "LOST", preempted=record.cause == "PREEMPTED")
    _go_on(state, task, following, "FAILED", "LOST")


def release(state: State, record: Released) -> None:
    """The bytes are back, and a task that has another attempt waits for it."""
    lease = state.leases.pop(record.task_id)
    for uuid in lease.gpu_uuids:
        device = state.devices[uuid]
        device.reclaiming_bytes -= lease.memory_bytes
        device.used_slots -= 1
        _device_changed(state, uuid)
    task = state.tasks[record.task_id]
    if task.state == "RECLAIMING":
        task.state, task.queued_ns = "QUEUED", max(state.now_ns, task.queued_ns)
    _task_changed(state, record.task_id)


def reject(state: State, record: Rejected) -> None:
    """A request that was never a task, or one that waited in vain."""
    task = state.tasks.get(record.task_id)
    if task is None:
        task = state.tasks[record.task_id] = Task(record.task_id, "", 0, record.at_ns, 0, 0, 0)
        _read_past(state, record.inputs)
    task.refusal = [record.problem[:MAX_DETAIL], record.field]
    _finish(state, task, "REJECTED", record.failure)


def cancel(state: State, record: CancelRequested) -> None:
    """At once where nothing runs; else the attempt's end will be this one."""
    _end_early(state, state.tasks[record.task_id], "CANCELLED")


def expire(state: State, record: DeadlinePassed) -> None:
    """As :func:`cancel`, by the clock."""
    _end_early(state, state.tasks[record.task_id], "DEADLINE_EXCEEDED")


def tick(state: State, record: Tick) -> None:
    """Time moves, and what ended long ago is forgotten."""
    state.now_ns = record.at_ns
    while state.ended and state.ended[0][0] + state.keep_ended_ns <= state.now_ns:
        _, name = state.ended.popleft()
        if name in state.leases:  # its bytes are not back
            state.ended.append((state.now_ns, name))
            continue
        state.keys.pop(state.tasks.pop(name).idempotency_key, None)


def change_policy(state: State, record: PolicyChanged) -> None:
    """Shown and replayed; the fold itself has no policy."""
    state.policy, state.policy_options = record.policy, record.options


def nothing(state: State, record: object) -> None:
    """A snapshot repeats what the log says."""


def _go_on(
    state: State, task: Task, following: Retry | None, outcome: TerminalState, failure: FailureCode | None
) -> None:
    """After an attempt: as its sender or its deadline wish, to the next attempt, or to the end."""
    if task.ended_by is not None and outcome == "FAILED":
        _finish(state, task, task.ended_by, task.ended_by)
    elif following is None:
        _finish(state, task, outcome, failure)
    else:
        task.state, task.failure = "RECLAIMING", failure
        task.lane, task.memory_bytes, task.cpu_reason = (
            following.lane,
            following.memory_bytes,
            following.cpu_reason,
        )
        task.shrinks, task.losses, task.preemptions = (
            following.shrinks,
            following.losses,
            following.preemptions,
        )
        _task_changed(state, task.task_id)


def _end_early(state: State, task: Task, how: TerminalState) -> None:
    if task.state in ("GRANTED", "RUNNING"):
        if task.ended_by is None:
            task.ended_by = "CANCELLED" if how == "CANCELLED" else "DEADLINE_EXCEEDED"
            _task_changed(state, task.task_id)
    else:
        _finish(state, task, how, "CANCELLED" if how == "CANCELLED" else "DEADLINE_EXCEEDED")


def _finish(state: State, task: Task, how: TerminalState, failure: FailureCode | None) -> None:
    task.state, task.failure = how, failure
    state.ended.append((state.now_ns, task.task_id))
    _task_changed(state, task.task_id)


def _reclaim(state: State, task_id: str) -> None:
    lease = state.leases[task_id]
    lease.reclaiming = True
    for uuid in lease.gpu_uuids:
        device = state.devices[uuid]
        device.leased_bytes -= lease.memory_bytes
        device.reclaiming_bytes += lease.memory_bytes


def _note_try(
    state: State, task: Task, at_ns: int, peak: int | None, failure: FailureCode | None, detail: str
) -> None:
    lease = state.leases[task.task_id]
    over = Try(
        lease.attempt,
        list(lease.gpu_uuids),
        lease.memory_bytes,
        lease.began_ns,
        max(at_ns, lease.began_ns),
        peak,
        failure,
        detail[:MAX_DETAIL],
        lease.why,
    )
    task.tries = [*task.tries, list(over)]  # a new list: copies of a state share the old one


def _extend(state: State, lease: Lease) -> None:
    lease.expires_ns = max(lease.expires_ns, state.now_ns + lease.lease_ns)


def _read_past(state: State, inputs: tuple[Input, ...]) -> None:
    if inputs:
        first = inputs[0]
        state.next_inputs[first.topic, first.partition] = first.offset + 1


def _task_changed(state: State, task_id: str) -> None:
    if state.changed_tasks is not None:
        state.changed_tasks.add(task_id)


def _device_changed(state: State, uuid: str) -> None:
    if state.changed_devices is not None:
        state.changed_devices.add(uuid)
