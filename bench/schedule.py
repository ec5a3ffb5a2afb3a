"""A simulated cluster: how many decisions a second, how long tasks wait, and what a decision costs.

Tasks arrive by a seeded Poisson process at ``load`` of what the cluster can do, of three classes and of sizes
from 1 to 40 GB, and run for exponential times. Everything is the real thing except time and the work itself:
requests are accepted, :class:`~orchestrator.scheduling.Scheduler` decides, the fold takes each record in,
agents answer at once. Time is simulated, so nothing waits.
"""

from __future__ import annotations

import heapq
import platform
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orchestrator.ledger import Ignored, State
from orchestrator.policies import Policy, named_policy
from orchestrator.scheduling import Scheduler
from schemas.allocations import (
    DeviceSeen,
    Ended,
    Granted,
    Head,
    HealthChanged,
    OwnerClaimed,
    Released,
    Started,
    TaskAccepted,
    Tick,
)

GIB = 1_073_741_824
SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
MEAN_RUN_S = 30.0
ARRIVALS_A_STEP = 64
"""The owner decides whenever about so many tasks have come: 21 times a second with 10,000 devices."""

PRIORITIES = ((9, 0.1), (5, 0.6), (1, 0.3))
SIZES_GIB = (1, 2, 5, 10, 20, 40)
GANG_SHARE = 0.01
SLOTS = 4


