"""The checks of the fold: small questions that a record must answer yes to.

Each has a name, which is the reason that an ignored record is given. None changes anything, and none may
raise whatever the record says: a check that looks something up passes when it is not there, since another
check asks for that.
"""

from __future__ import annotations

from typing import Any

from orchestrator.ledger.retry import after, shrunk
from orchestrator.ledger.state import State
from orchestrator.ledger.tables import DEVICE_MOVES, NEW, TASK_MOVES
from schemas.allocations import kind

# A record's type is fixed by the table of rules that names the check, hence the Any.


def domain_is_ours(state: State, record: Any) -> bool:
    """Each domain is a ledger of its own."""
    return bool(record.domain == state.domain)


def owner_is_current(state: State, record: Any) -> bool:
    """Only the owner decides; of two that claim the same epoch the log has the first."""
    return bool(record.owner == state.owner)


def epoch_is_current(state: State, record: Any) -> bool:
    """What an owner wrote before it lost the domain, and what arrives after that, does not count."""
    return bool(record.epoch == state.epoch)


def epoch_is_next(state: State, record: Any) -> bool:
    """A claim names the epoch after the present one, so of two claims at once one wins."""
    return bool(record.epoch == state.epoch + 1)


def time_moves_on(state: State, record: Any) -> bool:
    """The ledger's time never goes back."""
    return bool(record.at_ns > state.now_ns)


def device_is_new(state: State, record: Any) -> bool:
    """A device is entered once."""
    return record.gpu_uuid not in state.devices


def device_is_known(state: State, record: Any) -> bool:
    """Nothing is said of devices that were never entered."""
    return record.gpu_uuid in state.devices


def health_may_move(state: State, record: Any) -> bool:
    """The table of devices has this move."""
    device = state.devices.get(record.gpu_uuid)
    return device is None or record.health in DEVICE_MOVES[device.health]


def capacity_covers_charges(state: State, record: Any) -> bool:
    """A device cannot come to have less than what is promised on it."""
    device = state.devices.get(record.gpu_uuid)
    return device is None or record.capacity_bytes >= device.charged_bytes


def measurement_is_newer(state: State, record: Any) -> bool:
    """An older look at a device does not replace a newer one."""
    device = state.devices.get(record.gpu_uuid)
    return device is None or record.at_ns > device.measured_ns


def task_may_move(state: State, record: Any) -> bool:
    """The table of tasks has a move from where the task is by this kind of record."""
    task = state.tasks.get(record.task_id)
    return (NEW if task is None else task.state, kind(record)) in TASK_MOVES


def key_is_new(state: State, record: Any) -> bool:
    """A second request with the same idempotency key is the first one again."""
    return not record.idempotency_key or record.idempotency_key not in state.keys


def input_is_new(state: State, record: Any) -> bool:
    """A request that was read before, by whomever, is not taken in again, even when its task is forgotten."""
    if not record.inputs:
        return True
    first = record.inputs[0]
    return bool(first.offset >= state.next_inputs.get((first.topic, first.partition), 0))


def attempt_is_next(state: State, record: Any) -> bool:
    """A grant is for the attempt after the last one, so a grant that comes twice counts once."""
    task = state.tasks.get(record.task_id)
    return task is None or record.attempt == task.attempt + 1


def bytes_are_asked(state: State, record: Any) -> bool:
    """The grant is of the bytes of this attempt, which are less after each that ran out of memory."""
    task = state.tasks.get(record.task_id)
    if task is None:
        return True
    moves_to_cpu = task.lane == "gpu" and record.cpu_reason is not None
    return bool(record.memory_bytes == (task.cpu_bytes if moves_to_cpu else task.memory_bytes))


def gang_is_whole(state: State, record: Any) -> bool:
    """As many devices as the task asks for, each once; one slot when it goes to the CPU."""
    task = state.tasks.get(record.task_id)
    if task is None:
        return True
    wanted = 1 if record.cpu_reason is not None or task.lane == "cpu" else task.devices
    return len(record.gpu_uuids) == wanted == len(set(record.gpu_uuids))


def devices_are_known(state: State, record: Any) -> bool:
    """A grant is of devices that were entered."""
    return all(uuid in state.devices for uuid in record.gpu_uuids)


def devices_are_of_one_host(state: State, record: Any) -> bool:
    """A gang is on one host."""
    hosts = {state.devices[uuid].host for uuid in record.gpu_uuids if uuid in state.devices}
    return len(hosts) <= 1


