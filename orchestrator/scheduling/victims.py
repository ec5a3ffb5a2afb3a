"""Which running attempt makes room: for a task of higher priority (off by default), or for its device."""

from __future__ import annotations

from sortedcontainers import SortedList

from orchestrator.ledger.retry import shrunk
from orchestrator.ledger.state import Lease, State, Task
from orchestrator.policies.base import Policy
from orchestrator.scheduling.fleet import Need
from orchestrator.scheduling.proposals import Proposals


def shrink_one(state: State, made: Proposals, policy: Policy, gpu_uuid: str) -> None:
    """Ask for an attempt on a device that is low on memory; it goes on with fewer bytes, when there is room.

    The lowest priority, the newest among equals, of those that can shrink and ran for their least time.
    """
    found = min(
        (
            (state.tasks[lease.task_id].priority, -lease.started_ns, lease.task_id)
            for lease in state.leases.values()
            if gpu_uuid in lease.gpu_uuids and _may_shrink(state, made, policy, lease)
        ),
        default=None,
    )
    if found is not None:
        lease = state.leases[found[-1]]
        detail = f"the memory of {gpu_uuid} is low"
        made.reclaim(state.tasks[lease.task_id], lease, "MEMORY_LOW", policy.grace_ns, detail)


def _may_shrink(state: State, made: Proposals, policy: Policy, lease: Lease) -> bool:
    task = state.tasks[lease.task_id]
    return (
        task.state == "RUNNING"
        and task.ended_by is None
        and task.task_id not in made.settled
        and made.now_ns >= lease.started_ns + policy.min_run_ns
        and shrunk(task) is not None
    )


class Victims:
    """The attempts that run, lowest priority first, newest first among equals."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._running: SortedList[tuple[int, int, str]] = SortedList()
        self._ranks: dict[str, tuple[int, int, str]] = {}

    def note(self, task_id: str, task: Task | None, lease: Lease | None) -> None:
        """A task changed; does nothing while preemption is off."""
        if not self._policy.preemption:
            return
        old = self._ranks.pop(task_id, None)
        if old is not None:
            self._running.remove(old)
        if task is not None and lease is not None and task.state == "RUNNING" and task.ended_by is None:
            rank = self._ranks[task_id] = (task.priority, -lease.started_ns, task_id)
            self._running.add(rank)

    def make_room(self, state: State, made: Proposals, task: Task, need: Need) -> None:
        """Ask for one attempt back, unless bytes that suffice are already on their way."""
        if need.devices > 1 or self._room_comes(state, made, task, need):
            return
        for priority, _, victim_id in self._running:
            if priority >= task.priority:
                return
            if self._may_go(state, made, victim_id, task, need):
                victim, lease = state.tasks[victim_id], state.leases[victim_id]
                detail = f"for {task.task_id}, priority {task.priority} before {victim.priority}"
                made.reclaim(victim, lease, "PREEMPTED", self._policy.grace_ns, detail)
                made.devices.update(lease.gpu_uuids)
                return

    def _may_go(self, state: State, made: Proposals, victim_id: str, task: Task, need: Need) -> bool:
        victim, lease = state.tasks[victim_id], state.leases[victim_id]
        if victim_id in made.settled or not victim.preemptions or len(lease.gpu_uuids) > 1:
            return False
        device = state.devices[lease.gpu_uuids[0]]
        chosen = not need.only_on or not {device.gpu_uuid, device.host}.isdisjoint(need.only_on)
        return (
            chosen
            and device.lane == need.lane
            and device.health == "HEALTHY"
            and made.now_ns >= lease.started_ns + self._policy.min_run_ns
            and self._policy.admissible_bytes(device) + lease.memory_bytes >= need.memory_bytes
        )

    def _room_comes(self, state: State, made: Proposals, task: Task, need: Need) -> bool:
        """Whether a device of which bytes are coming back will then take the task; each is counted once."""
        for uuid in sorted(made.coming_back(state) - made.devices):
            device = state.devices[uuid]
            if device.lane != need.lane or device.health != "HEALTHY":
                continue
            if self._policy.admissible_bytes(device) + device.reclaiming_bytes >= need.memory_bytes:
                made.devices.add(uuid)
                return True
        return False
