"""The same requests, devices and running times under a policy: how long tasks would have waited.

A simulation, and it says so: attempts run as long as they did in the log (the median where one never ran),
they begin as soon as they are granted, and retries for want of memory are not repeated.
"""

from __future__ import annotations

import heapq
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.ledger import Ignored, State
from orchestrator.policies import Policy
from orchestrator.replay.decisions import Entry
from orchestrator.scheduling import Scheduler
from schemas.allocations import (
    DECIDED_ELSEWHERE,
    AdmissionChanged,
    CancelRequested,
    CapacityMeasured,
    DeviceSeen,
    Ended,
    Granted,
    Head,
    HealthChanged,
    OwnerClaimed,
    Rejected,
    Released,
    Started,
    TaskAccepted,
    Tick,
    changed,
)

GIVEN = (
    DeviceSeen,
    HealthChanged,
    CapacityMeasured,
    AdmissionChanged,
    TaskAccepted,
    CancelRequested,
    Rejected,
)
"""What comes from outside, whoever decides; of these only records that are no decisions."""

NEVER_NS = 2**62
DEFAULT_RUN_NS = 1_000_000_000


@dataclass(slots=True)
class WhatIf:
    """How a policy fares.

    Attributes
    ----------
    waits_ms
        By wait class: milliseconds from submission to the first grant, of every task that was granted.
    utilisation
        Bytes promised over bytes there are, of GPUs, averaged over the time of the log.
    rejected
        By failure.
    on_cpu
        Tasks that went to the CPU, by reason.
    """

    policy: str
    tasks: int = 0
    granted: int = 0
    waits_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    utilisation: float = 0.0
    rejected: Counter[str] = field(default_factory=Counter)
    on_cpu: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, Any]:
        """As plain data, with the median and the 99th percentile of the waits."""
        waits = {
            name: {"tasks": len(found), "p50": _quantile(found, 0.5), "p99": _quantile(found, 0.99)}
            for name, found in sorted(self.waits_ms.items())
        }
        return {
            "policy": self.policy,
            "tasks": self.tasks,
            "granted": self.granted,
            "waits_ms": waits,
            "utilisation": round(self.utilisation, 4),
            "rejected": dict(sorted(self.rejected.items())),
            "on_cpu": dict(sorted(self.on_cpu.items())),
        }


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def what_if(log: Sequence[Entry], domain: str, policy: Policy) -> WhatIf:
    """Decide a log's requests anew with ``policy``; ``log`` as in :func:`replay_decisions`."""
    records = [record for _, record in log if record.domain == domain]
    # Nobody renews a lease here, so none may run out.
    return _Course(domain, replace(policy, lease_ns=NEVER_NS), _running_times(records)).run(_given(records))


def _given(records: Iterable[Head]) -> list[Head]:
    return [
        record
        for record in records
        if isinstance(record, Tick) or (isinstance(record, GIVEN) and record.basis == DECIDED_ELSEWHERE)
    ]


def _running_times(records: Iterable[Head]) -> dict[str, int]:
    began: dict[tuple[str, int], int] = {}
    times: dict[str, int] = {}
    for record in records:
        if isinstance(record, Started):
            began.setdefault((record.task_id, record.attempt), record.at_ns)
        elif isinstance(record, Ended) and (record.task_id, record.attempt) in began:
            times[record.task_id] = max(0, record.at_ns - began[record.task_id, record.attempt])
    return times


class _Course:
    """One simulation."""

    def __init__(self, domain: str, policy: Policy, times_ns: dict[str, int]) -> None:
        self._state = State(domain)
        self._scheduler = Scheduler(self._state, policy)
        self._policy, self._times_ns = policy, times_ns
        self._usual_ns = int(statistics.median(times_ns.values())) if times_ns else DEFAULT_RUN_NS
        self._running: list[tuple[int, str, int]] = []
        self._now_ns = self._start_ns = 0
        self._used = self._there = 0.0
        self._found = WhatIf(policy.label)

    def run(self, given: Sequence[Head]) -> WhatIf:
        """Let things happen at their times, decide after each time, and count."""
        if not given:
            return self._found
        self._now_ns = min(record.at_ns for record in given)
        self._write(OwnerClaimed(domain=self._state.domain, owner="what-if", epoch=1, at_ns=self._now_ns))
        waiting = sorted(given, key=lambda record: record.at_ns)  # stable: the log's order within an instant
        place = 0
        while place < len(waiting) or self._running:
            self._move_to(
                min(
                    waiting[place].at_ns if place < len(waiting) else NEVER_NS,
                    self._running[0][0] if self._running else NEVER_NS,
                )
            )
            while place < len(waiting) and waiting[place].at_ns <= self._now_ns:
                self._take(waiting[place])
                place += 1
            self._end_attempts()
            self._decide()
        self._found.utilisation = self._used / self._there if self._there else 0.0
        return self._found

    def _move_to(self, now_ns: int) -> None:
        gpus = [device for device in self._state.devices.values() if device.lane == "gpu"]
        passed = now_ns - self._now_ns
        self._used += passed * sum(device.charged_bytes for device in gpus)
        self._there += passed * sum(device.capacity_bytes for device in gpus)
        self._now_ns = now_ns

    def _write(self, record: Head) -> bool:
        ours = changed(record, owner="what-if", epoch=1)
        return not isinstance(self._state.apply(ours), Ignored)

    def _take(self, record: Head) -> None:
        counted = self._write(record)
        self._found.tasks += counted and isinstance(record, TaskAccepted)

    def _head(self) -> dict[str, Any]:
        return {"domain": self._state.domain, "owner": "what-if", "epoch": 1, "at_ns": self._now_ns}

    def _end_attempts(self) -> None:
        while self._running and self._running[0][0] <= self._now_ns:
            _, task_id, attempt = heapq.heappop(self._running)
            about = {**self._head(), "task_id": task_id, "attempt": attempt, "agent": "what-if"}
            self._write(Ended(**about, outcome="SUCCEEDED"))
            self._write(Released(**about))

    def _decide(self) -> None:
        for record in self._scheduler.decide(self._now_ns):
            if not self._write(record):
                continue
            if isinstance(record, Rejected):
                self._found.rejected[record.failure] += 1
            elif isinstance(record, Granted):
                self._begin(record)

    def _begin(self, grant: Granted) -> None:
        task = self._state.tasks[grant.task_id]
        about = {**self._head(), "task_id": grant.task_id, "attempt": grant.attempt, "agent": "what-if"}
        self._write(Started(**about))
        runs_ns = self._times_ns.get(grant.task_id, self._usual_ns)
        heapq.heappush(self._running, (self._now_ns + runs_ns, grant.task_id, grant.attempt))
        self._found.granted += 1
        if grant.cpu_reason is not None:
            self._found.on_cpu[grant.cpu_reason] += 1
        if grant.attempt == 1:
            waited_ms = max(0, self._now_ns - task.submitted_ns) / 1e6
            self._found.waits_ms[self._policy.wait_class(task).name].append(waited_ms)