def devices_suit(state: State, record: Any) -> bool:
    """GPU work on GPUs; on the CPU only what may go there, with the reason said."""
    task = state.tasks.get(record.task_id)
    if task is None:
        return True
    on_cpu = record.cpu_reason is not None
    lanes = {state.devices[uuid].lane for uuid in record.gpu_uuids if uuid in state.devices}
    if on_cpu and task.lane == "gpu" and not task.cpu_ok:
        return False
    if task.lane == "cpu" and not on_cpu:
        return False
    return lanes <= {"cpu" if on_cpu else "gpu"}


def devices_are_chosen(state: State, record: Any) -> bool:
    """Where the sender names devices or hosts, these and no others."""
    task = state.tasks.get(record.task_id)
    if task is None or not task.only_on:
        return True
    found = [state.devices[uuid] for uuid in record.gpu_uuids if uuid in state.devices]
    return all(device.gpu_uuid in task.only_on or device.host in task.only_on for device in found)


def devices_are_healthy(state: State, record: Any) -> bool:
    """Nothing is granted on a device that isn't healthy."""
    return all(state.devices[uuid].health == "HEALTHY" for uuid in record.gpu_uuids if uuid in state.devices)


def devices_admit(state: State, record: Any) -> bool:
    """Nothing is granted on a device whose memory is so low that its guard stopped admission."""
    return not any(state.devices[uuid].stopped for uuid in record.gpu_uuids if uuid in state.devices)


def leased_devices_are_healthy(state: State, record: Any) -> bool:
    """Nor does anything start there, when its health changed since the grant."""
    lease = state.leases.get(record.task_id)
    return lease is None or all(state.devices[uuid].health == "HEALTHY" for uuid in lease.gpu_uuids)


def bytes_fit(state: State, record: Any) -> bool:
    """No device is promised more bytes than it has."""
    return all(
        record.memory_bytes <= state.devices[uuid].free_bytes
        for uuid in record.gpu_uuids
        if uuid in state.devices
    )


def slots_are_free(state: State, record: Any) -> bool:
    """No device runs more tasks at once than it has slots."""
    found = (state.devices[uuid] for uuid in record.gpu_uuids if uuid in state.devices)
    return all(device.used_slots < device.slots for device in found)


def attempt_is_live(state: State, record: Any) -> bool:
    """Only the present attempt is spoken of; what a former one sends late does not count."""
    lease = state.leases.get(record.task_id)
    return lease is not None and lease.attempt == record.attempt


def agent_holds_lease(state: State, record: Any) -> bool:
    """Only the agent that started an attempt speaks for it."""
    lease = state.leases.get(record.task_id)
    return lease is None or lease.agent in ("", record.agent)


def outcome_is_possible(state: State, record: Any) -> bool:
    """The table has this outcome from where the task is: what never started cannot have succeeded."""
    task = state.tasks.get(record.task_id)
    return task is None or record.outcome in TASK_MOVES.get((task.state, "ended"), ())


def cause_is_true(state: State, record: Any) -> bool:
    """A lease is honoured until it expires, its device fails or lacks memory, or its task is preempted."""
    task, lease = state.tasks.get(record.task_id), state.leases.get(record.task_id)
    if task is None or lease is None:
        return True
    if record.cause == "LEASE_EXPIRED":
        return bool(record.at_ns >= lease.expires_ns)
    if record.cause == "DEVICE_UNHEALTHY":
        return any(state.devices[uuid].health in ("QUARANTINED", "LOST") for uuid in lease.gpu_uuids)
    if record.cause == "MEMORY_LOW":
        wanted = any(state.devices[uuid].make_room for uuid in lease.gpu_uuids)
        return wanted and shrunk(task) is not None
    return after(task, None, preempted=True) is not None


def lease_is_over(state: State, record: Any) -> bool:
    """The bytes of an attempt that may still run are not given back."""
    lease = state.leases.get(record.task_id)
    return lease is None or lease.reclaiming


def end_is_confirmed(state: State, record: Any) -> bool:
    """Bytes come back when an agent saw the process go, when none ever ran, or when its devices are lost."""
    lease = state.leases.get(record.task_id)
    if lease is None or record.agent or not lease.agent:
        return True
    return all(state.devices[uuid].health == "LOST" for uuid in lease.gpu_uuids)


def owner_confirms(state: State, record: Any) -> bool:
    """A release without an agent's word is a decision, so it must be the present owner's."""
    return bool(record.agent) or (record.owner == state.owner and record.epoch == state.epoch)


def deadline_is_over(state: State, record: Any) -> bool:
    """A task has all of its time."""
    task = state.tasks.get(record.task_id)
    return task is None or 0 < task.deadline_ns <= record.at_ns
