"""From a task that is over, as the ledger knows it, to its result. Pure: the same state gives the same bytes.

The owner publishes these for tasks that a decision ended; those that an agent ended are the agent's to
publish, since only it has what the task gave.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.ledger import Task
from orchestrator.ledger.state import Try
from schemas.tasks import Attempt, Failure, FailureCode, TaskResult

_WORDS: dict[str, tuple[str, str]] = {
    "CANCELLED": ("cancelled by its sender", ""),
    "DEADLINE_EXCEEDED": ("its deadline passed", "give a later deadline_ms, or a higher priority"),
    "TOO_LARGE": (
        "larger than any device, and the CPU is not allowed or too small too",
        "ask for less memory_required, or give min_memory",
    ),
    "QUEUE_TIMEOUT": ("no device had room in the time that its class may wait", "submit it again later"),
    "NO_DEVICE": ("there is no device of its kind", "allow cpu_ok, or start an orchestrator on a GPU host"),
    "LOST": ("the agent that had it went away, as often as it may", "submit it again"),
    "BAD_REQUEST": ("the request cannot be read", "see docs/tasks.md"),
}
"""Code to problem and remedy."""

LOST_RESULT = Failure(
    code="LOST",
    problem="it ended, but its agent went away before it said what the task gave",
    remedy="submit it again if you need the result",
)


def result_of(task: Task, *, result_is_lost: bool = False) -> TaskResult:
    """The result of a task that is over, from what the ledger knows.

    Parameters
    ----------
    result_is_lost
        Whether an agent ended it and never published what it gave.
    """
    if not task.is_over:
        raise ValueError(f"{task.task_id} is {task.state}")
    failure = LOST_RESULT if result_is_lost and task.state == "SUCCEEDED" else _failure(task)
    return TaskResult.model_validate(
        {"task_id": task.task_id, "task_type": task.task_type, "state": task.state, "failure": failure}
        | course(task, attempts_of(task.tries))
    )


def course(task: Task, attempts: Sequence[Attempt]) -> dict[str, object]:
    """Where and how long a task was tried, as fields of its result."""
    tries = [Try(*row) for row in task.tries]
    begun = [attempt for attempt in attempts if attempt.started_ns]
    return {
        "attempts": list(attempts),
        "ran_on": begun[-1].gpu_uuids if begun else [],
        "placement": tries[-1].why if tries else "",
        "cpu_reason": task.cpu_reason,
        "queued_ms": (begun[0].started_ns - task.submitted_ns) / 1e6 if begun else None,
        "ran_ms": (begun[-1].ended_ns - begun[-1].started_ns) / 1e6 if begun else None,
        "peak_memory_bytes": max(
            (a.peak_memory_bytes for a in attempts if a.peak_memory_bytes is not None), default=None
        ),
    }


def attempts_of(rows: Sequence[Sequence[object]]) -> list[Attempt]:
    """The attempts that are over, as results tell them."""
    return [_attempt(Try(*row)) for row in rows]  # type: ignore[arg-type]


def _attempt(tried: Try) -> Attempt:
    failure = None
    if tried.failure is not None:
        failure = Failure(code=tried.failure, problem=tried.detail or _words(tried.failure)[0])
    return Attempt(
        attempt=tried.attempt,
        gpu_uuids=tried.gpu_uuids,
        memory_bytes=tried.memory_bytes,
        started_ns=tried.began_ns,
        ended_ns=tried.ended_ns,
        peak_memory_bytes=tried.peak_memory_bytes,
        failure=failure,
    )


def _failure(task: Task) -> Failure | None:
    if task.failure is None:
        return None
    problem, remedy = _words(task.failure)
    said, field = task.refusal or ("", None)
    if not said and task.tries and Try(*task.tries[-1]).failure == task.failure:
        said = Try(*task.tries[-1]).detail
    return Failure(code=task.failure, problem=said or problem, remedy=remedy, field=field)


def _words(code: FailureCode) -> tuple[str, str]:
    return _WORDS.get(code, (code.replace("_", " ").lower(), ""))
