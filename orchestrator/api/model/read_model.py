"""The read model: each topic's messages, folded into what the API shows.

The same messages give the same model, in whatever order the topics are read. What cannot be decoded is
counted and passed over; those whom it concerns dead-letter it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.api.model.decisions import Decisions
from orchestrator.api.model.events import EventLog, Seen
from orchestrator.api.model.forecasts import Forecasts
from orchestrator.api.model.market import KEPT_SIGNALS, Market
from orchestrator.api.model.tasks import Place, TaskTable, seen_of
from orchestrator.guard import DEFAULT_POLICY, OpenAlerts, PeakMemory
from orchestrator.ledger import State, Task
from orchestrator.ledger.state import Try
from orchestrator.ledger_bases import PARTITION, Base
from schemas import codec
from schemas.alerts import MemoryAlert
from schemas.commands import PolicyCommand, PolicyName, decode_command
from schemas.devices import DeviceReport
from schemas.errors import FrameError, LedgerError
from schemas.tasks import TaskCancel, TaskProgress, TaskRequest, TaskResult, is_cancel, name_unnamed
from streams import topics
from streams.tail import Entry

LETTERS = {
    topics.GPU_TASKS: "t",
    topics.GPU_RESULTS: "r",
    topics.ALLOCATIONS: "a",
    topics.MEMORY_ALERTS: "m",
    topics.GPU_COMMANDS: "c",
    topics.GPU_DEVICES: "d",
}
"""Topics whose messages are told as events, and the letter that stands for each in their ids."""

TOPICS = (*LETTERS, topics.WORKERS, topics.SIGNALS)
"""All that are read."""

LATEST = {topics.SIGNALS: KEPT_SIGNALS}
"""Topics of which only so many of each partition's last messages matter."""

KEPT_DEVICES = 20_000
KEPT_ALERTS = 1_000
KEPT_OPEN_ALERTS = 20_000


