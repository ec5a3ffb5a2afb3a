"""What the runner is asked for and what it answers. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from schemas.tasks import Attempt, Failure, TaskRequest

OutcomeState = Literal["SUCCEEDED", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt of a task, as granted.

    Parameters
    ----------
    task
        The request; its ``task_id`` is set.
    attempt
        From 1; with the task's id it names the result's file.
    devices
        ``gpu_uuid`` of each device: GPUs, MIG instances, or one pool of CPU slots (``CPU-<host>``).
    memory_bytes
        Granted on each device.
    deadline_ns
        When it must have ended, ns since 1970-01-01 UTC; None for never.
    lease
        The right it runs under; recorded with the child, never interpreted.
    """

    task: TaskRequest
    attempt: int
    devices: tuple[str, ...]
    memory_bytes: int
    deadline_ns: int | None = None
    lease: str = ""

    @property
    def task_id(self) -> str:
        """The task's id."""
        assert self.task.task_id is not None
        return self.task.task_id


@dataclass(frozen=True, slots=True)
class ChildIdentity:
    """A child process, such that no later process with the same pid is taken for it.

    Attributes
    ----------
    started_ticks
        Start time in clock ticks since the machine's start, as the kernel has it.
    lease
        Of the attempt that it runs.
    """

    pid: int
    started_ticks: int
    lease: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes
    ----------
    result
        Plain JSON data; None when there is none, or when all of it is in the file.
    result_path
        Of the Parquet file, relative to the data folder.
    attempt
        For :attr:`schemas.tasks.TaskResult.attempts`: where, when, how much, and the failure.
    child
        Who ran it; None when nothing was started.
    child_kept
        Whether the child waits for the next task; else it has ended, and its memory is free.
    """

    state: OutcomeState
    attempt: Attempt
    result: Any = None
    result_path: str | None = None
    child: ChildIdentity | None = None
    child_kept: bool = False

    @property
    def failure(self) -> Failure | None:
        """Why it did not succeed."""
        return self.attempt.failure
