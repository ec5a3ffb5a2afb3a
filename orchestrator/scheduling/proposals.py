"""The records of one decision, as they are gathered: each in the owner's name, at one time, on one basis."""

from __future__ import annotations

from typing import Any

from orchestrator.ledger.state import Lease, State, Task
from orchestrator.policies.base import Policy
from orchestrator.scheduling.routes import Route
from schemas.allocations import (
    DeadlinePassed,
    Granted,
    HealthChanged,
    ReclaimCause,
    Reclaiming,
    Record,
    Rejected,
    Released,
)
from schemas.tasks import FailureCode

_PROBLEMS: dict[FailureCode, str] = {
    "TOO_LARGE": "larger than any device, and the CPU is not allowed or too small too",
    "QUEUE_TIMEOUT": "no device had room in the time that its class may wait",
    "NO_DEVICE": "there is no device of its kind",
}


class Proposals:
    """What a decision has come to so far.

    Attributes
    ----------
    records
        In the order in which they are to be written.
    tasks, devices
        What these speak of, to be looked at again when they have or have not arrived.
    settled
        Tasks that got their record, so that no second one contradicts it.
    """

    def __init__(self, state: State, policy: Policy, now_ns: int, basis: int) -> None:
        self.records: list[Record] = []
        self.tasks: set[str] = set()
        self.devices: set[str] = set()
        self.settled: set[str] = set()
        self.now_ns = now_ns
        self._state, self._policy = state, policy
        self._coming_back: set[str] | None = None
        self._head: dict[str, Any] = {
            "domain": state.domain,
            "owner": state.owner,
            "epoch": state.epoch,
            "at_ns": now_ns,
            "policy": policy.label,
            "basis": basis,
        }

    def grant(self, task: Task, uuids: tuple[str, ...], found: Route, open_devices: int) -> None:
        """Propose devices for the next attempt."""
        fit = "best fit" if self._policy.packs else "emptiest"
        self._add(
            task.task_id,
            Granted(
                **self._head,
                task_id=task.task_id,
                attempt=task.attempt + 1,
                gpu_uuids=uuids,
                memory_bytes=found.need.memory_bytes,
                lease_ns=self._policy.lease_ns,
                cpu_reason=found.cpu_reason,
                why=f"{fit} of {open_devices} open devices",
            ),
        )
        self.devices.update(uuids)

    def reclaim(self, task: Task, lease: Lease, cause: ReclaimCause, grace_ns: int, detail: str = "") -> None:
        """Take a lease back."""
        self._add(
            task.task_id,
            Reclaiming(
                **self._head,
                task_id=task.task_id,
                attempt=lease.attempt,
                cause=cause,
                grace_ns=grace_ns,
                detail=detail,
            ),
        )

    def release(self, lease: Lease) -> None:
        """Say that bytes are back where no agent will: nothing ran, or the devices are lost."""
        self._add(
            lease.task_id, Released(**self._head, task_id=lease.task_id, attempt=lease.attempt, agent="")
        )

    def reject(self, task: Task, failure: FailureCode) -> None:
        """Refuse a task that waits."""
        self._add(
            task.task_id,
            Rejected(**self._head, task_id=task.task_id, failure=failure, problem=_PROBLEMS[failure]),
        )

    def pass_deadline(self, task: Task) -> None:
        """Say that a task's time is over."""
        self._add(task.task_id, DeadlinePassed(**self._head, task_id=task.task_id))

    def suspect(self, uuid: str) -> None:
        """Doubt a healthy device whose agent does not answer."""
        if self._state.devices[uuid].health == "HEALTHY" and uuid not in self.devices:
            reasons = ("a grant on it was not taken up",)
            self.records.append(HealthChanged(**self._head, gpu_uuid=uuid, health="SUSPECT", reasons=reasons))
        self.devices.add(uuid)

    def coming_back(self, state: State) -> set[str]:
        """The devices of which bytes are reclaimed and not back yet, as of before this decision."""
        if self._coming_back is None:
            leases = (lease for lease in state.leases.values() if lease.reclaiming)
            self._coming_back = {uuid for lease in leases for uuid in lease.gpu_uuids}
        return self._coming_back

    def _add(self, task_id: str, record: Record) -> None:
        self.records.append(record)
        self.tasks.add(task_id)
        self.settled.add(task_id)
