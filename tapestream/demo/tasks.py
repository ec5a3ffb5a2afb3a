"""The tasks of a demo: a few of each kind, sent as any client would send them, and what became of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from schemas import codec
from schemas.frame import decode_frame
from schemas.settings import Settings
from streams import topics
from streams.log_reader import LogReader
from streams.log_writer import LogWriter, log_writer
from streams.partition_tail import PartitionTail
from tapestream.tasks_view import TaskRow, TaskTable

AGENTS = ("agents.tasks.exercise",)
"""Small agents that do what they are told; the other types are built in."""

MIB = 1 << 20
TIB = 1 << 40
PATIENCE_S = 180.0
"""The first search for patterns on a machine compiles for ten seconds of a core that nobody else wants."""


@dataclass(frozen=True, slots=True)
class DemoTask:
    """A task, what it shows, and the end that it must come to."""

    shows: str
    request: dict[str, Any]
    ends: str = "SUCCEEDED"
    cancelled: bool = False

    @property
    def task_id(self) -> str:
        """Its id."""
        return str(self.request["task_id"])


def _task(name: str, shows: str, task_type: str, data: dict[str, Any], **more: Any) -> DemoTask:
    own = {key: more.pop(key) for key in ("ends", "cancelled") if key in more}
    request = {"task_id": f"demo-{name}", "task_type": task_type, "data": data, **more}
    return DemoTask(shows, request, **own)


def _wave(n: int) -> dict[str, list[float]]:
    """Bars of a price that goes up and down, and up."""
    close = [round(100.0 + 0.05 * bar + 4.0 * math.sin(bar / 5.0), 2) for bar in range(n)]
    opened = [close[0], *close[:-1]]
    return {
        "open": opened,
        "high": [max(pair) + 0.2 for pair in zip(opened, close, strict=True)],
        "low": [min(pair) - 0.2 for pair in zip(opened, close, strict=True)],
        "close": close,
        "volume": [1_000.0 + 10.0 * bar for bar in range(n)],
    }


WAVE = {"WAVE": _wave(120)}

FIRST: tuple[DemoTask, ...] = (
    _task("echo", "a small one", "echo", {"value": "hello"}),
    _task("urgent", "one that goes first", "echo", {"value": "now"}, priority=9),
    _task("allocate", "one with memory", "allocate", {"bytes": 200 * MIB}, memory_required=512 * MIB),
    _task("sleep", "one that takes a while", "sleep", {"seconds": 1.5, "manners": "check"}),
    _task(
        "huge",
        "larger than any device, so cut to fit the CPU",
        "echo",
        {"value": "still here"},
        memory_required=TIB,
        min_memory=64 * MIB,
    ),
    _task("bad", "a bad request", "echo", {"value": 1}, priority=99, ends="REJECTED"),
    _task("misspelt", "bad data", "echo", {"valeu": 1}, ends="FAILED"),
    _task("cancelled", "one that is cancelled", "sleep", {"seconds": 600}, ends="CANCELLED", cancelled=True),
)

LATER: tuple[DemoTask, ...] = (
    _task(
        "indicators",
        "technical indicators of bars in the request",
        "technical_indicators",
        {"bars": WAVE, "indicators": ["rsi", "macd(12,26,9)", "bbands"], "last_rows": 1},
    ),
    _task("patterns", "patterns in the same bars", "pattern_recognition", {"bars": WAVE}),
)
"""Sent once the ticks give signals: the first time, each compiles its kernels on a core that ticks want."""


def analysis(symbol: str) -> DemoTask:
    """The order flow of one symbol, from the topic."""
    return _task("analysis", f"the order flow of {symbol}", "hft_analysis", {"symbols": [symbol]})


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """A demo's task and what is known of it."""

    task: DemoTask
    row: TaskRow | None

    @property
    def problem(self) -> str | None:
        """What is wrong with its end; None when it is as it should be."""
        if self.row is None or self.row.result is None:
            state = "never came up" if self.row is None else f"is {self.row.state}"
            return f"task {self.task.task_id} has no terminal state: it {state}"
        if self.row.state != self.task.ends:
            return f"task {self.task.task_id} ended {self.row.state}, not {self.task.ends}: {self.row.line()}"
        return None

    def line(self) -> str:
        """For people."""
        said = "no result" if self.row is None else self.row.line().removeprefix(f"{self.task.task_id}  ")
        return f"{self.task.shows}: {said}"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        known = {"state": None} if self.row is None else self.row.as_dict()
        known.pop("result", None)
        return {"task_id": self.task.task_id, "shows": self.task.shows, **known}


@dataclass(slots=True)
class DemoTasks:
    """Sends the tasks and reads what becomes of them; an async context manager."""

    settings: Settings
    sent: list[DemoTask] = field(default_factory=list)
    _view: TaskTable = field(default_factory=TaskTable)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _tails: Sequence[PartitionTail] = ()
    _writer: LogWriter = field(init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        self._writer = await self._stack.enter_async_context(log_writer(self.settings))
        self._tails = [
            await self._stack.enter_async_context(
                PartitionTail(self.settings, base, otherwise="beginning", woken=self._woken)
            )
            for base in (topics.GPU_TASKS, topics.ALLOCATIONS, topics.GPU_RESULTS)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def send(self, *tasks: DemoTask) -> None:
        """Submit tasks; what is to be cancelled is asked to be so right after."""
        for task in tasks:
            await self._writer.write(topics.GPU_TASKS, task.task_id, [codec.dumps(task.request)])
            self.sent.append(task)
        for task in tasks:
            if task.cancelled:
                wish = codec.dumps({"task_id": task.task_id, "cancel": True, "reason": "the demo says so"})
                await self._writer.write(topics.GPU_TASKS, task.task_id, [wish])

    def outcomes(self) -> list[TaskOutcome]:
        """What is known now."""
        for tail in self._tails:
            for message in tail.take():
                self._view.take_in(message.topic, message.value, message.partition, message.offset)
        return [TaskOutcome(task, self._view.rows.get(task.task_id)) for task in self.sent]

    def open(self) -> list[str]:
        """Types of the tasks that are not over, as far as is known now."""
        rows = [(o.task, o.row) for o in self.outcomes()]
        return [str(task.request["task_type"]) for task, row in rows if row is None or row.result is None]

    async def ended(self, patience_s: float = PATIENCE_S) -> None:
        """Return when all are over, or when the patience is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while True:
                    self._woken.clear()  # before the look: what comes after it wakes
                    if not self.open():
                        break
                    await self._woken.wait()


async def some_symbol(settings: Settings) -> str | None:
    """A symbol that is on the topic of ticks; None while there is none."""
    name = topics.name(settings, topics.TICKS)
    async with LogReader(settings) as reader:
        for partition in range(settings.partitions):
            begin, end = await reader.bounds(name, partition)
            async for record in reader.read(name, partition, begin, min(end, begin + 20)):
                ticks = decode_frame(record.value) if record.value else None
                if ticks is not None and len(ticks.symbols):
                    return str(ticks.symbols[0])
    return None
