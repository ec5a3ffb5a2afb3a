"""From a message of ``gpu.tasks`` to the record that takes it in. Pure: a state, a message, a time.

Nothing here makes a duplicate harmless: the fold does, by task id, idempotency key and offset.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from orchestrator.guard import PeakMemory
from orchestrator.ledger import State
from schemas import codec
from schemas.allocations import CancelRequested, Input, Rejected, TaskAccepted
from schemas.errors import FrameError, TapestreamError
from schemas.headers import check_version
from schemas.tasks import TaskCancel, TaskRequest, is_cancel, name_unnamed
from streams import topics

MIB = 1_048_576
MAX_SHRINKS = 4


@dataclass(frozen=True, slots=True)
class TaskNeeds:
    """What a type of task needs when its request does not say."""

    memory_bytes: int = 1024 * MIB
    min_memory_bytes: int = 64 * MIB
    shrinkable: bool = False


Needs = Mapping[str, TaskNeeds]
"""By task type; a type that is not named may still be one that an agent knows."""

UNKNOWN_NEEDS = TaskNeeds()
PEAK_MARGIN = 1.25
"""The limit that a task is held to counts what it reserves, its peak what it used."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of ``gpu.tasks`` and where it lies."""

    partition: int
    offset: int
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def input(self) -> Input:
        """Its coordinates, as records name them."""
        return Input(topics.GPU_TASKS, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A message that is no request at all, so that nobody could be answered: for ``dead.letters``."""

    error: TapestreamError


Taken = TaskAccepted | Rejected | CancelRequested | Undecodable


def take_in(
    state: State,
    message: Message,
    needs: Needs,
    now_ns: int,
    peaks: PeakMemory | None = None,
    underway: Container[str] = (),
) -> Taken:
    """What becomes of a message: a task, a refusal that names the field, a wish to cancel, or a dead letter.

    Parameters
    ----------
    state
        Of its owner, in whose name the record is.
    needs
        The types that the owner has been told of.
    now_ns
        The owner's clock.
    peaks
        What tasks of each type were seen to take.
    underway
        Ids of tasks whose records are not in the state yet.
    """
    head: dict[str, Any] = {
        "domain": state.domain,
        "owner": state.owner,
        "epoch": state.epoch,
        "at_ns": now_ns,
        "inputs": (message.input,),
    }
    try:
        check_version(message.headers)
        value = codec.loads(message.value or b"")
    except FrameError as exc:
        return Undecodable(exc)
    if not isinstance(value, dict):
        error = FrameError(f"a task request is an object, was {type(value).__name__}", "see docs/tasks.md")
        return Undecodable(error)
    if is_cancel(value):
        return _cancellation(value, head)
    try:
        request = TaskRequest.model_validate(value)
    except ValidationError as exc:
        given = value.get("task_id")
        is_known = isinstance(given, str) and (given in state.tasks or given in underway)
        return _refused(value, message, exc, head, is_known=is_known)
    known = needs.get(request.task_type, UNKNOWN_NEEDS)
    if peaks is not None:
        known = replace(known, memory_bytes=usual_bytes(state, request.task_type, known, peaks))
    return _accepted(state, request, message, known, head)


def _cancellation(value: Any, head: dict[str, Any]) -> Taken:
    try:
        cancel = TaskCancel.model_validate(value)
    except ValidationError as exc:
        error = exc.errors()[0]
        return Undecodable(FrameError(f"TaskCancel.{_path(error)}: {error['msg']}", "see docs/tasks.md"))
    return CancelRequested(**head, task_id=cancel.task_id, reason=cancel.reason)


def _refused(
    value: dict[str, Any], message: Message, exc: ValidationError, head: dict[str, Any], *, is_known: bool
) -> Rejected:
    """The refusal, under the request's own id; by its coordinates when that is no id, or another task's."""
    problems = exc.errors(include_url=False)
    bad = {error["loc"][0] for error in problems if error["loc"]}
    given = value.get("task_id")
    named = isinstance(given, str) and "task_id" not in bad and not is_known
    error = problems[0]
    field = _path(error)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    whose = f"; {given!r} is another task" if is_known else ""
    return Rejected(
        **head,
        task_id=str(given) if named else name_unnamed(message.partition, message.offset),
        failure="BAD_REQUEST",
        problem=f"{field}: {error['msg']}{more}{whose}",
        field=field,
    )


def _path(error: Any) -> str:
    return ".".join(str(part) for part in error["loc"]) or "request"


def _accepted(
    state: State, request: TaskRequest, message: Message, needs: TaskNeeds, head: dict[str, Any]
) -> TaskAccepted:
    wanted = request.memory_required if request.memory_required is not None else needs.memory_bytes
    least = request.min_memory if request.min_memory is not None else needs.min_memory_bytes
    can_shrink = needs.shrinkable or request.min_memory is not None
    least = min(least, wanted) if can_shrink else wanted
    # A sender's clock may say anything.
    submitted_ns = min(max(0, message.timestamp_ms) * 1_000_000, head["at_ns"])
    return TaskAccepted(
        **head,
        task_id=request.task_id or name_unnamed(message.partition, message.offset),
        task_type=request.task_type,
        submitted_ns=submitted_ns,
        memory_bytes=wanted,
        min_memory_bytes=least,
        cpu_bytes=cpu_bytes(state, wanted, least),
        priority=request.priority,
        deadline_ns=submitted_ns + request.deadline_ms * 1_000_000 if request.deadline_ms else 0,
        devices=request.devices,
        cpu_ok=request.cpu_ok,
        only_on=tuple(request.only_on),
        idempotency_key=request.idempotency_key or "",
        shrinks=MAX_SHRINKS,
    )


def usual_bytes(state: State, task_type: str, needs: TaskNeeds, peaks: PeakMemory) -> int:
    """What a task gets that does not say: its type's guess, or more when such tasks were seen to need it.

    Never less than the guess: a task is held to what it gets, and the peak is of 95 % of the tasks only.
    """
    has_gpu = any(device.lane == "gpu" for device in state.devices.values())
    seen = peaks.estimate(task_type, "gpu" if has_gpu else "cpu").peak_bytes
    return needs.memory_bytes if seen is None else max(needs.memory_bytes, int(seen * PEAK_MARGIN))


def cpu_bytes(state: State, wanted: int, least: int) -> int:
    """What a task takes on the CPU: as much as on a GPU, unless no pool of CPU slots is so large.

    Then halves of it, down to one slot's share of the largest pool and no lower than ``least``.
    """
    pools: Iterable[tuple[int, int]] = (
        (device.capacity_bytes, device.slots) for device in state.devices.values() if device.kind == "cpu"
    )
    capacity, slots = max(pools, default=(wanted, 1))
    found = wanted
    if found > capacity:
        while found > capacity // slots and found > least:
            found = max(least, found // 2)
    return found
