"""The records of ``orchestrator.allocations``, the log that says who may use which device.

An orchestrator writes what it saw and what it proposes; an agent writes what became of an attempt. Whether
a record counts is not for its writer to say: every reader folds the log with the same code, which accepts
it or ignores it. A record names the inputs that it rests on, the policy that chose it, and the owner and
epoch in whose name it was written, so that each decision can be derived anew.

These are msgspec structs: JSON is decoded and checked in one pass, in about a microsecond a record
(docs/decisions/0010). The only module that knows msgspec.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec

from schemas.devices import Health
from schemas.errors import LedgerError
from schemas.tasks import CpuReason, FailureCode, TerminalState

Lane = Literal["gpu", "cpu"]
DeviceKind = Literal["gpu", "mig", "cpu"]
ReclaimCause = Literal["LEASE_EXPIRED", "DEVICE_UNHEALTHY", "PREEMPTED", "MEMORY_LOW"]

Bytes = Annotated[int, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Agent = Annotated[str, msgspec.Meta(min_length=1)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]

DECIDED_ELSEWHERE = -1
"""The ``basis`` of a record that does not come of a decision."""


class Input(msgspec.Struct, frozen=True, array_like=True):
    """Coordinates of a message; ``["gpu.tasks", 3, 817]`` in JSON."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What all records have.

    Attributes
    ----------
    domain
        The host or pool; also the key of the message. Each domain is a ledger of its own.
    owner, epoch
        In whose name: the orchestrator and its epoch; in an agent's record those of the grant it answers.
    at_ns
        The writer's clock, ns since 1970-01-01 UTC.
    policy
        ``name/version`` of the policy that chose it.
    inputs
        The messages that it rests on.
    basis
        Of a decision: the last offset of this log that had been folded when it was made.
    """

    domain: str
    owner: str
    epoch: int
    at_ns: int
    policy: str = ""
    inputs: tuple[Input, ...] = ()
    basis: int = DECIDED_ELSEWHERE


class OwnerClaimed(Head, frozen=True, tag="owner_claimed"):
    """``owner`` takes the domain with ``epoch``, which is the one after the present."""


class DeviceSeen(Head, frozen=True, tag="device_seen"):
    """A device that the ledger did not know; its health is UNKNOWN until a record says otherwise."""

    gpu_uuid: str
    device_kind: DeviceKind
    host: str
    capacity_bytes: Bytes
    slots: AtLeastOne = 1


class HealthChanged(Head, frozen=True, tag="health_changed"):
    """A device moves to another state of health; ``reasons`` are for people."""

    gpu_uuid: str
    health: Health
    reasons: tuple[str, ...] = ()


class CapacityMeasured(Head, frozen=True, tag="capacity_measured"):
    """What a device has and what is used of it, when that differs enough from what the ledger knows.

    ``free_bytes`` is what nobody uses, ``own_bytes`` what processes use that we started; None when unknown.
    """

    gpu_uuid: str
    capacity_bytes: Bytes
    free_bytes: Bytes | None = None
    own_bytes: Bytes | None = None
    stranger_bytes: Bytes | None = None
    warnings: Count = 0


class AdmissionChanged(Head, frozen=True, tag="admission_changed"):
    """The memory guard stops or resumes grants on a device, or wants one of its attempts to shrink.

    ``make_room`` stands until an attempt there is reclaimed for it, or another record says otherwise.
    """

    gpu_uuid: str
    stopped: bool
    make_room: bool = False
    reason: str = ""


class TaskAccepted(Head, frozen=True, tag="task_accepted"):
    """A request that will be served; ``inputs[0]`` is where it lies on ``gpu.tasks``.

    ``memory_bytes`` are on each of ``devices`` devices; ``min_memory_bytes`` is as much when the task cannot
    be cut smaller; ``cpu_bytes`` is what it takes on the CPU. ``deadline_ns`` is a time, 0 for none.
    ``only_on`` names devices or hosts. ``shrinks`` and ``losses`` are how many retries it may cost to run
    out of memory, and to crash or get lost.
    """

    task_id: str
    task_type: str
    submitted_ns: int
    memory_bytes: Bytes
    min_memory_bytes: Bytes
    cpu_bytes: Bytes
    priority: int = 5
    deadline_ns: int = 0
    devices: AtLeastOne = 1
    cpu_ok: bool = True
    lane: Lane = "gpu"
    only_on: tuple[str, ...] = ()
    idempotency_key: str = ""
    shrinks: Count = 8
    losses: Count = 3
    preemptions: Count = 2


class Granted(Head, frozen=True, tag="granted"):
    """A proposal: this attempt of the task may use these devices, ``memory_bytes`` on each, all or none."""

    task_id: str
    attempt: AtLeastOne
    gpu_uuids: tuple[str, ...]
    memory_bytes: Bytes
    lease_ns: int
    cpu_reason: CpuReason | None = None
    why: str = ""


class Started(Head, frozen=True, tag="started"):
    """An agent took up the grant. It runs the task only when its own fold has accepted this record."""

    task_id: str
    attempt: AtLeastOne
    agent: Agent


class Renewed(Head, frozen=True, tag="renewed"):
    """The agent is alive and the attempt is running: the lease counts from the ledger's time anew."""

    task_id: str
    attempt: AtLeastOne
    agent: Agent