class ReadModel:
    """What is known now.

    Attributes
    ----------
    positions
        The next offset of each partition: where to go on after an interruption.
    passed_over
        Messages by topic that could not be decoded.
    """

    def __init__(self, tasks: TaskTable | None = None, events: EventLog | None = None) -> None:
        self.tasks = tasks or TaskTable()
        self.events = events or EventLog()
        self.decisions = Decisions()
        self.market = Market()
        self.devices: OrderedDict[str, DeviceReport] = OrderedDict()
        self.alerts = OpenAlerts()
        self.peaks = PeakMemory()
        self.forecasts = Forecasts()
        self.recent_alerts: deque[MemoryAlert] = deque(maxlen=KEPT_ALERTS)
        self.policy: PolicyCommand | None = None
        self.positions: dict[tuple[str, int], int] = {}
        self.passed_over: Counter[str] = Counter()
        self.caught_up = False
        self._folds: dict[str, Callable[[Entry, bytes], None]] = {
            topics.GPU_TASKS: self._task,
            topics.GPU_RESULTS: self._result,
            topics.ALLOCATIONS: self._allocation,
            topics.MEMORY_ALERTS: self._alert,
            topics.GPU_COMMANDS: self._command,
            topics.GPU_DEVICES: self._device,
            topics.WORKERS: lambda _, payload: self.market.worker(payload),
            topics.SIGNALS: lambda _, payload: self.market.signal(payload),
        }

    @property
    def has_begun(self) -> bool:
        """Whether something of the allocation log is in it."""
        return (topics.ALLOCATIONS, PARTITION) in self.positions

    def begin(self, bases: Mapping[str, Base]) -> None:
        """Go on from snapshots of the allocation log, as if all that they stand for had been folded.

        Raises
        ------
        ValueError
            When something of that log was folded before.
        """
        part = (topics.ALLOCATIONS, PARTITION)
        if self.has_begun:
            raise ValueError("the allocation log was begun before")
        if not bases:
            return
        self.decisions.begin(bases)
        first = min(base.basis for base in bases.values())
        self.positions[part] = first + 1
        self.events.begin(Place(*part, first))
        for base in bases.values():
            for task in base.state.tasks.values():
                self.tasks.allocation(seen_of(base.state, task), _last_change_ms(base.state, task))

    def fold(self, batch: list[Entry]) -> None:
        """Take records in."""
        for entry in batch:
            self.positions[entry.base, entry.partition] = entry.offset + 1
            try:
                if entry.value is not None:
                    self._folds[entry.base](entry, entry.value)
                elif entry.base == topics.GPU_DEVICES and entry.key is not None:
                    self._forget_device(entry.key.decode(errors="replace"))
            except (FrameError, LedgerError):
                self.passed_over[entry.base] += 1
        if batch:
            self.events.ring()

    def seen(self) -> Seen:
        """How far the log is folded."""
        return Seen(LETTERS, {part: at for part, at in self.positions.items() if part[0] in LETTERS})

    def has_reached(self, seen: Seen) -> bool:
        """Whether nothing lies between here and there."""
        return all(at <= self.positions.get(part, 0) for part, at in seen.positions.items())

    @property
    def policy_name(self) -> PolicyName:
        """The memory policy in force."""
        return self.policy.policy if self.policy else DEFAULT_POLICY

    @property
    def open_alerts(self) -> list[MemoryAlert]:
        """The latest change last."""
        return list(self.alerts.open.values())

    def _task(self, entry: Entry, payload: bytes) -> None:
        value = codec.loads(payload)
        if isinstance(value, dict) and is_cancel(value):
            cancel = codec.decode(TaskCancel, payload)
            if self.tasks.cancel(cancel.task_id, entry.timestamp_ms):
                self._tell_task(entry, cancel.task_id)
            return
        asked = codec.decode(TaskRequest, payload)
        task_id = asked.task_id or name_unnamed(entry.partition, entry.offset)
        if self.tasks.request(task_id, asked, entry.timestamp_ms, _place(entry), payload):
            self._tell_task(entry, task_id)

    def _result(self, entry: Entry, payload: bytes) -> None:
        value = codec.loads(payload)
        if isinstance(value, dict) and "progress" in value:
            progress = codec.decode(TaskProgress, payload)
            if self.tasks.progress(progress, entry.timestamp_ms):
                self._tell_task(entry, progress.task_id)
            return
        result = codec.decode(TaskResult, payload)
        if self.tasks.result(result, entry.timestamp_ms, _place(entry), payload):
            self.peaks.learn(result)
            self._tell_task(entry, result.task_id)

    def _allocation(self, entry: Entry, payload: bytes) -> None:
        record, state, counts = self.decisions.apply(entry.offset, payload)
        task_id = getattr(record, "task_id", None)
        task = state.tasks.get(task_id) if counts and task_id is not None else None
        if task is None:
            return
        if self.tasks.allocation(seen_of(state, task), entry.timestamp_ms):
            self._tell_task(entry, task.task_id)

    def _alert(self, entry: Entry, payload: bytes) -> None:
        alert = codec.decode(MemoryAlert, payload)
        if not self.alerts.see(alert):
            return
        self.recent_alerts.append(alert)
        if len(self.alerts.open) > KEPT_OPEN_ALERTS:
            del self.alerts.open[next(iter(self.alerts.open))]
        self._tell(entry, "alert", alert.alert_id, alert.model_dump(mode="json", exclude_none=True))

    def _command(self, entry: Entry, payload: bytes) -> None:
        command = decode_command(payload)
        if isinstance(command, PolicyCommand):
            self.policy = command
            self._tell(entry, "policy", command.policy, command.model_dump(mode="json"))

    def _device(self, entry: Entry, payload: bytes) -> None:
        report = codec.decode(DeviceReport, payload)
        self.devices[report.gpu_uuid] = report
        self.forecasts.take(report)
        if len(self.devices) > KEPT_DEVICES:
            self._forget_device(next(iter(self.devices)))

    def _forget_device(self, gpu_uuid: str) -> None:
        self.devices.pop(gpu_uuid, None)
        self.forecasts.forget(gpu_uuid)

    def _tell_task(self, entry: Entry, task_id: str) -> None:
        row = self.tasks.get(task_id)
        if row is None:
            return
        body = {
            "task_id": task_id,
            "task_type": row.task_type,
            "state": row.state,
            "attempt": row.attempt,
            "gpu_uuids": list(row.gpu_uuids),
            "progress": row.progress,
            "stage": row.stage,
            "failure": row.failure.model_dump(mode="json", exclude_none=True) if row.failure else None,
            "cancel_requested": row.cancel_requested,
            "at_ms": entry.timestamp_ms,
        }
        self._tell(entry, "task", task_id, body)

    def _tell(self, entry: Entry, kind: str, subject: str, body: dict[str, Any]) -> None:
        self.events.append(_place(entry), kind, subject, codec.dumps(body))


def _last_change_ms(state: State, task: Task) -> int:
    """When the ledger last moved a task, as far as it remembers."""
    lease = state.leases.get(task.task_id)
    times = [task.submitted_ns, task.queued_ns, *(Try(*row).ended_ns for row in task.tries)]
    times += [lease.granted_ns, lease.started_ns] if lease else []
    return int(max(times)) // 1_000_000


def _place(entry: Entry) -> Place:
    return Place(entry.base, entry.partition, entry.offset)
