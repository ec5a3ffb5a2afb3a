"""The tasks of a read model: what the topics say of each, the newest first, the oldest forgotten.

``gpu.tasks``, ``gpu.results`` and the allocation log have no order among each other, so every fact is folded
in whatever order it comes: a terminal state absorbs, and what describes a request never changes its state.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from sortedcontainers import SortedDict

from orchestrator.ledger import State, Task
from orchestrator.ledger.state import Try
from schemas import codec
from schemas.tasks import TERMINAL, CpuReason, Failure, TaskProgress, TaskRequest, TaskResult, TaskState

KEPT_TASKS = 100_000
"""Tasks that are remembered."""

KEPT_BYTES = 64 * 1_048_576
"""Bytes of requests and results that are kept; the others are read back from the log when asked for."""

SEARCHED = 1_000
"""How many of the oldest tasks are looked at for one that is over, when one must be forgotten."""


class Place(NamedTuple):
    """Where a message lies: topic's name in the table, partition, offset."""

    base: str
    partition: int
    offset: int


@dataclass(slots=True)
class TaskRow:
    """What is known of one task."""

    task_id: str
    submitted_ms: int
    task_type: str = ""
    state: TaskState = "QUEUED"
    priority: int = 5
    memory_required: int | None = None
    devices: int = 1
    attempt: int = 0
    gpu_uuids: tuple[str, ...] = ()
    progress: float | None = None
    stage: str = ""
    failure: Failure | None = None
    cpu_reason: CpuReason | None = None
    queued_ms: float | None = None
    ran_ms: float | None = None
    peak_memory_bytes: int | None = None
    result_path: str | None = None
    cancel_requested: bool = False
    updated_ms: int = 0
    key: str | None = None
    fingerprint: bytes | None = None
    request_at: Place | None = None
    result_at: Place | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is in one of its terminal states."""
        return self.state in TERMINAL

    @property
    def order(self) -> tuple[int, str]:
        """Its place among the tasks, oldest first; also what a page's cursor says."""
        return self.submitted_ms, self.task_id


class SeenTask(NamedTuple):
    """A task as the ledger has it."""

    task_id: str
    task_type: str
    state: TaskState
    submitted_ms: int
    attempt: int
    gpu_uuids: tuple[str, ...]


def seen_of(state: State, task: Task) -> SeenTask:
    """What a fold knows of a task; its devices are those of the last attempt."""
    lease = state.leases.get(task.task_id)
    if lease is not None:
        gpu_uuids = lease.gpu_uuids
    else:
        gpu_uuids = tuple(Try(*task.tries[-1]).gpu_uuids) if task.tries else ()
    submitted_ms = task.submitted_ns // 1_000_000
    return SeenTask(task.task_id, task.task_type, task.state, submitted_ms, task.attempt, gpu_uuids)


def fingerprint(request: TaskRequest) -> bytes:
    """The same for requests that ask for the same; id and key do not count."""
    asked = request.model_dump(mode="json", exclude={"task_id", "idempotency_key"})
    return blake2b(codec.dumps(_ordered(asked)), digest_size=16).digest()


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value