class Ended(Head, frozen=True, tag="ended"):
    """The attempt is over. The bytes stay charged until :class:`Released`.

    ``failure`` says why it did not succeed; OUT_OF_MEMORY, CRASHED and LOST may lead to another attempt.
    ``detail`` is for people.
    """

    task_id: str
    attempt: AtLeastOne
    agent: Agent
    outcome: TerminalState
    failure: FailureCode | None = None
    peak_memory_bytes: Bytes | None = None
    detail: str = ""


class Reclaiming(Head, frozen=True, tag="reclaiming"):
    """The lease is taken back; the agent is asked to stop, and stops the child after ``grace_ns``."""

    task_id: str
    attempt: AtLeastOne
    cause: ReclaimCause
    grace_ns: int = 0
    detail: str = ""


class Released(Head, frozen=True, tag="released"):
    """The bytes of an attempt are free again, since its process is gone.

    ``agent`` is who saw it go; empty when the owner says so, which counts only where nothing ever ran or
    the devices are lost.
    """

    task_id: str
    attempt: AtLeastOne
    agent: str = ""


class Rejected(Head, frozen=True, tag="rejected"):
    """A request that will not be served: at once, or after it waited."""

    task_id: str
    failure: FailureCode
    problem: str = ""
    field: str | None = None


class CancelRequested(Head, frozen=True, tag="cancel_requested"):
    """The sender wants the task ended."""

    task_id: str
    reason: str = ""


class DeadlinePassed(Head, frozen=True, tag="deadline_passed"):
    """The task's deadline is over; it ends wherever it is."""

    task_id: str


class Tick(Head, frozen=True, tag="tick"):
    """The ledger's time is ``at_ns``: how time enters, and the owner's sign of life."""


class PolicyChanged(Head, frozen=True, tag="policy_changed"):
    """From here on ``policy`` decides; ``options`` is its configuration as JSON text."""

    options: str = ""


class Snapshot(Head, frozen=True, tag="snapshot"):
    """A part of the state as it was after offset ``basis``; valid only with all other parts."""

    part: Count
    parts: AtLeastOne
    digest: str
    rows: str


Record: TypeAlias = (
    OwnerClaimed
    | DeviceSeen
    | HealthChanged
    | CapacityMeasured
    | AdmissionChanged
    | TaskAccepted
    | Granted
    | Started
    | Renewed
    | Ended
    | Reclaiming
    | Released
    | Rejected
    | CancelRequested
    | DeadlinePassed
    | Tick
    | PolicyChanged
    | Snapshot
)

R = TypeVar("R", bound=Head)

RECORDS: tuple[type[Head], ...] = Record.__args__
"""The types of records."""

_DECODER = msgspec.json.Decoder(Record)
_ENCODER = msgspec.json.Encoder()


def kind(record: Head | type[Head]) -> str:
    """The ``kind`` in JSON of a record, or of a type of records."""
    return str(record.__struct_config__.tag)


def changed(record: R, **fields: object) -> R:
    """The same record with other values in some of its fields."""
    return msgspec.structs.replace(record, **fields)


def field_names(record: Head) -> tuple[str, ...]:
    """The names of a record's fields."""
    return record.__struct_fields__


def encode(record: Head) -> bytes:
    """Compact JSON of a record."""
    return _ENCODER.encode(record)


def decode(payload: bytes | bytearray | memoryview | str) -> Record:
    """Parse and check a record.

    Raises
    ------
    LedgerError
        Naming the field at fault.
    """
    try:
        return _DECODER.decode(payload)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise LedgerError(f"no allocation record: {exc}") from exc
