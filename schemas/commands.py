"""What the memory guard asks of the holders of GPU memory, and their answers: messages of ``gpu.commands``.

Told apart by ``type``. Caches can be dropped only by their owner, so a clean-up is a request; the answer says
what it brought.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from schemas import codec
from schemas.alerts import AlertLevel
from schemas.devices import Bytes
from schemas.errors import FrameError
from schemas.messages import Message

PolicyName = Literal["conservative", "moderate", "aggressive"]

Action = Literal[
    "pause_ticks",  # the worker of this device stops fetching its partitions
    "stop_admission",  # no task is granted memory here
    "clean_at_task_boundary",  # each task's caches go when it ends
    "spill_cudf",
    "cut_batches",  # the next ones are smaller
    "empty_idle_caches",  # of agents that run nothing
    "recycle_idle",  # children that run nothing are ended and started anew
    "preempt_lowest",  # our own lowest-priority task that can shrink is asked to
    "recycle_after_drain",  # each child is ended when its task is
    "end_process",  # one child of ours is ended, if ALLOW_GPU_PROCESS_KILL is on in both services
]

Phase = Literal["begin", "renew", "end", "once"]


LAPSES_MS = 15_000
"""How long a lasting measure holds without being renewed."""


class CleanupCommand(Message):
    """Begin, end or do something about a device's memory."""

    type: Literal["cleanup"] = "cleanup"
    command_id: Annotated[str, Field(description="the answer names it; the same command has the same id")]
    gpu_uuid: str
    action: Action
    phase: Annotated[
        Phase, Field(description="a lasting measure begins, is renewed and ends; others are done once")
    ]
    lapses_ms: Annotated[
        int | None, Field(gt=0, description="a lasting measure ends by itself when not renewed for so long")
    ] = None
    lease: Annotated[str, Field(description="of end_process: whose process, task_id/attempt")] = ""
    level: Annotated[
        AlertLevel | None, Field(description="that led to it; null when memory is well again")
    ] = None
    policy: PolicyName
    at_ns: int


class PolicyCommand(Message):
    """From now on the guard follows this policy."""

    type: Literal["policy"] = "policy"
    policy: PolicyName
    at_ns: int
    requested_by: Annotated[str, Field(max_length=128)] = ""


class CleanupAnswer(Message):
    """What an owner of memory did about a command."""

    type: Literal["answer"] = "answer"
    command_id: str
    gpu_uuid: str
    agent: str
    done: bool
    bytes_before: Annotated[
        Bytes | None, Field(description="that it held on the device; null if unknown")
    ] = None
    bytes_after: Bytes | None = None
    problem: str = ""
    at_ns: int


EndingStage = Literal["intended", "asked", "terminated", "killed", "ended", "refused"]


class ProcessEnding(Message):
    """How far an agent is with ending a child of its own; ``intended`` is on the log before any other."""

    type: Literal["ending"] = "ending"
    command_id: str
    gpu_uuid: str
    agent: str
    stage: EndingStage
    pid: int
    started_ticks: Annotated[int, Field(description="start time, clock ticks since the machine's start")]
    lease: str
    reason: str = ""
    at_ns: int


AllocatorKind = Literal["torch_reserved", "rmm_pool"]


class AllocatorSample(Message):
    """What the allocators of a process, or of an agent's children together, hold on a device."""

    type: Literal["allocator"] = "allocator"
    gpu_uuid: str
    kind: Annotated[AllocatorKind, Field(description="torch's allocator, or RMM's pool")]
    holder: Annotated[str, Field(description="the agent or the worker that says so, once a second")]
    used_bytes: Annotated[Bytes, Field(description="given out or kept for reuse")]
    limit_bytes: Annotated[Bytes, Field(description="that may be used")]
    at_ns: int


GpuCommand = CleanupCommand | PolicyCommand | CleanupAnswer | ProcessEnding | AllocatorSample

_ANY: TypeAdapter[GpuCommand] = TypeAdapter(Annotated[GpuCommand, Field(discriminator="type")])


def decode_command(payload: bytes) -> GpuCommand:
    """Read a message of ``gpu.commands``.

    Raises
    ------
    FrameError
        Naming the first field at fault.
    """
    value = codec.loads(payload)
    try:
        return _ANY.validate_python(value)
    except ValidationError as exc:
        error = exc.errors()[0]
        where = ".".join(str(part) for part in error["loc"]) or "type"
        raise FrameError(f"gpu.commands: {where}: {error['msg']}") from exc
