"""The orchestrator's process: follows the log, owns the domain when nobody does, and writes what is decided.

One round after the other: fold what has arrived; if this is the owner and everything that it wrote is back,
decide, and write. Invariants

- A decision rests on exactly the records up to its ``basis``: nothing of ours is under way meanwhile.
- Only the owner writes; the fold ignores it from the moment that another has claimed the domain.
- Each request is read in its partition's order, from where the last one that counted lies.
- A result is published only of a task that the fold knows to be over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from orchestrator.guard import PeakEstimate, PeakMemory
from orchestrator.ledger import State, snapshot
from orchestrator.ledger_log import Entry, LedgerLog
from orchestrator.policies import Policy, options_of
from orchestrator.scheduling import Scheduler
from orchestrator.service.intake import Message, Needs, Undecodable, take_in
from orchestrator.service.memory_desk import MemoryDesk
from orchestrator.service.options import Counts, OrchestratorOptions
from orchestrator.service.results_watch import ResultsWatch, task_of_result
from orchestrator.service.sightings import head_of, seen, silent
from schemas import codec
from schemas.allocations import CancelRequested, HealthChanged, OwnerClaimed, PolicyChanged, Record, Tick
from schemas.devices import DeviceReport
from schemas.errors import FrameError
from schemas.headers import Origin, dead_letter_headers
from schemas.settings import Settings
from schemas.tasks import TaskResult
from streams import admin, topics
from streams.log_writer import LogWriter, log_writer
from streams.partition_tail import PartitionTail
from streams.process_name import ProcessName, is_gone

log = logging.getLogger("tapestream.orchestrate")

TOPICS = (
    topics.ALLOCATIONS,
    topics.GPU_TASKS,
    topics.GPU_DEVICES,
    topics.GPU_RESULTS,
    topics.GPU_COMMANDS,
    topics.MEMORY_ALERTS,
    topics.DEAD_LETTERS,
)
SECOND_NS = 1_000_000_000
DEVICES_PATIENCE_NS = 5 * SECOND_NS
"""Requests wait so long for the first device of a domain to report."""
INTAKE_WAIT_MS = 20
"""A task waits so long at most because its neighbour came first."""


@dataclass(slots=True)
class _Office:
    """What an owner has, from its claim until another one's."""

    epoch: int
    scheduler: Scheduler
    watch: ResultsWatch
    tasks: PartitionTail
    devices: PartitionTail
    results: PartitionTail
    memory: MemoryDesk
    stack: AsyncExitStack
    since_ns: int
    heard_ns: dict[str, int] = field(default_factory=dict)
    doubted_ns: dict[str, int] = field(default_factory=dict)
    peaks: PeakMemory = field(default_factory=PeakMemory)
    snapshot_at: int = 0
    ticked_ns: int = 0


