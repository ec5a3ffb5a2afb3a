"""What comes after an attempt that did not succeed. Part of the fold: every reader must come to the same end.

Each way to go on has a budget that only falls, and bytes only fall while a task stays on one kind of device,
so every task comes to an end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from schemas.allocations import Lane
from schemas.tasks import CpuReason, FailureCode

if TYPE_CHECKING:
    from orchestrator.ledger.state import Task


@dataclass(frozen=True, slots=True)
class Retry:
    """The next attempt: where, with how many bytes a device, and what is left of the budgets."""

    lane: Lane
    memory_bytes: int
    shrinks: int
    losses: int
    preemptions: int
    cpu_reason: CpuReason | None


def after(task: Task, failure: FailureCode | None, *, preempted: bool = False) -> Retry | None:
    """The next attempt of a task, or None when this was the last one.

    OUT_OF_MEMORY halves the bytes down to the task's least, then goes to the CPU where that is allowed;
    CRASHED and LOST try the same again. No other failure is tried again, least of all bad input.
    """
    if preempted:
        return _same(task, preemptions=task.preemptions - 1) if task.preemptions else None
    if failure == "OUT_OF_MEMORY":
        return _smaller(task) or _on_the_cpu(task)
    if failure in ("CRASHED", "LOST") and task.losses:
        return _same(task, losses=task.losses - 1)
    return None


def shrunk(task: Task) -> Retry | None:
    """The next attempt of a task whose device ran low: half the bytes; None when it cannot be cut."""
    smaller = _smaller(task) if task.preemptions else None
    return None if smaller is None else replace(smaller, preemptions=task.preemptions - 1)


def _same(task: Task, *, losses: int | None = None, preemptions: int | None = None) -> Retry:
    return Retry(
        task.lane,
        task.memory_bytes,
        task.shrinks,
        task.losses if losses is None else losses,
        task.preemptions if preemptions is None else preemptions,
        task.cpu_reason,
    )


def _smaller(task: Task) -> Retry | None:
    halved = max(task.min_memory_bytes, task.memory_bytes // 2)
    if task.shrinks == 0 or halved >= task.memory_bytes:
        return None
    return Retry(task.lane, halved, task.shrinks - 1, task.losses, task.preemptions, task.cpu_reason)


def _on_the_cpu(task: Task) -> Retry | None:
    if task.lane == "cpu" or not task.cpu_ok:
        return None
    return Retry("cpu", task.cpu_bytes, task.shrinks, task.losses, task.preemptions, "OOM_EXHAUSTED")
