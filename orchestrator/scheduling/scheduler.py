"""From a state and a time to decisions: what :func:`decide` proposes, the log and its fold dispose.

``decide`` is pure. The :class:`Scheduler` is the same thing kept warm: it follows one state by the entries
that changed, so a decision costs the logarithm of the devices and not their number. Both give the same
records, bit for bit.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from orchestrator.ledger.state import Lease, State, Task
from orchestrator.policies.base import Policy
from orchestrator.scheduling.fleet import Fleet, Need
from orchestrator.scheduling.proposals import Proposals
from orchestrator.scheduling.routes import Route, late_on_cpu, route
from orchestrator.scheduling.victims import Victims, shrink_one
from orchestrator.scheduling.waiting import Queue, Timers
from schemas.allocations import DECIDED_ELSEWHERE, Lane, Record

FAILED_DEVICE = frozenset(("QUARANTINED", "LOST"))
LANES: tuple[Lane, ...] = ("gpu", "cpu")


def decide(state: State, now_ns: int, policy: Policy, *, basis: int = DECIDED_ELSEWHERE) -> list[Record]:
    """What the owner should write now; changes nothing.

    Parameters
    ----------
    state
        What the log comes to.
    now_ns
        The owner's clock.
    basis
        The offset of the last record that ``state`` has folded; goes into the decisions.

    Returns
    -------
    list
        In the order in which they are to be written, in the name of the state's owner and epoch.
    """
    return Scheduler(state.copy(), policy).decide(now_ns, basis=basis)


class Scheduler:
    """Decides for one state, which it follows from here on.

    Parameters
    ----------
    state
        Belongs to someone who folds the log into it; a state has one scheduler.
    policy
        Who goes first and where.
    """

    def __init__(self, state: State, policy: Policy) -> None:
        self._state, self._policy = state, policy
        self._changed_tasks, self._changed_devices = set[str](), set[str]()
        state.changed_tasks, state.changed_devices = self._changed_tasks, self._changed_devices
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._fleet, self._queue, self._timers = Fleet(self._policy), Queue(), Timers()
        self._victims = Victims(self._policy)
        self._routes: dict[str, Route] = {}
        self._sick: set[str] = set()
        self._low: set[str] = set()
        self._routed_at = -1
        self._now_ns = -1
        self._changed_tasks.update(self._state.tasks)
        self._changed_devices.update(self._state.devices)

    def waiting(self) -> int:
        """How many tasks wait for a device."""
        return len(self._queue)

    def decide(self, now_ns: int, *, basis: int = DECIDED_ELSEWHERE) -> list[Record]:
        """The same as :func:`decide` for the state as it is now."""
        if now_ns < self._now_ns:  # another owner's clock; what is late has to be found anew
            self._begin_anew()
        self._now_ns = now_ns
        self._catch_up()
        made = Proposals(self._state, self._policy, now_ns, basis)
        self._look_at_devices(made)
        for uuid in sorted(self._low):
            shrink_one(self._state, made, self._policy, uuid)
        for task_id in self._timers.due(now_ns):
            self._look_at_time(made, task_id)
        self._place(made)
        self._changed_tasks |= made.tasks
        self._changed_devices |= made.devices
        return made.records

    # What changed since the last decision.

    def _catch_up(self) -> None:
        for uuid in sorted(self._changed_devices):
            device = self._state.devices[uuid]
            self._fleet.put(device)
            if device.health in FAILED_DEVICE and device.charged_bytes + device.used_slots:
                self._sick.add(uuid)
            else:
                self._sick.discard(uuid)
            (self._low.add if device.make_room else self._low.discard)(uuid)
        self._changed_devices.clear()
        if self._fleet.version != self._routed_at:
            self._route_again()
        for task_id in self._changed_tasks:
            self._enter(task_id)
        self._changed_tasks.clear()

    def _route_again(self) -> None:
        """What devices could ever take has changed, so tasks may wait in the wrong lane."""
        self._routed_at = self._fleet.version
        for task_id in self._queue.ids():
            task = self._state.tasks.get(task_id)
            if task is None or route(task, self._fleet) != self._routes[task_id]:
                self._changed_tasks.add(task_id)

    def _enter(self, task_id: str) -> None:
        self._queue.leave(task_id)
        task, lease = self._state.tasks.get(task_id), self._state.leases.get(task_id)
        self._victims.note(task_id, task, lease)
        if task is None or task.state != "QUEUED":
            self._routes.pop(task_id, None)
            self._timers.set(task_id, None if task is None else _next_look(task, lease))
            return
        bounds = self._policy.wait_class(task)
        late_ns, end_ns = task.queued_ns + bounds.longest_wait_ns, task.queued_ns + bounds.give_up_ns
        found = self._routes[task_id] = route(task, self._fleet)
        if late_ns <= self._now_ns:
            rank = (0, (self._policy.due_ns(task),), task.number, task_id)
        else:
            rank = (1, self._policy.order(task), task.number, task_id)
        self._queue.enter(task_id, found.need.lane, rank)
        following = min(end_ns, end_ns if late_ns <= self._now_ns else late_ns)
        if found.refusal is not None:
            following = self._now_ns
        self._timers.set(task_id, min(following, task.deadline_ns) if task.deadline_ns else following)

    # Decisions that are due whatever is free.

    def _look_at_devices(self, made: Proposals) -> None:
        if not self._sick:
            return
        for task_id in sorted(self._state.leases):
            lease, task = self._state.leases[task_id], self._state.tasks[task_id]
            if self._sick.isdisjoint(lease.gpu_uuids):
                continue
            if not lease.reclaiming:
                made.reclaim(task, lease, "DEVICE_UNHEALTHY", 0)
            if all(self._state.devices[uuid].health == "LOST" for uuid in lease.gpu_uuids):
                made.release(lease)

    def _look_at_time(self, made: Proposals, task_id: str) -> None:
        task, lease = self._state.tasks[task_id], self._state.leases.get(task_id)
        made.tasks.add(task_id)  # its time is gone: look again next time, whether the record arrives or not
        if task_id in made.settled:
            return
        if 0 < task.deadline_ns <= self._now_ns and task.ended_by is None:
            made.pass_deadline(task)
            if task.state in ("QUEUED", "RECLAIMING"):
                return
        if task.state in ("GRANTED", "RUNNING"):
            if lease is not None and lease.expires_ns <= self._now_ns:
                self._expire(made, task, lease)
        elif task.state == "QUEUED":
            self._wait_on(made, task)

    def _expire(self, made: Proposals, task: Task, lease: Lease) -> None:
        made.reclaim(task, lease, "LEASE_EXPIRED", 0)
        if not lease.agent:  # nobody took the grant up, so nothing ever ran
            made.release(lease)
            for uuid in lease.gpu_uuids:
                made.suspect(uuid)
            self._fleet.set_aside(lease.gpu_uuids)

    def _wait_on(self, made: Proposals, task: Task) -> None:
        bounds, found = self._policy.wait_class(task), self._routes[task.task_id]
        if found.refusal is not None:
            made.reject(task, found.refusal)
        elif task.queued_ns + bounds.give_up_ns <= self._now_ns:
            made.reject(task, "QUEUE_TIMEOUT" if self._fleet.knows(found.need.lane) else "NO_DEVICE")
        else:
            self._enter(task.task_id)  # late from now on
            return
        self._queue.leave(task.task_id)

    # Who gets what.

    def _place(self, made: Proposals) -> None:
        passed_over = dict.fromkeys(LANES, 0)
        placed: list[str] = []
        for task_id in self._line(passed_over):
            if task_id in made.settled:
                continue
            task, found = self._state.tasks[task_id], self._routes[task_id]
            late = task.queued_ns + self._policy.wait_class(task).longest_wait_ns <= self._now_ns
            uuids = self._fleet.find(found.need)
            if uuids is None and late and found.need.lane == "gpu" and task.cpu_ok:
                found = late_on_cpu(task)
                uuids = self._fleet.find(found.need)
            if uuids is not None:
                made.grant(task, uuids, found, self._fleet.open_devices(found.need.lane))
                self._fleet.charge(uuids, found.need.memory_bytes)
                placed.append(task_id)
                continue
            self._pass_over(made, task, self._routes[task_id].need, passed_over, late=late)
        for task_id in placed:
            self._queue.leave(task_id)

    def _line(self, passed_over: dict[Lane, int]) -> Iterator[str]:
        """Both lanes' tasks in one order, as long as either can still give something."""

        def of(lane: Lane) -> Iterator[tuple[tuple[object, ...], str]]:
            for rank in self._queue.ranks(lane):
                if passed_over[lane] > self._policy.backfill or self._is_hopeless(lane):
                    return
                yield rank, rank[-1]

        return (task_id for _, task_id in heapq.merge(*(of(lane) for lane in LANES)))

    def _is_hopeless(self, lane: Lane) -> bool:
        if not self._fleet.is_full(lane) or (lane == "gpu" and not self._fleet.is_full("cpu")):
            return False
        return not self._policy.preemption

    def _pass_over(
        self, made: Proposals, task: Task, need: Need, passed_over: dict[Lane, int], *, late: bool
    ) -> None:
        passed_over[need.lane] += 1
        if late and passed_over[need.lane] <= self._policy.reservations:
            kept = self._fleet.nearest(need)
            self._fleet.set_aside(kept)
            made.devices.update(kept)
        if self._policy.preemption:
            self._victims.make_room(self._state, made, task, need)


def _next_look(task: Task, lease: Lease | None) -> int | None:
    """When a task that does not wait must be looked at again."""
    if task.is_over:
        return None
    times = []
    if lease is not None and not lease.reclaiming:
        times.append(lease.expires_ns)
    if task.deadline_ns and task.ended_by is None:
        times.append(task.deadline_ns)
    return min(times, default=None)
