"""Task requests and what becomes of them: the messages of ``gpu.tasks`` and ``gpu.results``.

A task ends in exactly one of the terminal states. Everything that goes wrong is a :class:`Failure` with a
code from one list, so that a client can branch on it without reading prose.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from schemas.devices import Bytes
from schemas.messages import Message

TaskState = Literal[
    "QUEUED",
    "GRANTED",
    "RUNNING",
    "RECLAIMING",
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "REJECTED",
]

TerminalState = Literal["SUCCEEDED", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED", "REJECTED"]

TERMINAL: frozenset[str] = frozenset(("SUCCEEDED", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED", "REJECTED"))

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@-]+$")]

FailureCode = Literal[
    "BAD_REQUEST",  # the request or its data; `field` says where
    "UNKNOWN_TASK_TYPE",
    "TOO_LARGE",  # for any device, and the CPU was not allowed or has too little too
    "QUEUE_TIMEOUT",
    "NO_DEVICE",
    "OUT_OF_MEMORY",  # after every smaller retry
    "CRASHED",  # the child died: signal or exit code in the problem
    "LOST",  # the agent that ran it went away
    "TASK_ERROR",  # the task's own code raised
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "TIMED_OUT",  # ran longer than its type may
    "RESULT_TOO_LARGE",
]

MAX_DEADLINE_MS = 100 * 366 * 86_400_000
"""A hundred years: a time in ns that far ahead still fits 64 bits."""

MAX_DEPTH = 100
"""How deep a request's data may be nested. What JSON and the models here can carry ends not far above."""

CpuReason = Literal["NO_GPU", "TOO_LARGE_FOR_ANY", "OOM_EXHAUSTED", "UNHEALTHY", "QUEUE_TIMEOUT", "REQUESTED"]


class TaskRequest(Message):
    """A task that someone wants done; any Kafka client may send it to ``gpu.tasks``, keyed by ``task_id``."""

    task_id: Annotated[Name | None, Field(description="made from the message's coordinates when absent")] = (
        None
    )
    task_type: Name
    data: Annotated[dict[str, Any], Field(description=f"nested at most {MAX_DEPTH} deep")] = Field(
        default_factory=dict
    )
    memory_required: Annotated[
        Bytes | None, Field(description="bytes on one device; the type's own guess when absent")
    ] = None
    min_memory: Annotated[Bytes | None, Field(description="retries after out-of-memory go no lower")] = None
    priority: Annotated[int, Field(ge=0, le=9, description="band; 9 goes first")] = 5
    deadline_ms: Annotated[int | None, Field(gt=0, le=MAX_DEADLINE_MS, description="after submission")] = None
    devices: Annotated[int, Field(ge=1, le=64, description="all at once, on one host, or none")] = 1
    cpu_ok: bool = True
    only_on: Annotated[
        list[Name], Field(max_length=64, description="gpu_uuids or hosts; anywhere when empty")
    ] = Field(default_factory=list)
    idempotency_key: Annotated[str | None, Field(min_length=1, max_length=256)] = None

    @field_validator("data")
    @classmethod
    def _is_not_too_deep(cls, data: dict[str, Any]) -> dict[str, Any]:
        level: list[Any] = [data]
        for _ in range(MAX_DEPTH):
            level = [
                inner
                for outer in level
                for inner in (outer.values() if isinstance(outer, dict) else outer)
                if isinstance(inner, dict | list)
            ]
            if not level:
                return data
        raise ValueError(f"nested more than {MAX_DEPTH} deep")

    @model_validator(mode="after")
    def _least_is_least(self) -> TaskRequest:
        least, wanted = self.min_memory, self.memory_required
        if least is not None and wanted is not None and least > wanted:
            raise ValueError("min_memory must be at most memory_required")
        return self


def name_unnamed(partition: int, offset: int) -> str:
    """The id of a task whose request has none: by where the request lies on ``gpu.tasks``."""
    return f"task-{partition}-{offset}"


class TaskCancel(Message):
    """Ends a task wherever it is; sent to ``gpu.tasks``, told apart by its ``cancel`` field."""

    task_id: Name
    cancel: Literal[True] = True
    reason: Annotated[str, Field(max_length=256)] = ""


def is_cancel(value: dict[str, Any]) -> bool:
    """Whether a message of ``gpu.tasks`` is meant as a :class:`TaskCancel`, right or wrong."""
    return "cancel" in value


class Failure(Message):
    """Why a task did not succeed, and what its sender can do about it."""

    code: FailureCode
    problem: str
    remedy: str = ""
    field: Annotated[str | None, Field(description="path of the request's field at fault")] = None


class Attempt(Message):
    """One try of a task."""

    attempt: Annotated[int, Field(ge=1)]
    gpu_uuids: list[str]
    memory_bytes: Annotated[Bytes, Field(description="granted on each device")]
    started_ns: int
    ended_ns: int
    peak_memory_bytes: Annotated[Bytes | None, Field(description="null where it could not be measured")] = (
        None
    )
    failure: Failure | None = None


class TaskResult(Message):
    """The end of a task: one message a task on ``gpu.results``, whatever became of it."""

    task_id: Name
    task_type: str
    state: TerminalState
    result: Any = None
    result_path: Annotated[
        str | None, Field(description="Parquet under the data folder, when it is large")
    ] = None
    failure: Failure | None = None
    ran_on: list[str] = Field(
        default_factory=list, description="gpu_uuids of the last attempt; empty when it never ran"
    )
    placement: Annotated[str, Field(description="why there, for people")] = ""
    cpu_reason: Annotated[
        CpuReason | None, Field(description="why on the CPU; null when it ran on a GPU")
    ] = None
    queued_ms: float | None = None
    ran_ms: float | None = None
    peak_memory_bytes: Bytes | None = None
    attempts: list[Attempt] = Field(default_factory=list)


class TaskProgress(Message):
    """How far a running task is; on ``gpu.results`` too, told apart by its ``progress`` field."""

    task_id: Name
    attempt: Annotated[int, Field(ge=1)]
    progress: Annotated[float, Field(ge=0, le=1)]
    stage: str = ""
