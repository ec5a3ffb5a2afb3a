"""Results that are on disk before the log says that their task has ended.

A draft is written once, before :class:`~schemas.allocations.Ended`; whoever publishes it, the agent or the
next one on this host, sends the same bytes. A draft outlives the kill of its writer and a power cut: it is
on the disk before :meth:`Outbox.put` returns, which takes milliseconds, so it is no call for an event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from schemas import codec
from schemas.errors import FrameError
from schemas.messages import Message
from schemas.tasks import Failure, FailureCode, TaskResult, TaskState
from streams.files import create_file

FOLDER = "outbox"

_WORDS: dict[str, str] = {
    "CANCELLED": "cancelled by its sender",
    "DEADLINE_EXCEEDED": "its deadline passed",
}


class Draft(Message):
    """What an agent is about to say of an attempt, and the result if that is the task's end."""

    agent: str
    attempt: int = Field(ge=1)
    at_ns: int
    result: TaskResult

    @property
    def task_id(self) -> str:
        """The task."""
        return self.result.task_id

    @property
    def code(self) -> FailureCode | None:
        """Why the attempt did not succeed."""
        return self.result.failure.code if self.result.failure else None

    def final(self, state: TaskState) -> TaskResult:
        """The result as the ledger has it: a failure may have become a cancellation or a passed deadline."""
        if state == self.result.state:
            return self.result
        code: FailureCode = "CANCELLED" if state == "CANCELLED" else "DEADLINE_EXCEEDED"
        failure = Failure(code=code, problem=_WORDS[code])
        return self.result.model_copy(update={"state": state, "failure": failure})


class Outbox:
    """The drafts of all agents of a host that share a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER

    def put(self, draft: Draft) -> Draft:
        """Write a draft down, unless the attempt has one: then that one stands, and is returned."""
        path = self._path(draft.task_id, draft.attempt)
        while not create_file(path, codec.dumps(draft)):
            stands = _read(path)
            if stands is not None:
                return stands
            path.unlink(missing_ok=True)  # damaged, or a version's that is gone: nobody could publish it
        return draft

    def get(self, task_id: str, attempt: int) -> Draft | None:
        """The draft of an attempt, if there is one."""
        return _read(self._path(task_id, attempt))

    def drop(self, task_id: str, attempt: int) -> None:
        """The draft is published, or will never be needed."""
        self._path(task_id, attempt).unlink(missing_ok=True)

    def all(self) -> Iterator[Draft]:
        """Every draft; files that cannot be read are passed over."""
        for path in sorted(self.folder.glob("*.json")):  # a task's id may begin with a dot
            draft = _read(path)
            if draft is not None:
                yield draft

    def _path(self, task_id: str, attempt: int) -> Path:
        return self.folder / f"{task_id}.{attempt}.json"


def _read(path: Path) -> Draft | None:
    try:
        return codec.decode(Draft, path.read_bytes())
    except (OSError, FrameError):
        return None