@dataclass
class Cluster:
    """The simulation's clock, ledger and agents."""

    devices: int
    policy: Policy
    seed: int = 3
    now_ns: int = START_NS
    decisions: int = 0
    deciding_s: float = 0.0
    waits_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _running: list[tuple[int, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.state = State("pool", keep_ended_ns=60 * SECOND_NS)
        self.write(OwnerClaimed(**self._head()))
        for number in range(self.devices):
            uuid, host = f"GPU-{number:08x}", f"host-{number // 8}"
            self.write(
                DeviceSeen(
                    **self._head(),
                    gpu_uuid=uuid,
                    device_kind="gpu",
                    host=host,
                    capacity_bytes=80 * GIB,
                    slots=SLOTS,
                )
            )
            self.write(HealthChanged(**self._head(), gpu_uuid=uuid, health="HEALTHY"))
        self.scheduler = Scheduler(self.state, self.policy)
        self.scheduler.decide(self.now_ns)

    def _head(self) -> dict[str, Any]:
        return {"domain": "pool", "owner": "o", "epoch": 1, "at_ns": self.now_ns}

    def write(self, record: Head) -> None:
        """Append to the log: the fold must accept it."""
        if isinstance(verdict := self.state.apply(record), Ignored):
            raise AssertionError(f"{verdict.reason}: {record}")

    def is_busy(self) -> bool:
        """Whether anything runs or waits."""
        return bool(self._running) or self.scheduler.waiting() > 0

    def submit(self, number: int) -> None:
        """A request arrives."""
        memory = self.chance.choice(SIZES_GIB) * GIB
        priority = self.chance.choices([p for p, _ in PRIORITIES], [share for _, share in PRIORITIES])[0]
        gang = self.chance.random() < GANG_SHARE
        self.write(
            TaskAccepted(
                **self._head(),
                task_id=f"t{number}",
                task_type="any",
                submitted_ns=self.now_ns,
                memory_bytes=memory,
                min_memory_bytes=memory,
                cpu_bytes=memory,
                priority=priority,
                devices=2 if gang else 1,
                cpu_ok=False,
            )
        )

    def step(self) -> None:
        """Attempts that are over are released, then the owner decides and the agents begin."""
        self.write(Tick(**self._head()))
        while self._running and self._running[0][0] <= self.now_ns:
            _, name, attempt = heapq.heappop(self._running)
            about = {**self._head(), "task_id": name, "attempt": attempt, "agent": "a"}
            self.write(Ended(**about, outcome="SUCCEEDED"))
            self.write(Released(**about))
        begin = time.perf_counter()
        records = self.scheduler.decide(self.now_ns)
        self.deciding_s += time.perf_counter() - begin
        self.decisions += len(records)
        for record in records:
            self.write(record)
            if isinstance(record, Granted):
                self._begin(record)

    def _begin(self, grant: Granted) -> None:
        self.write(Started(**self._head(), task_id=grant.task_id, attempt=grant.attempt, agent="a"))
        task = self.state.tasks[grant.task_id]
        waited_s = (self.now_ns - task.submitted_ns) / SECOND_NS
        self.waits_s[self.policy.wait_class(task).name].append(waited_s)
        runs_ns = int(self.chance.expovariate(1.0 / MEAN_RUN_S) * SECOND_NS)
        heapq.heappush(self._running, (self.now_ns + runs_ns, grant.task_id, grant.attempt))


def rate_per_s(devices: int, load: float) -> float:
    """Arrivals that keep ``load`` of all slots busy."""
    return load * devices * SLOTS / MEAN_RUN_S


def arrivals(cluster: Cluster, tasks: int, load: float) -> Iterator[int]:
    """Times of arrival at ``load`` of the slots that the cluster has."""
    rate = rate_per_s(cluster.devices, load)
    at_ns = float(START_NS)
    for _ in range(tasks):
        at_ns += cluster.chance.expovariate(rate) * SECOND_NS
        yield int(at_ns)


def simulate(devices: int, tasks: int, *, load: float = 1.02, policy: Policy | None = None) -> dict[str, Any]:
    """Run one cluster until every task is over.

    ``load`` is of the slots; a little above one, so that a queue builds up.
    """
    # Attempts of this simulation never renew, so their leases must outlast them.
    policy = policy or Policy(lease_ns=3_600 * SECOND_NS)
    cluster = Cluster(devices, policy)
    step_ns = int(ARRIVALS_A_STEP / rate_per_s(devices, load) * SECOND_NS)
    begin = time.perf_counter()
    longest = 0
    for number, at_ns in enumerate(arrivals(cluster, tasks, load)):
        while at_ns > cluster.now_ns:
            longest = max(longest, cluster.scheduler.waiting())
            cluster.now_ns += step_ns
            cluster.step()
        cluster.submit(number)
    while cluster.is_busy():
        cluster.now_ns += step_ns
        cluster.step()
    wall_s = time.perf_counter() - begin
    return {
        "devices": devices,
        "tasks": tasks,
        "wall_s": round(wall_s, 2),
        "decisions": cluster.decisions,
        "decisions_per_s": round(cluster.decisions / wall_s),
        "decision_us": round(cluster.deciding_s / max(1, cluster.decisions) * 1e6, 1),
        "longest_queue": longest,
        "p99_wait_by_class": {
            name: round(float(np.percentile(waits, 99)), 3) for name, waits in sorted(cluster.waits_s.items())
        },
        "simulated_s": round((cluster.now_ns - START_NS) / SECOND_NS, 1),
    }


def run(
    devices: int = 10_000,
    tasks: int = 1_000_000,
    growth: tuple[int, ...] = (100, 1_000, 10_000),
    growth_tasks_a_device: int = 10,
    least_growth_tasks: int = 20_000,
    policy: str = "default",
) -> dict[str, Any]:
    """The large cluster, and how the cost of a decision grows with the number of devices.

    Returns
    -------
    dict
        Of the large one ``decisions_per_s`` over all of ``wall_s`` (requests, fold, agents and all),
        ``decision_us`` in the scheduler alone, and ``p99_wait_by_class`` in seconds of simulated time;
        ``growth`` has the same of clusters that serve ``growth_tasks_a_device`` tasks a device, and no fewer
        than ``least_growth_tasks``.
    """
    chosen = named_policy(policy, {"lease_ns": 3_600 * SECOND_NS})
    return {
        "name": "schedule",
        **simulate(devices, tasks, policy=chosen),
        "policy": chosen.label,
        "growth": [
            simulate(count, max(least_growth_tasks, growth_tasks_a_device * count), policy=chosen)
            for count in growth
        ],
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
    }
