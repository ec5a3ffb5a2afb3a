"""What a domain's log comes to: its owner, its time, its devices, tasks and leases.

Plain data. It changes only by :meth:`State.apply`, which accepts a record or ignores it with a reason; an
ignored record changes nothing. No clock, no random number, no I/O: the same records give the same state
in every process, bit by bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from schemas.allocations import DeviceKind, Head, Lane, Record
from schemas.devices import Health
from schemas.tasks import TERMINAL, CpuReason, FailureCode, TaskState

if TYPE_CHECKING:
    from orchestrator.ledger.rules import Rules

KEEP_ENDED_NS = 7 * 86_400_000_000_000
"""How long a task that is over is remembered: as long as ``gpu.tasks`` keeps its request."""


@dataclass(slots=True)
class Device:
    """A GPU, a MIG instance or a pool of CPU slots. Bytes are whole devices' and our own bookkeeping.

    ``free + leased + reclaiming = capacity`` always.

    Attributes
    ----------
    stopped
        Whether the memory guard lets no more be granted here.
    make_room
        Whether it wants an attempt to give its bytes back and go on with fewer.
    """

    gpu_uuid: str
    kind: DeviceKind
    host: str
    capacity_bytes: int
    slots: int
    health: Health = "UNKNOWN"
    leased_bytes: int = 0
    reclaiming_bytes: int = 0
    used_slots: int = 0
    measured_free_bytes: int | None = None
    own_bytes: int | None = None
    stranger_bytes: int | None = None
    warnings: int = 0
    measured_ns: int = 0
    stopped: bool = False
    make_room: bool = False

    @property
    def charged_bytes(self) -> int:
        """What is promised or not yet back."""
        return self.leased_bytes + self.reclaiming_bytes

    @property
    def free_bytes(self) -> int:
        """Capacity that the ledger has not promised to anyone."""
        return self.capacity_bytes - self.leased_bytes - self.reclaiming_bytes

    @property
    def lane(self) -> Lane:
        """The kind of work that it takes."""
        return "cpu" if self.kind == "cpu" else "gpu"


@dataclass(slots=True)
class Task:
    """An accepted request. ``lane``, ``memory_bytes`` and the budgets are those of the next attempt.

    Attributes
    ----------
    number
        Its place in the order of acceptance, from 1.
    attempt
        How many attempts were granted.
    queued_ns
        Since when it waits for this attempt, by the ledger's time.
    ended_by
        What shall end it as soon as its attempt is over: its sender, its deadline.
    tries
        The attempts that are over, as rows of :class:`Try`'s fields: they go into the task's result.
    closed_by
        The agent whose word was the end of the task; empty when a decision was.
    refusal
        Of a rejected task: the problem, and the request's field at fault.
    """

    task_id: str
    task_type: str
    number: int
    submitted_ns: int
    memory_bytes: int
    min_memory_bytes: int
    cpu_bytes: int
    priority: int = 5
    deadline_ns: int = 0
    devices: int = 1
    cpu_ok: bool = True
    lane: Lane = "gpu"
    only_on: tuple[str, ...] = ()
    idempotency_key: str = ""
    shrinks: int = 0
    losses: int = 0
    preemptions: int = 0
    state: TaskState = "QUEUED"
    attempt: int = 0
    queued_ns: int = 0
    cpu_reason: CpuReason | None = None
    ended_by: Literal["CANCELLED", "DEADLINE_EXCEEDED"] | None = None
    failure: FailureCode | None = None
    origin: str = ""
    tries: list[list[Any]] = field(default_factory=list)
    closed_by: str = ""
    refusal: list[str | None] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether it is in one of its terminal states."""
        return self.state in TERMINAL


@dataclass(slots=True)
class Lease:
    """The right of one attempt to its devices; with ``reclaiming`` it is gone, and the bytes are not back."""

    task_id: str
    attempt: int
    gpu_uuids: tuple[str, ...]
    memory_bytes: int
    lease_ns: int
    expires_ns: int
    granted_ns: int
    agent: str = ""
    started_ns: int = 0
    reclaiming: bool = False
    began_ns: int = 0
    why: str = ""


class Try(NamedTuple):
    """An attempt that is over.

    Its times are the clock of the agent that ran it, or of the owner where no agent spoke; ``began_ns`` is 0
    when it never began.
    """

    attempt: int
    gpu_uuids: list[str]
    memory_bytes: int
    began_ns: int
    ended_ns: int
    peak_memory_bytes: int | None
    failure: FailureCode | None
    detail: str
    why: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The record counts."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The record does not count; ``reason`` is the name of the check that it failed."""

    reason: str


ACCEPTED = Accepted()
Verdict = Accepted | Ignored


@dataclass(slots=True)
class State:
    """The fold of one domain's log.

    Parameters
    ----------
    domain
        Records of other domains are ignored.
    rules
        The checks and effects of each type of record; :data:`orchestrator.ledger.rules.RULES` when absent.
    keep_ended_ns
        Tasks that ended longer ago than this are forgotten when the ledger's time moves.

    Attributes
    ----------
    leases
        By task id: a task has one attempt at a time.
    next_inputs
        (topic, partition) to the offset after the last request that counted: where a new owner reads on.
    changed_tasks, changed_devices
        Whose entries changed since a scheduler emptied these sets; None where nobody asks. No part of the
        state.
    """

    domain: str
    rules: Rules | None = field(default=None, compare=False, repr=False)
    keep_ended_ns: int = KEEP_ENDED_NS
    owner: str = ""
    epoch: int = 0
    now_ns: int = 0
    policy: str = ""
    policy_options: str = ""
    accepted_tasks: int = 0
    devices: dict[str, Device] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    next_inputs: dict[tuple[str, int], int] = field(default_factory=dict)
    ended: deque[tuple[int, str]] = field(default_factory=deque)
    changed_tasks: set[str] | None = field(default=None, compare=False)
    changed_devices: set[str] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.rules is None:
            from orchestrator.ledger.rules import RULES  # the rules know the state's types

            self.rules = RULES

    def verdict(self, record: Head) -> Verdict:
        """Whether the record would count now; changes nothing."""
        for name, check in self.rules[type(record)].checks:  # type: ignore[index]
            if not check(self, record):
                return Ignored(name)
        return ACCEPTED

    def apply(self, record: Record | Head) -> Verdict:
        """Take the next record of the log in; an ignored one changes nothing."""
        rule = self.rules[type(record)]  # type: ignore[index]
        for name, check in rule.checks:
            if not check(self, record):
                return Ignored(name)
        rule.effect(self, record)
        return ACCEPTED

    def copy(self) -> State:
        """A state of its own that goes on from here; nobody's changes are counted in it."""
        return replace(
            self,
            devices={uuid: replace(device) for uuid, device in self.devices.items()},
            tasks={name: replace(task) for name, task in self.tasks.items()},
            leases={name: replace(lease) for name, lease in self.leases.items()},
            keys=dict(self.keys),
            next_inputs=dict(self.next_inputs),
            ended=deque(self.ended),
            changed_tasks=None,
            changed_devices=None,
        )


def fold(domain: str, records: Iterable[Head], rules: Rules | None = None) -> State:
    """The state after these records."""
    state = State(domain, rules)
    for record in records:
        state.apply(record)
    return state