class Orchestrator:
    """One orchestrator; several at once are safe.

    Parameters
    ----------
    policy
        Who goes first and where.
    needs
        What the known types of tasks need when a request does not say.
    now_ns, monotonic_ns
        The wall clock, and the one that silence is measured by.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        needs: Needs,
        options: OrchestratorOptions | None = None,
        *,
        name: str = "",
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.options = options or OrchestratorOptions()
        self.name = name or str(ProcessName.own())
        self.counts = Counts()
        self.host = ProcessName.own().host
        self.agents_seen: set[str] = set()
        self._settings, self._policy, self._needs = settings, policy, needs
        self._now, self._monotonic = now_ns, monotonic_ns
        self._woken = asyncio.Event()
        self._office: _Office | None = None
        self._owner_heard_ns = 0
        self._ledger: LedgerLog
        self._writer: LogWriter

    @property
    def ready(self) -> bool:
        """Whether the log is folded up to where it was when this began."""
        return hasattr(self, "_ledger") and self._ledger.caught_up

    @property
    def owns(self) -> bool:
        """Whether this process decides now."""
        return self._office is not None

    @property
    def memory(self) -> MemoryDesk | None:
        """The memory guard, while this process decides."""
        return self._office.memory if self._office else None

    @property
    def peaks(self) -> list[PeakEstimate]:
        """How much memory each type of task takes at most, while this process decides."""
        return self._office.peaks.all() if self._office else []

    @property
    def state(self) -> State:
        """What the log comes to; not to be changed."""
        return self._ledger.state

    async def run(self, stop: asyncio.Event) -> Counts:
        """Work until ``stop`` is set.

        Raises
        ------
        BrokerError
            When the log cannot be read or written. What was decided is on the log; start it again.
        """
        await admin.ensure_topics(self._settings, *TOPICS)
        async with (
            log_writer(self._settings) as self._writer,
            LedgerLog(self._settings, self.options.domain, self._writer, self._woken) as self._ledger,
        ):
            self._owner_heard_ns = self._monotonic()
            try:
                while not stop.is_set():
                    self._woken.clear()
                    await self._round()
                    await self._wait(stop)
            finally:
                await self._leave_office()
        return self.counts

    async def _wait(self, stop: asyncio.Event) -> None:
        """Until something has arrived, or it is time for a tick."""
        if self._woken.is_set():
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(min(self.options.tick_s, 0.2)):
                await self._woken.wait()

    async def _round(self) -> None:
        self.counts.rounds += 1
        for entry in self._ledger.fold():
            self._note(entry)
        if not self._ledger.caught_up or self._ledger.in_flight:
            return
        now_ns = max(self._now(), self.state.now_ns + 1)
        await self._follow_ownership(now_ns)
        if self._office is not None:
            await self._do_office(self._office, now_ns)

    def _note(self, entry: Entry) -> None:
        """What one more record means to us beyond the state."""
        record = entry.record
        if not entry.counts:
            self.counts.ignored += 1
            return
        agent = getattr(record, "agent", "")
        if agent:
            self.agents_seen.add(agent)
        if record.owner == self.state.owner and not agent:
            self._owner_heard_ns = self._monotonic()
        office = self._office
        if office is None:
            return
        task_id = getattr(record, "task_id", None)
        if task_id is not None:
            office.watch.ended(task_id)
        if isinstance(record, HealthChanged) and record.basis >= 0 and record.health == "SUSPECT":
            office.doubted_ns[record.gpu_uuid] = self._monotonic()

    # Ownership.

    async def _follow_ownership(self, now_ns: int) -> None:
        ours = self.state.owner == self.name
        if self._office is not None and (not ours or self._office.epoch != self.state.epoch):
            log.warning("%s has claimed the domain; this one follows", self.state.owner)
            await self._leave_office()
        elif ours and self._office is None:
            await self._enter_office()
        elif not ours and self._is_vacant():
            self.counts.claims += 1
            claim = OwnerClaimed(
                domain=self.options.domain, owner=self.name, epoch=self.state.epoch + 1, at_ns=now_ns
            )
            self._owner_heard_ns = self._monotonic()  # one claim a silence
            await self._ledger.write([claim])

    def _is_vacant(self) -> bool:
        owner = self.state.owner
        silence_ns = self._monotonic() - self._owner_heard_ns
        return not owner or is_gone(owner, self.host) or silence_ns > self.options.owner_silence_s * 1e9

    async def _enter_office(self) -> None:
        log.info("owner of domain %s, epoch %d", self.options.domain, self.state.epoch)
        stack = AsyncExitStack()
        starts = {
            partition: offset
            for (topic, partition), offset in self.state.next_inputs.items()
            if topic == topics.GPU_TASKS
        }

        async def tail(base: str, otherwise: str, **options: Any) -> PartitionTail:
            made = PartitionTail(self._settings, base, otherwise=otherwise, woken=self._woken, **options)
            return await stack.enter_async_context(made)

        try:
            tasks = await tail(topics.GPU_TASKS, "beginning", starts=starts, wait_ms=INTAKE_WAIT_MS)
            devices = await tail(topics.GPU_DEVICES, "end")
            results = await tail(topics.GPU_RESULTS, "beginning")
            alerts = await tail(topics.MEMORY_ALERTS, "beginning")
            commands = await tail(topics.GPU_COMMANDS, "beginning")
        except BaseException:
            await stack.aclose()
            raise
        watch = ResultsWatch(self.state)
        watch.begin()
        epoch, may_end = self.state.epoch, self.options.may_end
        memory = MemoryDesk(self.state, self._writer, alerts, commands, epoch=epoch, may_end=may_end)
        now_ns = self._monotonic()
        self._office = _Office(
            self.state.epoch,
            Scheduler(self.state, self._policy),
            watch,
            tasks,
            devices,
            results,
            memory,
            stack,
            now_ns,
            heard_ns=dict.fromkeys(self.state.devices, now_ns),
            snapshot_at=self._ledger.folded,
        )

    async def _leave_office(self) -> None:
        office, self._office = self._office, None
        if office is not None:
            self.state.changed_tasks = self.state.changed_devices = None
            await office.stack.aclose()

    # The owner's work.

    async def _do_office(self, office: _Office, now_ns: int) -> None:
        if (self.state.policy, self.state.policy_options) != (self._policy.label, options_of(self._policy)):
            change = PolicyChanged(
                **head_of(self.state, now_ns), policy=self._policy.label, options=options_of(self._policy)
            )
            await self._ledger.write([change])
            return
        await self._publish(office, now_ns)
        records: list[Record] = office.scheduler.decide(now_ns, basis=self._ledger.folded)
        self.counts.decisions += len(records)
        records += self._sightings(office, now_ns)
        records += await office.memory.work(now_ns)
        records += await self._intake(office, now_ns)
        if now_ns - office.ticked_ns >= self.options.tick_s * 1e9:
            office.ticked_ns = now_ns
            records += self._silences(office, now_ns)
            records.append(Tick(**head_of(self.state, now_ns)))
            records += self._snapshot(office, now_ns)
        await self._ledger.write(records)

    def _snapshot(self, office: _Office, now_ns: int) -> list[Record]:
        folded = self._ledger.folded
        if folded - office.snapshot_at < max(self.options.snapshot_every, 4 * len(self.state.tasks)):
            return []
        office.snapshot_at = folded
        return [*snapshot(self.state, owner=self.name, epoch=office.epoch, at_ns=now_ns, basis=folded)]

    async def _intake(self, office: _Office, now_ns: int) -> list[Record]:
        records: list[Record] = []
        if not self.state.devices and self._monotonic() - office.since_ns < DEVICES_PATIENCE_NS:
            return records  # what fits no known device would be refused
        underway: set[str] = set()
        for got in office.tasks.take(self.options.intake_most):
            message = Message(got.partition, got.offset, got.value, got.timestamp, tuple(got.headers))
            taken = take_in(self.state, message, self._needs, now_ns, office.peaks, underway)
            if isinstance(taken, Undecodable):
                await self._bury(message, taken)
            else:
                records.append(taken)
                if not isinstance(taken, CancelRequested):
                    underway.add(taken.task_id)
                self.counts.taken_in += 1
        return records

    async def _bury(self, message: Message, found: Undecodable) -> None:
        origin = Origin(topics.GPU_TASKS, message.partition, message.offset)
        where = f"{topics.GPU_TASKS}[{message.partition}]@{message.offset}: {found.error.problem}"
        headers = dead_letter_headers(origin, where, found.error.remedy) + list(message.headers)
        value = message.value or b""
        await self._writer.write(topics.DEAD_LETTERS, topics.GPU_TASKS, [value], headers=headers)
        self.counts.dead += 1

    def _sightings(self, office: _Office, now_ns: int) -> list[Record]:
        latest: dict[str, DeviceReport] = {}
        for got in office.devices.take():
            with suppress(FrameError):
                report = codec.decode(DeviceReport, got.value or b"")
                latest[report.gpu_uuid] = report
                office.memory.saw(report)
        mono_ns = self._monotonic()
        records: list[Record] = []
        for uuid, report in latest.items():
            office.heard_ns[uuid] = mono_ns
            doubted_ns = office.doubted_ns.get(uuid)
            doubted = doubted_ns is not None and mono_ns - doubted_ns < self.options.doubt_s * 1e9
            records += seen(self.state, report, now_ns, doubted=doubted)
        return records

    def _silences(self, office: _Office, now_ns: int) -> list[Record]:
        mono_ns = self._monotonic()
        records: list[Record] = []
        for uuid, device in self.state.devices.items():
            silence_ns = mono_ns - office.heard_ns.setdefault(uuid, mono_ns)
            records += silent(self.state, device, silence_ns, now_ns)
        return records

    async def _publish(self, office: _Office, now_ns: int) -> None:
        """Give a result to each task that a decision ended, once the topic was read up to its end."""
        for got in office.results.take():
            task_id = task_of_result(got.value)
            if task_id is not None:
                office.watch.saw(task_id)
                with suppress(FrameError):
                    office.peaks.learn(codec.decode(TaskResult, got.value or b""))
        if not office.results.caught_up:
            return
        due = office.watch.due(now_ns)
        await asyncio.gather(
            *(self._writer.write(topics.GPU_RESULTS, it.task_id, [codec.dumps(it)]) for it in due)
        )
        for result in due:
            office.watch.saw(result.task_id)
        self.counts.results += len(due)


def describe(orchestrator: Orchestrator) -> dict[str, Any]:
    """A few figures for the exit line."""
    counts = orchestrator.counts
    return {name: getattr(counts, name) for name in counts.__dataclass_fields__}
