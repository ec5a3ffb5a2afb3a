"""Which tasks have their result on ``gpu.results``: the owner publishes what is missing and no more."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.endings import result_of
from orchestrator.ledger import State, Task
from schemas import codec
from schemas.errors import FrameError
from schemas.tasks import TaskResult

LAST_RESORT_NS = 120_000_000_000
"""How long a task that an agent ended may be without its result, before the owner gives it one."""


def task_of_result(value: bytes | None) -> str | None:
    """The task whose result a message of ``gpu.results`` is; None for progress and unreadable ones."""
    try:
        found = codec.loads(value or b"")
    except FrameError:
        return None
    if not isinstance(found, dict) or "state" not in found:
        return None
    task_id = found.get("task_id")
    return task_id if isinstance(task_id, str) else None


@dataclass(slots=True)
class ResultsWatch:
    """Tasks that are over and whose result was not seen yet, of one owner.

    Parameters
    ----------
    state
        The owner's; must have been folded as far as the results were read.
    """

    state: State
    published: set[str] = field(default_factory=set)
    _open: dict[str, None] = field(default_factory=dict)

    def begin(self) -> None:
        """Look at every task that the ledger remembers, once."""
        for task_id, task in self.state.tasks.items():
            if task.is_over:
                self.ended(task_id)

    def ended(self, task_id: str) -> None:
        """A task may be over now."""
        task = self.state.tasks.get(task_id)
        if task is not None and task.is_over and task_id not in self.published:
            self._open[task_id] = None

    def saw(self, task_id: str) -> None:
        """Its result is on the topic."""
        self.published.add(task_id)
        self._open.pop(task_id, None)

    def due(self, now_ns: int) -> list[TaskResult]:
        """The results that the owner must publish now; they stay due until :meth:`saw`."""
        return [result for task_id in list(self._open) if (result := self._due(task_id, now_ns)) is not None]

    def _due(self, task_id: str, now_ns: int) -> TaskResult | None:
        task = self.state.tasks.get(task_id)
        if task is None:  # forgotten meanwhile, and its result with it
            self._open.pop(task_id)
            return None
        if not task.closed_by:
            return result_of(task)
        if now_ns - _ended_ns(task) >= LAST_RESORT_NS:
            return result_of(task, result_is_lost=True)
        return None


def _ended_ns(task: Task) -> int:
    return int(task.tries[-1][4]) if task.tries else 0