class TaskTable:
    """Tasks by id and by age, within bounds."""

    def __init__(self, kept: int = KEPT_TASKS, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept = kept
        self._rows: dict[str, TaskRow] = {}
        self._by_age: SortedDict[tuple[int, str], TaskRow] = SortedDict()
        self._keys: dict[str, str] = {}
        self._payloads = _Payloads(kept_bytes)
        self.states: Counter[str] = Counter()
        self.submitted = 0
        self.ended = 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, task_id: str) -> TaskRow | None:
        """The task of that id, if it is known."""
        return self._rows.get(task_id)

    def by_key(self, key: str) -> TaskRow | None:
        """The task that was submitted with that idempotency key."""
        task_id = self._keys.get(key)
        return None if task_id is None else self._rows.get(task_id)

    def payload(self, place: Place) -> bytes | None:
        """The message at a place, if it is still kept here."""
        return self._payloads.get(place)

    def newest_first(self, before: tuple[int, str] | None = None) -> Iterator[TaskRow]:
        """The tasks older than ``before``, or all, from the newest on."""
        for order in self._by_age.irange(maximum=before, inclusive=(True, False), reverse=True):
            yield self._by_age[order]

    def oldest_waiting_ms(self) -> int | None:
        """When the task was submitted that is queued the longest, among the oldest ones."""
        if not self.states["QUEUED"]:
            return None
        for number, row in enumerate(self._by_age.values()):
            if row.state == "QUEUED":
                return row.submitted_ms
            if number >= SEARCHED:
                return None
        return None

    def request(
        self, task_id: str, asked: TaskRequest, at_ms: int, place: Place | None, payload: bytes = b""
    ) -> bool:
        """A request; ``place`` is None while it is only on its way. False when it changes nothing."""
        row = self._row(task_id, at_ms)
        known = row.fingerprint is not None
        if not known:
            row.task_type, row.priority = asked.task_type, asked.priority
            row.memory_required, row.devices = asked.memory_required, asked.devices
            row.key, row.fingerprint = asked.idempotency_key, fingerprint(asked)
            if row.key is not None:
                self._keys.setdefault(row.key, task_id)
        if place is None or row.request_at is not None:
            return not known
        row.request_at = place
        self._payloads.put(place, payload)
        return True

    def cancel(self, task_id: str, at_ms: int) -> bool:
        """Somebody wants it ended."""
        row = self._rows.get(task_id)
        if row is None or row.cancel_requested or row.is_over:
            return False
        row.cancel_requested, row.updated_ms = True, at_ms
        return True

    def progress(self, told: TaskProgress, at_ms: int) -> bool:
        """How far it is; what an earlier attempt says too late does not count."""
        row = self._row(told.task_id, at_ms)
        if row.is_over or told.attempt < row.attempt:
            return False
        row.attempt, row.progress, row.stage, row.updated_ms = (
            told.attempt,
            told.progress,
            told.stage,
            at_ms,
        )
        return True

    def result(self, told: TaskResult, at_ms: int, place: Place, payload: bytes) -> bool:
        """Its end; the first one counts."""
        row = self._row(told.task_id, at_ms)
        if row.result_at is not None:
            return False
        row.result_at = place
        self._payloads.put(place, payload)
        row.task_type = row.task_type or told.task_type
        row.gpu_uuids = tuple(told.ran_on) or row.gpu_uuids
        row.failure, row.cpu_reason, row.result_path = told.failure, told.cpu_reason, told.result_path
        row.queued_ms, row.ran_ms = told.queued_ms, told.ran_ms
        row.peak_memory_bytes = told.peak_memory_bytes
        row.attempt = max(row.attempt, len(told.attempts))
        self._move(row, told.state, at_ms)
        return True

    def allocation(self, seen: SeenTask, at_ms: int) -> bool:
        """What the fold of the allocation log says of it."""
        row = self._row(seen.task_id, seen.submitted_ms, at_ms)
        row.task_type = row.task_type or seen.task_type
        if row.is_over:
            return False
        before = row.state, row.attempt, row.gpu_uuids
        if seen.attempt > row.attempt:
            row.progress, row.stage = None, ""
        row.attempt = max(row.attempt, seen.attempt)
        row.gpu_uuids = seen.gpu_uuids or row.gpu_uuids
        self._move(row, seen.state, at_ms)
        return before != (row.state, row.attempt, row.gpu_uuids)

    def _row(self, task_id: str, submitted_ms: int, at_ms: int | None = None) -> TaskRow:
        row = self._rows.get(task_id)
        if row is None:
            row = TaskRow(task_id, submitted_ms, updated_ms=submitted_ms if at_ms is None else at_ms)
            self._rows[task_id] = row
            self._by_age[row.order] = row
            self.states[row.state] += 1
            self.submitted += 1
            if len(self._rows) > self._kept:
                self._forget_one()
        return row

    def _move(self, row: TaskRow, state: TaskState, at_ms: int) -> None:
        row.updated_ms = at_ms
        if row.is_over or row.state == state:
            return
        self.states[row.state] -= 1
        row.state = state
        self.states[state] += 1
        self.ended += row.is_over

    def _forget_one(self) -> None:
        """The oldest task that is over goes; the oldest of all when none of the oldest is."""
        oldest = iter(self._by_age.values())
        chosen = first = next(oldest)
        for _ in range(SEARCHED):
            if chosen.is_over:
                break
            chosen = next(oldest, first)
        else:
            chosen = first
        del self._rows[chosen.task_id], self._by_age[chosen.order]
        self.states[chosen.state] -= 1
        if chosen.key is not None and self._keys.get(chosen.key) == chosen.task_id:
            del self._keys[chosen.key]
        for place in (chosen.request_at, chosen.result_at):
            self._payloads.drop(place)


class _Payloads:
    """Messages by place, up to so many bytes; the ones put in first go first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._found: OrderedDict[Place, bytes] = OrderedDict()

    def get(self, place: Place) -> bytes | None:
        return self._found.get(place)

    def put(self, place: Place, payload: bytes) -> None:
        self._found[place] = payload
        self._bytes += len(payload)
        while self._bytes > self._most_bytes:
            _, gone = self._found.popitem(last=False)
            self._bytes -= len(gone)

    def drop(self, place: Place | None) -> None:
        if place is not None:
            self._bytes -= len(self._found.pop(place, b""))
