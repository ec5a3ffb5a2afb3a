"""Tasks as people see them: a small read model of ``gpu.tasks``, the allocation log and ``gpu.results``.

It shows what the log says, accepted or not, so a state may be ahead by a proposal; the result is what counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from schemas import allocations, codec
from schemas.allocations import Ended, Granted, Reclaiming, Rejected, Started, TaskAccepted
from schemas.errors import FrameError, LedgerError
from schemas.tasks import TERMINAL, TaskProgress, TaskResult, name_unnamed
from streams import topics

NOTHING = "-"


@dataclass(slots=True)
class TaskRow:
    """What is known of one task."""

    task_id: str
    task_type: str = ""
    state: str = "SUBMITTED"
    devices: tuple[str, ...] = ()
    attempt: int = 0
    progress: TaskProgress | None = None
    result: TaskResult | None = None

    @property
    def is_over(self) -> bool:
        """Whether its result is there."""
        return self.state in TERMINAL

    def as_dict(self) -> dict[str, Any]:
        """For programs; the result as it is on the topic."""
        found: dict[str, Any] = {
            "task_id": self.task_id,
            "task_type": self.task_type,
            "state": self.state,
            "devices": list(self.devices),
            "attempt": self.attempt,
        }
        if self.result is not None:
            return found | self.result.model_dump(mode="json", exclude_none=True)
        if self.progress is not None:
            found |= {"progress": self.progress.progress, "stage": self.progress.stage}
        return found

    def line(self) -> str:
        """For people."""
        parts = [f"{self.task_id}  {self.task_type}  {self.state}"]
        if self.devices:
            parts.append(f"on {', '.join(self.devices)}")
        result = self.result
        if result is None:
            if self.progress is not None:
                parts.append(f"{self.progress.progress:.0%} {self.progress.stage}")
            return "  ".join(parts)
        if result.cpu_reason:
            parts.append(f"(CPU: {result.cpu_reason})")
        if result.ran_ms is not None:
            parts.append(f"waited {result.queued_ms or 0:,.0f} ms, ran {result.ran_ms:,.0f} ms")
        if len(result.attempts) > 1:
            parts.append(f"{len(result.attempts)} attempts")
        if result.failure is not None:
            remedy = f" ({result.failure.remedy})" if result.failure.remedy else ""
            parts.append(f"{result.failure.code}: {result.failure.problem}{remedy}")
        return "  ".join(parts)


class TaskTable:
    """All tasks, or one.

    Parameters
    ----------
    only
        The one task to keep.
    """

    def __init__(self, only: str | None = None) -> None:
        self.rows: dict[str, TaskRow] = {}
        self._only = only

    def take_in(self, topic: str, value: bytes | None, partition: int, offset: int) -> None:
        """Read a message; what it cannot read it passes over."""
        if value is None or (self._only is not None and self._only.encode() not in value):
            return
        with suppress(FrameError, LedgerError, KeyError, TypeError):
            if topic.endswith(topics.ALLOCATIONS):
                self._decision(value)
            elif topic.endswith(topics.GPU_RESULTS):
                self._answer(value)
            else:
                self._request(value, name_unnamed(partition, offset))

    def _row(self, task_id: str) -> TaskRow:
        if self._only is not None and task_id != self._only:
            return TaskRow(task_id)  # of no further use
        return self.rows.setdefault(task_id, TaskRow(task_id))

    def _request(self, value: bytes, own_id: str) -> None:
        found = codec.loads(value)
        if not isinstance(found, dict) or "cancel" in found:
            return
        row = self._row(str(found.get("task_id") or own_id))
        row.task_type = row.task_type or str(found.get("task_type", ""))

    def _answer(self, value: bytes) -> None:
        found = codec.loads(value)
        row = self._row(found["task_id"])
        if "state" not in found:
            row.progress = codec.decode(TaskProgress, value)
        elif row.result is None:  # the first one counts; others are the same
            row.result = codec.decode(TaskResult, value)
            row.state, row.devices = row.result.state, tuple(row.result.ran_on)
            row.task_type = row.result.task_type or row.task_type
            row.attempt = len(row.result.attempts)

    def _decision(self, value: bytes) -> None:
        record = allocations.decode(value)
        task_id = getattr(record, "task_id", None)
        if task_id is None:
            return
        row = self._row(task_id)
        if row.result is not None:
            return
        if isinstance(record, TaskAccepted):
            row.state, row.task_type = "QUEUED", record.task_type
        elif isinstance(record, Granted):
            row.state, row.devices, row.attempt = "GRANTED", record.gpu_uuids, record.attempt
        elif isinstance(record, Started):
            row.state = "RUNNING"
        elif isinstance(record, Reclaiming):
            row.state = "RECLAIMING"
        elif isinstance(record, Ended | Rejected):
            row.state = "ENDING"  # until its result is there


def table(rows: Iterable[TaskRow]) -> Table:
    """The tasks for a terminal."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("task", "type", "state", "where", "waited ms", "ran ms", "tries", "why"):
        shown.add_column(column, overflow="fold")
    for row in rows:
        result = row.result
        why = NOTHING
        if result is not None and result.failure is not None:
            why = f"{result.failure.code}: {result.failure.problem}"
        elif result is not None and result.cpu_reason:
            why = f"CPU: {result.cpu_reason}"
        shown.add_row(
            row.task_id,
            row.task_type,
            row.state,
            ", ".join(row.devices) or NOTHING,
            f"{result.queued_ms:,.0f}" if result and result.queued_ms is not None else NOTHING,
            f"{result.ran_ms:,.0f}" if result and result.ran_ms is not None else NOTHING,
            str(row.attempt) if row.attempt else NOTHING,
            why,
        )
    return shown
