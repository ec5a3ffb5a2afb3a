"""Orchestrators and agents as processes, for tests that kill them, and the judge of what they leave."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.ledger import ACCEPTED, State
from orchestrator.replay import replay_decisions
from schemas import allocations, codec
from schemas.allocations import Record
from schemas.settings import Settings
from schemas.tasks import TERMINAL, TaskResult
from streams import topics
from streams.log_reader import LogReader
from streams.log_writer import log_writer
from tests.kafka import ROOT
from tests.workers import TAPESTREAM, eventually

EXERCISE = ("--agent", "agents.tasks.exercise")


class TaskProcess:
    """``tapestream orchestrate`` or ``agent``, with its log in a file; ended with the block."""

    def __init__(self, settings: Settings, name: str, *arguments: str) -> None:
        self.name, self._settings, self._arguments = name, settings, arguments
        self.log = settings.data_dir / f"{name}.log"
        self._port_file = settings.data_dir / f"{name}.port"
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._port_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*TAPESTREAM, *self._arguments, "--metrics-port", "0", "--port-file", str(self._port_file)],
                env=self._settings.environment(os.environ),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> TaskProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=20)

    def stop(self) -> int:
        """Ask it to end; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def is_ready(self) -> bool:
        """Whether it follows the log, since it was started last."""
        if not self._port_file.exists():
            return False
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._port_file.read_text()}/ready", timeout=5).close()
        except OSError:
            return False
        return True

    def children(self) -> list[int]:
        """The pids of its own child processes."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in path.read_text().split()]
        except OSError:
            return []


def orchestrator(settings: Settings, name: str = "orchestrator", *more: str) -> TaskProcess:
    silence = ("--owner-silence-s", "2")
    return TaskProcess(settings, name, "orchestrate", *EXERCISE, *silence, *more)


def agent(settings: Settings, name: str = "agent", *more: str) -> TaskProcess:
    return TaskProcess(settings, name, "agent", *EXERCISE, *more)


async def submit(settings: Settings, requests: Iterable[tuple[str, dict[str, object]]]) -> None:
    """Requests by key; what is sent is exactly what is given."""
    async with log_writer(settings) as writer:
        await asyncio.gather(
            *(writer.write(topics.GPU_TASKS, key, [codec.dumps(request)]) for key, request in requests)
        )


@dataclass
class Found:
    """All that is on the topics.

    Attributes
    ----------
    payloads
        Task to the distinct results that were published for it.
    over_capacity
        Offsets after which a device had more promised than it has.
    """

    state: State
    records: list[tuple[int, Record]]
    results: dict[str, TaskResult]
    payloads: dict[str, Counter[bytes]]
    over_capacity: list[int]
    endings: Counter[str] = field(default_factory=Counter)


async def found(settings: Settings, domain: str = "default") -> Found:
    """Read everything, fold it record by record and look at each prefix."""
    state, records, over = State(domain), [], []
    endings: Counter[str] = Counter()
    payloads: dict[str, Counter[bytes]] = defaultdict(Counter)
    async with LogReader(settings) as reader:
        # Results first: what they are about is on the log by then.
        for partition in range(settings.partitions):
            async for message in reader.rest(topics.name(settings, topics.GPU_RESULTS), partition):
                value = codec.loads(message.value)
                if "state" in value:
                    payloads[value["task_id"]][message.value] += 1
        name = topics.name(settings, topics.ALLOCATIONS)
        async for message in reader.rest(name, 0):
            record = allocations.decode(message.value)
            records.append((message.offset, record))
            task_id = getattr(record, "task_id", None)
            before = task_id in state.tasks and state.tasks[task_id].is_over
            if state.apply(record) is ACCEPTED:
                if any(not 0 <= d.charged_bytes <= d.capacity_bytes for d in state.devices.values()):
                    over.append(message.offset)
                if task_id is not None and not before and state.tasks[task_id].is_over:
                    endings[task_id] += 1
    results = {task: codec.decode(TaskResult, next(iter(given))) for task, given in payloads.items()}
    return Found(state, records, results, payloads, over, endings)


async def results_for(settings: Settings, task_ids: Iterable[str], timeout_s: float = 90.0) -> Found:
    """Everything, once each of these tasks has a result."""
    wanted, last = set(task_ids), [await found(settings)]

    async def there() -> bool:
        last[0] = await found(settings)
        return wanted <= last[0].results.keys()

    await eventually(there, f"{len(wanted)} tasks have results", timeout_s)
    return last[0]


def judge(there: Found, task_ids: Iterable[str]) -> None:
    """Each task is over once and says so once, and nothing was ever promised twice."""
    wanted = set(task_ids)
    assert there.over_capacity == []
    replayed = replay_decisions(there.records, there.state.domain)
    assert replayed.difference is None
    assert replayed.decisions > 0
    assert {task_id: there.state.tasks[task_id].state in TERMINAL for task_id in wanted} == dict.fromkeys(
        wanted, True
    )
    assert {task_id: there.endings[task_id] for task_id in wanted} == dict.fromkeys(wanted, 1)
    assert {task_id: len(there.payloads[task_id]) for task_id in wanted} == dict.fromkeys(wanted, 1)
    assert {task_id: there.results[task_id].state for task_id in wanted} == {
        task_id: there.state.tasks[task_id].state for task_id in wanted
    }
