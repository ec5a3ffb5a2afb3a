"""The tick pipeline: feeds partitions with events, writes what they return, checkpoints, acknowledges.

The shell around :class:`agents.partition.Partition`. It knows the log (through ``streams``) and time, and
nothing of Faust: an event is anything with an offset, a value and an ``ack``. Its promise is DESIGN.md §3:
an event is acknowledged only after a checkpoint that holds it has been acknowledged, a checkpoint is
written only after every output up to it has been, and no exception gets out: what cannot be written stops
the worker before anything more is committed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from agents.cursor import Cursor, Step
from agents.outputs import Output, data_loss_output
from agents.pacing import CheckpointPacer
from agents.partition import Message, Partition, PartitionConfig
from schemas.errors import BrokerUnavailable, TapestreamError
from schemas.settings import Settings
from streams import checkpoints, topics
from streams.checkpoints import Checkpoint
from streams.log_reader import LogReader
from streams.output_log import OutputLog
from streams.recovery import Recovery, recover

log = logging.getLogger("tapestream.worker")

GATHERED_BYTES = 512 * 1024
"""Outputs of events that wait in line are sent together up to this size."""

MakeConfig = Callable[[int], PartitionConfig]


class LogEvent(Protocol):
    """An event as the pipeline needs it."""

    @property
    def message(self) -> Message:
        """Offset, time, headers and value."""

    def ack(self) -> None:
        """Let the consumer group move past it."""

    def drop_payload(self) -> None:
        """Free the value; the event itself is kept until it is acknowledged."""


class PartitionRunner:
    """One partition's state, its unacknowledged events and its checkpoints."""

    def __init__(self, pipeline: TickPipeline, partition: int) -> None:
        self.pipeline = pipeline
        self.number = partition
        self.state: Partition | None = None
        self.cursor = Cursor(0)
        self.saved_offset = 0
        self.checkpoint_bytes = 0
        self.recovery_s = 0.0
        self._slot = 0
        self._unacked: deque[tuple[int, LogEvent]] = deque()
        self._emitted: set[tuple[int, int]] = set()
        self._outputs: OutputLog | None = None
        self._lock = asyncio.Lock()
        self._saving = asyncio.Lock()

    async def accept(self, event: LogEvent, more: bool) -> None:
        """Compute one event, or skip it when the state has it; order is the caller's order.

        When more events wait, outputs are gathered, up to a limit; the last one sends them.
        """
        async with self._lock:
            if self.state is None:
                await self._recover()
            message = event.message
            step = self.cursor.see(message.offset)
            if step is Step.SKIP:
                event.ack()
                return
            if step is Step.FILL:
                await self._fill(*self.cursor.missing(message.offset))
            self.pipeline.note_event_in()
            self._compute(message)
            if not more or self._outputs is None or self._outputs.waiting_bytes > GATHERED_BYTES:
                await self._flush()
            self.pipeline.note_event_out()
            event.drop_payload()
            self._unacked.append((message.offset, event))

    async def load(self) -> None:
        """Load the state if it is not there, so that an idle partition has its accounting too."""
        async with self._lock:
            if self.state is None:
                await self._recover()

    async def _recover(self) -> None:
        started = time.perf_counter()
        found = await self._read_log()
        state = Partition(self.pipeline.config(self.number))
        positions = found.positions
        if found.checkpoint is not None:
            state.restore(found.checkpoint.state)
            positions = found.checkpoint.positions
            self._slot = 1 - found.checkpoint.slot
        self._emitted = set(found.emitted)
        self._outputs = OutputLog(
            self.pipeline.settings, self.pipeline.producer, self.number, dict(positions)
        )
        self.cursor = Cursor(found.next_offset)
        self.saved_offset = found.checkpoint.next_offset if found.checkpoint else -1
        if found.lost is not None:
            log.error(
                "%s[%d]: the log starts at %d, the state ends at %d: %d messages are lost",
                topics.TICKS,
                self.number,
                found.lost[1],
                found.lost[0],
                found.lost[1] - found.lost[0],
            )
            self._gather(found.lost[1], [data_loss_output(self.number, *found.lost)])
        self.state = state
        self.recovery_s = time.perf_counter() - started
        log.info(
            "%s[%d]: goes on at offset %d, %s, %d outputs are there already, %.0f ms",
            topics.TICKS,
            self.number,
            found.next_offset,
            f"state of {found.checkpoint.size:,} bytes" if found.checkpoint else "no checkpoint",
            len(found.emitted),
            self.recovery_s * 1e3,
        )

    async def _read_log(self) -> Recovery:
        while True:
            try:
                async with LogReader(self.pipeline.settings) as reader:
                    return await recover(self.pipeline.settings, reader, self.number)
            except BrokerUnavailable as exc:
                log.warning("%s[%d]: waiting for the broker: %s", topics.TICKS, self.number, exc)
                await asyncio.sleep(1.0)

    async def _fill(self, start: int, end: int) -> None:
        """Compute a range that the consumer group did not hand us, straight from the log."""
        log.warning("%s[%d]: reading offsets %d to %d again", topics.TICKS, self.number, start, end - 1)
        name = topics.name(self.pipeline.settings, topics.TICKS)
        async with LogReader(self.pipeline.settings) as reader:
            async for record in reader.read(name, self.number, start, end):
                headers = list(record.headers)
                self._compute(Message(record.offset, record.timestamp, headers, record.value))
                await self._flush()

    def _compute(self, message: Message) -> None:
        assert self.state is not None
        outputs = self.state.process(message, time.time_ns())
        self.cursor.advance(message.offset)
        self._gather(message.offset, outputs)

    def _gather(self, offset: int, outputs: list[Output]) -> None:
        assert self._outputs is not None
        for output in outputs:
            if self._emitted and (offset, output.index) in self._emitted:
                continue
            self._outputs.add(output.topic, output.key, output.value, output.headers)

    async def _flush(self) -> None:
        if self._outputs is not None and self._outputs.waiting_bytes:
            await self._outputs.flush()

    async def checkpoint(self) -> float:
        """Write a checkpoint if there is anything new, then acknowledge what it holds.

        Returns
        -------
        float
            Seconds of computing that it took, without waiting for the broker.
        """
        async with self._saving:
            async with self._lock:
                if (
                    self.state is None
                    or self._outputs is None
                    or self.cursor.next_offset <= self.saved_offset
                ):
                    return 0.0
                await self._flush()
                started = time.perf_counter()
                next_offset, state = self.cursor.next_offset, self.state.snapshot()
                sent = self._outputs.take_sent()
                spent = time.perf_counter() - started
            positions = await self._outputs.acknowledged(sent)
            started = time.perf_counter()
            checkpoint = Checkpoint(next_offset, positions, state, self._slot)
            parts = await asyncio.to_thread(checkpoints.cut, checkpoint, checkpoints.new_token())
            spent += time.perf_counter() - started
            await checkpoints.save(self.pipeline.settings, self.pipeline.producer, self.number, parts)
            self._slot = 1 - self._slot
            self.saved_offset = next_offset
            self.checkpoint_bytes = parts.size
            while self._unacked and self._unacked[0][0] < next_offset:
                self._unacked.popleft()[1].ack()
            if self._emitted:
                self._emitted = {item for item in self._emitted if item[0] >= next_offset}
            return spent

    def drop(self) -> None:
        """Forget everything: another worker may own the partition now."""
        self.state = None
        self._unacked.clear()


