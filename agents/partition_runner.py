"""One partition at work: its events in their order, its outputs, its checkpoints; the shell around one state.

Its promise is the pipeline's, see :mod:`agents.pipeline`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from agents.cursor import Cursor, Step
from agents.messages import Message
from agents.outputs import Output, data_loss_output
from agents.partition import Partition
from agents.reopening import Reopening
from schemas.errors import BrokerUnavailable
from streams import checkpoints, topics
from streams.checkpoints import Checkpoint
from streams.log_reader import LogReader
from streams.output_log import OutputLog
from streams.recovery import Recovery, recover

if TYPE_CHECKING:
    from agents.pipeline import TickPipeline

log = logging.getLogger("tapestream.worker")


GATHERED_BYTES = 512 * 1024
"""Outputs of events that wait in line are sent together up to this size."""


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
        self.read_ms: int | None = None
        self.checkpoint_bytes = 0
        self.recovery_s = 0.0
        self._slot = 0
        self._unacked: deque[tuple[int, LogEvent]] = deque()
        self._emitted: set[tuple[int, int]] = set()
        self._outputs: OutputLog | None = None
        self._reopening: Reopening | None = None
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
                self._gather_rest()
                return
            if step is Step.FILL:
                await self._fill(*self.cursor.missing(message.offset))
            self.pipeline.note_event_in()
            self._compute(message, more)
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
        self._reopening = reopening = Reopening(self.pipeline.config(self.number), found)
        state = await asyncio.to_thread(reopening.open)
        positions = found.positions
        if found.checkpoint is not None:
            positions = found.checkpoint.positions
            self._slot = 1 - found.checkpoint.slot
        self._emitted = set(found.emitted)
        self._outputs = OutputLog(self.pipeline.settings, self.pipeline.outputs, self.number, dict(positions))
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
                self._compute(Message(record.offset, record.timestamp, headers, record.value), more=False)
                await self._flush()

    def _compute(self, message: Message, more: bool) -> None:
        assert self.state is not None
        if self._reopening is not None and self._reopening.is_over(message.offset):
            self._gather_rest()
            self.state, self._reopening = self._reopening.change(self.state), None
        done = self.state.accept(message, time.time_ns(), more)
        self.cursor.advance(message.offset)
        self.read_ms = message.timestamp_ms
        for offset, outputs in done:
            self._gather(offset, outputs)

    def _gather_rest(self) -> None:
        """Finish what a device has accepted, so that the state is that of the cursor."""
        if self.state is not None:
            for offset, outputs in self.state.drain():
                self._gather(offset, outputs)

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
                self._gather_rest()
                await self._flush()
                started = time.perf_counter()
                next_offset, frozen = self.cursor.next_offset, self.state.freeze()
                sent = self._outputs.take_sent()
                spent = time.perf_counter() - started
            positions = await self._outputs.acknowledged(sent)
            started = time.perf_counter()
            slot, token = self._slot, checkpoints.new_token()
            parts = await asyncio.to_thread(
                lambda: checkpoints.cut(Checkpoint(next_offset, positions, frozen(), slot), token)
            )
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
