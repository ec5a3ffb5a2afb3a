"""The task agent's process. Invariants

- Nothing runs before its ``Started`` has come back from the log and the fold has accepted it.
- The result is in the outbox before ``Ended`` is written, and published only when ``Ended`` is accepted and
  was the task's end.
- Bytes are released only when the child's memory is back: the runner has ended it or found it small again.
- It speaks for a dead agent of its host only, whose process and children it has seen to be gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agents.tasks.assignment import Assignment, Outcome
from agents.tasks.registry import AgentTable
from agents.tasks.runner import Runner, RunnerOptions
from agents.tasks.service.drafts import AGENT_KILLED, draft_of, ended_record, not_run
from agents.tasks.service.options import AgentCounts, AgentOptions
from agents.tasks.service.outbox import Draft, Outbox
from agents.tasks.service.requests import Requests
from agents.tasks.service.tending import Tending
from orchestrator.ledger import Lease, State, Task
from orchestrator.ledger_log import Entry, LedgerLog
from schemas import codec
from schemas.allocations import Ended, Head, Record, Released, Renewed, Started
from schemas.errors import TaskError
from schemas.settings import Settings
from schemas.tasks import Failure, TaskProgress
from streams import admin, topics
from streams.log_reader import LogReader
from streams.log_writer import LogWriter, log_writer
from streams.process_name import ProcessName, is_gone

log = logging.getLogger("tapestream.agent")

TOPICS = (topics.ALLOCATIONS, topics.GPU_TASKS, topics.GPU_RESULTS, topics.GPU_COMMANDS)
LOOK_S = 0.2
SWEEP_S = 1.0
PROGRESS_S = 0.25
LATE_NS = 60_000_000_000
"""A result that is older than this may have been given by the owner, so the topic is asked first."""
DRAIN_RESERVE_S = 5.0

Key = tuple[str, int]
"""Task id and attempt."""


@dataclass(slots=True)
class Running:
    """An attempt of ours, from its grant to the end of its process."""

    key: Key
    cancel: asyncio.Event = field(default_factory=asyncio.Event)
    renewed_ns: int = 0
    work: asyncio.Task[None] | None = None
    accepted: bool = False


class AgentService:
    """Runs what is granted on this host's devices.

    Parameters
    ----------
    agents
        The types of tasks that it knows.
    name
        Who it is in the log; made from its process when empty.
    """

    def __init__(
        self,
        settings: Settings,
        agents: AgentTable,
        options: AgentOptions | None = None,
        *,
        runner: RunnerOptions | None = None,
        name: str = "",
        host: str = "",
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        own = ProcessName.own(host or None)
        self.options = options or AgentOptions()
        self.name, self.host = name or str(own), own.host
        self.counts = AgentCounts()
        self.outbox = Outbox(settings.data_dir)
        self._settings, self._agents, self._runner_options = settings, agents, runner
        self._now, self._monotonic = now_ns, monotonic_ns
        self._woken = asyncio.Event()
        self._running: dict[Key, Running] = {}
        self._fresh: dict[str, None] = {}
        self._verdicts: dict[tuple[type[Head], Key], asyncio.Future[bool]] = {}
        self._progress: dict[str, TaskProgress] = {}
        self._absent: set[str] = set()
        self._buried: set[Key] = set()
        self._leaving = False
        self._swept_ns = self._told_ns = 0
        self._ledger: LedgerLog
        self._writer: LogWriter
        self._requests: Requests
        self._runner: Runner
        self._tending: asyncio.Task[None]

    @property
    def ready(self) -> bool:
        """Whether the log is folded up to where it was when this began."""
        return hasattr(self, "_ledger") and self._ledger.caught_up

    @property
    def state(self) -> State:
        """What the log comes to; not to be changed."""
        return self._ledger.state

    async def run(self, stop: asyncio.Event) -> AgentCounts:
        """Work until ``stop`` is set; then let what runs end, within the time to shut down.

        Raises
        ------
        BrokerError
            When the log cannot be read or written.
        """
        await admin.ensure_topics(self._settings, *TOPICS)
        async with (
            log_writer(self._settings) as self._writer,
            Requests(self._settings, self._woken) as self._requests,
            LedgerLog(self._settings, self.options.domain, self._writer, self._woken) as self._ledger,
            Runner(self._settings, self._agents, self._runner_options) as self._runner,
        ):
            self._fresh.update(dict.fromkeys(self.state.leases))
            self._tending = asyncio.create_task(self._new_tending().run(), name="memory commands")
            self._tending.add_done_callback(lambda _: self._woken.set())
            try:
                await self._follow(stop)
            finally:
                self._tending.cancel()
                await asyncio.gather(self._tending, return_exceptions=True)
                await self._abandon()
        return self.counts

    def _new_tending(self) -> Tending:
        return Tending(
            self._settings,
            self._runner.pool,
            self._writer,
            self.name,
            lambda: {uuid for uuid, device in self.state.devices.items() if device.host == self.host},
            may_end=self.options.may_end,
            now_ns=self._now,
        )

    async def _follow(self, stop: asyncio.Event) -> None:
        leave_at = None
        while not (stop.is_set() and not self._running):
            if stop.is_set():
                now = asyncio.get_running_loop().time()
                budget_s = max(0.0, self._settings.shutdown_timeout_s - DRAIN_RESERVE_S)
                leave_at = leave_at or now + budget_s
                if now >= leave_at:
                    self._leaving = True
                    for running in self._running.values():
                        running.cancel.set()
            self._woken.clear()
            await self._look(taking=not stop.is_set())
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._woken.wait()

    async def _abandon(self) -> None:
        """On trouble with the log: end the children; the next agent tells what became of the attempts."""
        works = [running.work for running in self._running.values() if running.work is not None]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    async def _look(self, *, taking: bool) -> None:
        self._requests.take_in()
        for entry in self._ledger.fold():
            self._note(entry)
        self._raise_from_works()
        if not self._ledger.caught_up:
            return
        if taking:
            self._take_up()
        now_ns = self._monotonic()
        if now_ns - self._told_ns >= PROGRESS_S * 1e9:
            self._told_ns = now_ns
            await self._tell_progress()
            await self._renew()
        if now_ns - self._swept_ns >= SWEEP_S * 1e9:
            self._swept_ns = now_ns
            await self._sweep()

    def _raise_from_works(self) -> None:
        if self._tending.done():
            self._tending.result()
        for key, running in list(self._running.items()):
            if running.work is not None and running.work.done():
                del self._running[key]
                running.work.result()

    # What the log says.

    def _note(self, entry: Entry) -> None:
        record = entry.record
        task_id = getattr(record, "task_id", None)
        if task_id is None:
            return
        if isinstance(record, Started | Ended) and record.agent == self.name:
            waiting = self._verdicts.get((type(record), (task_id, record.attempt)))
            if waiting is not None and not waiting.done():
                waiting.set_result(entry.counts)
        if not entry.counts:
            return
        lease, task = self.state.leases.get(task_id), self.state.tasks.get(task_id)
        if lease is not None and not lease.agent and not lease.reclaiming:
            self._fresh[task_id] = None
        for key in [key for key in self._running if key[0] == task_id]:
            over = lease is None or lease.attempt != key[1] or lease.reclaiming
            if over or (task is not None and task.ended_by is not None):
                self._running[key].cancel.set()

    def _is_here(self, lease: Lease) -> bool:
        return all(self.state.devices[uuid].host == self.host for uuid in lease.gpu_uuids)

    def _take_up(self) -> None:
        for task_id in list(self._fresh):
            if self.options.slots is not None and len(self._running) >= self.options.slots:
                return
            del self._fresh[task_id]
            lease = self.state.leases.get(task_id)
            if lease is None or lease.agent or lease.reclaiming or not self._is_here(lease):
                continue
            key = (task_id, lease.attempt)
            if key not in self._running:
                running = self._running[key] = Running(key)
                running.work = asyncio.create_task(self._attempt(running), name=f"task {task_id}")
                running.work.add_done_callback(lambda _: self._woken.set())

    # One attempt.

    async def _attempt(self, running: Running) -> None:
        task_id, attempt = key = running.key
        began_ns = self._now()
        start = Started(**self._head(began_ns), task_id=task_id, attempt=attempt, agent=self.name)
        if not await self._counted(start, key):
            return
        running.renewed_ns, running.accepted = self._monotonic(), True
        self.counts.started += 1
        lease, task = self.state.leases.get(task_id), self.state.tasks.get(task_id)
        if lease is None or task is None or lease.attempt != attempt or lease.agent != self.name:
            return  # it was over before we heard that it had begun; nothing has run
        outcome = await self._run(running, task, lease)
        self._progress.pop(task_id, None)
        draft = draft_of(self.name, task, lease, outcome, self._now(), leaving=self._leaving)
        await self._end(key, await asyncio.to_thread(self.outbox.put, draft))

    async def _run(self, running: Running, task: Task, lease: Lease) -> Outcome:
        begun_ns = self._now()
        try:
            request = await self._requests.get(task.task_id, task.origin)
        except TaskError as exc:
            failure = Failure.model_validate({"code": exc.code, "problem": exc.problem, "remedy": exc.remedy})
            return not_run(lease, begun_ns, self._now(), failure)
        assignment = Assignment(
            request,
            lease.attempt,
            lease.gpu_uuids,
            lease.memory_bytes,
            task.deadline_ns or None,
            f"{task.task_id}/{lease.attempt}",
        )
        if task.ended_by is not None or lease.reclaiming:
            running.cancel.set()
        return await self._runner.run(assignment, self._note_progress, running.cancel)

    def _note_progress(self, progress: TaskProgress) -> None:
        self._progress[progress.task_id] = progress

    async def _end(self, key: Key, draft: Draft) -> None:
        """Say that an attempt is over and its bytes are back; then publish, if that was the task's end."""
        ended = ended_record(draft, self._head(draft.at_ns))
        released = Released(**self._head(self._now()), task_id=key[0], attempt=key[1], agent=draft.agent)
        await self._counted(ended, key, released)
        self.counts.ended += 1
        await self._settle(draft)

    async def _settle(self, draft: Draft) -> None:
        """Publish the draft when the ledger says that it is the task's end; drop it in any case."""
        task = self.state.tasks.get(draft.task_id)
        ours = task is not None and task.is_over and task.attempt == draft.attempt
        if task is not None and ours and task.closed_by == draft.agent:
            late = self._now() - draft.at_ns > LATE_NS
            if not (late and await self._is_published(draft.task_id)):
                payload = codec.dumps(draft.final(task.state))
                await self._writer.write(topics.GPU_RESULTS, draft.task_id, [payload])
                self.counts.results += 1
        self.outbox.drop(draft.task_id, draft.attempt)

    async def _is_published(self, task_id: str) -> bool:
        name = topics.name(self._settings, topics.GPU_RESULTS)
        (topic,) = await admin.present(self._settings, topics.GPU_RESULTS)
        async with LogReader(self._settings) as reader:
            for partition in range(topic.partitions):
                async for message in reader.rest(name, partition):
                    if message.key == task_id.encode() and b'"state"' in (message.value or b""):
                        return True
        return False

    async def _counted(self, record: Started | Ended, key: Key, *more: Record) -> bool:
        """Write a record and others after it; whether it counts, once it has come back."""
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        place = (type(record), key)
        self._verdicts[place] = waiting
        try:
            await self._ledger.write([record, *more])
            return await waiting
        finally:
            self._verdicts.pop(place, None)

    def _head(self, at_ns: int) -> dict[str, Any]:
        return {
            "domain": self.options.domain,
            "owner": self.state.owner,
            "epoch": self.state.epoch,
            "at_ns": at_ns,
        }

    # Now and then.

    async def _renew(self) -> None:
        now_ns = self._monotonic()
        records: list[Record] = []
        for (task_id, attempt), running in self._running.items():
            lease = self.state.leases.get(task_id)
            if lease is None or lease.attempt != attempt or lease.reclaiming or not running.accepted:
                continue
            if now_ns - running.renewed_ns >= lease.lease_ns // 3:
                running.renewed_ns = now_ns
                head = self._head(self._now())
                records.append(Renewed(**head, task_id=task_id, attempt=attempt, agent=self.name))
        await self._ledger.write(records)

    async def _tell_progress(self) -> None:
        told, self._progress = self._progress, {}
        await asyncio.gather(
            *(
                self._writer.write(topics.GPU_RESULTS, task_id, [codec.dumps(progress)])
                for task_id, progress in told.items()
            )
        )

    async def _sweep(self) -> None:
        """Speak for agents of this host that are gone, and send what they had written down."""
        present = {lease.agent for lease in self.state.leases.values() if lease.agent}
        gone = {name for name in present if name != self.name and is_gone(name, self.host)}
        confirmed, self._absent = gone & self._absent, gone  # its children need a moment to go as well
        for lease in list(self.state.leases.values()):
            if lease.agent in confirmed and self._is_here(lease):
                await self._bury(lease)
        for draft in list(self.outbox.all()):
            if draft.agent != self.name and is_gone(draft.agent, self.host):
                await self._send_for(draft)

    async def _bury(self, lease: Lease) -> None:
        key, task = (lease.task_id, lease.attempt), self.state.tasks[lease.task_id]
        if key in self._buried:
            return
        self._buried.add(key)
        self.counts.buried += 1
        records: list[Record] = []
        if not lease.reclaiming:
            draft = self.outbox.get(*key)
            if draft is None:
                draft = await asyncio.to_thread(self.outbox.put, self._lost(task, lease))
            records.append(ended_record(draft, self._head(draft.at_ns)))
        head = self._head(self._now())
        records.append(Released(**head, task_id=key[0], attempt=key[1], agent=lease.agent))
        await self._ledger.write(records)

    def _lost(self, task: Task, lease: Lease) -> Draft:
        now_ns = self._now()
        return draft_of(
            lease.agent, task, lease, not_run(lease, lease.began_ns, now_ns, AGENT_KILLED), now_ns
        )

    async def _send_for(self, draft: Draft) -> None:
        """Settle the draft of a dead agent, unless its attempt still counts as live."""
        lease = self.state.leases.get(draft.task_id)
        if lease is not None and lease.attempt == draft.attempt and not lease.reclaiming:
            return
        await self._settle(draft)