class TickPipeline:
    """All partitions of one worker.

    Parameters
    ----------
    config
        The configuration of a partition, by number.
    on_failure
        Called once, with the reason, when the worker cannot go on; nothing is acknowledged after it.
    """

    def __init__(
        self, settings: Settings, config: MakeConfig, on_failure: Callable[[BaseException], None]
    ) -> None:
        self.settings = settings
        self.config = config
        self.runners: dict[int, PartitionRunner] = {}
        self.failure: BaseException | None = None
        self.checkpoint_s = 0.0
        self.checkpoints_written = 0
        self._first_s = 0.0
        self._last_s = 0.0
        self._on_failure = on_failure
        self._producer: Any = None
        self._loading: asyncio.Task[None] | None = None
        self._assigned: set[int] = set()
        self._pacer = CheckpointPacer(settings.checkpoint_interval_s, settings.checkpoint_share)
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the group has given us our partitions and nothing has failed."""
        return self._task is not None and self.failure is None and self._loading is not None

    @property
    def producer(self) -> Any:
        """The producer of outputs and checkpoints; there once the pipeline has started."""
        if self._producer is None:
            raise RuntimeError("the pipeline has not been started")
        return self._producer

    async def start(self) -> None:
        """Connect the producer and begin to checkpoint; call it in the loop that the events come in."""
        self._producer = OutputLog.new_producer(self.settings)
        await self._producer.start()
        self._task = asyncio.create_task(self._checkpoint_in_turn(), name="checkpoints")

    def assign(self, partitions: set[int]) -> None:
        """These partitions are ours from now on."""
        self._assigned = set(partitions)
        self._loading = asyncio.create_task(self._load(sorted(partitions)), name="loading")

    async def _load(self, partitions: list[int]) -> None:
        for partition in partitions:
            if partition in self._assigned:
                await self._guarded(self._runner(partition), lambda runner: runner.load())

    def _runner(self, partition: int) -> PartitionRunner:
        runner = self.runners.get(partition)
        if runner is None:
            runner = self.runners[partition] = PartitionRunner(self, partition)
        return runner

    async def _guarded(
        self, runner: PartitionRunner, work: Callable[[PartitionRunner], Awaitable[None]]
    ) -> None:
        """Do something with a partition; whatever goes wrong ends the worker, and never gets out."""
        try:
            await work(runner)
        except asyncio.CancelledError:
            runner.drop()  # outputs of the last event may be half written; the checkpoint knows better
            raise
        except Exception as exc:
            runner.drop()
            self.fail(exc)
            await _forever()

    async def accept(self, partition: int, event: LogEvent, more: bool = False) -> None:
        """Take one event. Returns when it is computed; never, when the worker has failed or is closing.

        Parameters
        ----------
        more
            Whether more events of the partition wait behind it.
        """
        if self.failure is not None:
            await _forever()
        if partition not in self._assigned:
            return  # of an assignment that is over; whoever owns it now gets it again
        await self._guarded(self._runner(partition), lambda runner: runner.accept(event, more))

    async def release(self, partitions: set[int], commit: Callable[[], Awaitable[object]]) -> None:
        """Checkpoint and acknowledge what we hold of these partitions, then forget them."""
        self._assigned -= partitions
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        held = [self.runners[number] for number in sorted(partitions) if number in self.runners]
        try:
            if self.failure is None:
                async with asyncio.timeout(self.settings.shutdown_timeout_s):
                    for runner in held:
                        await self._checkpoint(runner)
                    await commit()
        except TimeoutError:
            log.warning(
                "gave up draining after %g s; the checkpoints stand", self.settings.shutdown_timeout_s
            )
        except Exception as exc:
            self.fail(exc)
        finally:
            for runner in held:
                runner.drop()
                self._pacer.forget(runner.number)
                self.runners.pop(runner.number, None)

    async def close(self, commit: Callable[[], Awaitable[object]]) -> None:
        """Drain, checkpoint, commit and disconnect, within the time that the settings allow."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.release(set(self._assigned), commit)
        if self._producer is not None:
            await self._producer.stop()

    @property
    def flow_s(self) -> float:
        """Seconds between the first event and the last."""
        return self._last_s - self._first_s

    def note_event_in(self) -> None:
        """Remember when the first event came, for rates."""
        if not self._first_s:
            self._first_s = time.perf_counter()

    def note_event_out(self) -> None:
        """Remember when the last event was done, for rates."""
        self._last_s = time.perf_counter()

    def fail(self, reason: BaseException) -> None:
        """Stop for good: nothing is computed, written or acknowledged any more."""
        if self.failure is None:
            self.failure = reason
            log.error("the worker stops: %s", reason, exc_info=not isinstance(reason, TapestreamError))
            self._on_failure(reason)

    async def _checkpoint_in_turn(self) -> None:
        while self.failure is None:
            if not self.runners:
                await asyncio.sleep(self._pacer.interval_s)
            for runner in list(self.runners.values()):
                await asyncio.sleep(self._pacer.pause_s(len(self.runners)))
                try:
                    await self._checkpoint(runner)
                except Exception as exc:
                    self.fail(exc)
                    return

    async def _checkpoint(self, runner: PartitionRunner) -> None:
        spent = await runner.checkpoint()
        if spent:
            self._pacer.record(runner.number, spent)
            self.checkpoint_s += spent
            self.checkpoints_written += 1


async def _forever() -> None:
    """Hold an agent where it is: returning would let Faust go on to the next event."""
    await asyncio.Event().wait()
