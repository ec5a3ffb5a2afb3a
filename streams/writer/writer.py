"""The writer: carries frames of :mod:`streams.writer.batches` to Kafka and answers for each of them.

Invariants

- What :meth:`TickWriter.write` took is acknowledged by the broker when :meth:`TickWriter.flush` returns.
- After a failure nothing more is taken: each later call raises it again.
- At most ``max_in_flight_bytes`` of frames are unacknowledged; ``write`` waits for room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any, Self

from aiokafka.errors import KafkaError, KafkaTimeoutError

from schemas.errors import BrokerUnavailable, DeliveryError, TopicError
from schemas.settings import Settings
from schemas.ticks import Ticks
from streams import clients, topics
from streams.admin import CREATE_TOPICS
from streams.json_lane import Lane
from streams.writer.abandon import abandon
from streams.writer.batches import Batches, Frame, SourceRows
from streams.writer.memory import Producer

log = logging.getLogger("tapestream.writer")

STALLED_S = 3.0
"""An acknowledgement that takes longer than this is worth a line in the log."""
EXIT_S = 5.0
"""How long leaving with an error may try to send what waits."""
_TOPIC_TIMEOUT_S = 5.0


@dataclass(slots=True)
class _InFlight:
    frame: Frame
    since_s: float


class TickWriter:
    """Writes ticks to ``market.ticks``: by symbol to their partitions, batched into frames.

    Use it as an async context manager; leaving it flushes. Safe to share between tasks of one loop.

    Parameters
    ----------
    settings
        Where the log is; the topic must have ``settings.partitions`` partitions.
    max_ticks
        Ticks that make a frame.
    max_bytes
        Most bytes of a frame.
    max_age_ms
        How long a tick may wait for company; None to send full frames only, until ``flush``. Then the
        same writes give the same frames, whatever the clock does.
    heartbeat_ms
        After how long without ticks, while others had some, a partition is told the event time; None for
        never.
    max_in_flight_bytes
        Bound of what is sent and not yet acknowledged.
    delivery_timeout_s
        How long a broker may be away before a frame is given up with :class:`DeliveryError`.
    broker_timeout_s
        How long to wait at the start for a broker to answer.
    producer
        Another producer to send with, such as :class:`~streams.writer.memory.MemoryProducer`. It is
        started and stopped with the writer.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        max_ticks: int = 4096,
        max_bytes: int = 900_000,
        max_age_ms: float | None = 20,
        heartbeat_ms: float | None = 1000,
        max_in_flight_bytes: int = 32 * 1_048_576,
        delivery_timeout_s: float = 60.0,
        broker_timeout_s: float = 30.0,
        producer: Producer | None = None,
    ) -> None:
        if not 1 <= max_ticks <= 65_536:
            raise ValueError(f"max_ticks must be 1 to 65536, was {max_ticks}")
        if not 4_096 <= max_bytes <= clients.MAX_RECORD_BYTES - 1_024:
            limit = clients.MAX_RECORD_BYTES - 1_024
            raise ValueError(f"max_bytes must be 4096 to {limit}, was {max_bytes}")
        self.topic = topics.name(settings, topics.TICKS)
        self.ticks = 0
        """Ticks that the broker has acknowledged."""
        self.frames = 0
        """Frames that the broker has acknowledged, heartbeats not among them."""
        self.bytes = 0
        """Bytes of those frames."""
        self.written = 0
        """Ticks taken in."""
        self.heartbeats = 0
        """Heartbeats sent."""
        self.positions: dict[int, int] = {}
        """By partition, the offset after the last frame that was acknowledged."""
        self._settings = settings
        self._limits = (max_ticks, max_bytes)
        self._max_age_s = None if max_age_ms is None else max_age_ms / 1e3
        self._heartbeat_s = None if heartbeat_ms is None else heartbeat_ms / 1e3
        self._max_in_flight_bytes = max_in_flight_bytes
        self._delivery_timeout_s = delivery_timeout_s
        self._broker_timeout_s = broker_timeout_s
        self._given = producer
        self._in_flight: dict[asyncio.Future[Any], _InFlight] = {}
        self._in_flight_bytes = 0
        self._outbox: deque[Frame] = deque()
        self._failure: DeliveryError | None = None
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._lane = Lane()
        self._lane_since_s = 0.0
        self._waking_s = inf
        self._stalled = False
        self._batches: Batches
        self._producer: Producer
        self._tasks: list[asyncio.Task[None]]

    async def __aenter__(self) -> Self:
        timeout_ms = int(self._delivery_timeout_s * 1e3)
        if self._given is None:
            await clients.wait_for_broker(self._settings, self._broker_timeout_s, on_wait=log.warning)
            self._producer = clients.producer(self._settings, request_timeout_ms=timeout_ms)
        else:
            self._producer = self._given
        self._loop = asyncio.get_running_loop()
        try:
            await self._producer.start()
            await self._check_topic()
        except KafkaError as exc:
            await self._producer.stop()
            raise BrokerUnavailable(
                f"no Kafka answers at {self._settings.broker}: {exc!r}", clients.START_BROKER
            ) from exc
        except BaseException:
            await self._producer.stop()
            raise
        max_ticks, max_bytes = self._limits
        self._batches = Batches(
            self._settings.partitions,
            max_ticks=max_ticks,
            max_bytes=max_bytes,
            max_age_s=self._max_age_s,
            now_s=self._loop.time(),
        )
        self._tasks = [asyncio.create_task(self._keep_time()), asyncio.create_task(self._watch())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await asyncio.wait_for(self.flush(), None if exc is None else EXIT_S)
        except (DeliveryError, TimeoutError) as failure:
            if exc is None:
                raise
            # the first trouble is the one to raise; this one must be seen too
            log.error("%s", str(failure) or f"{self.topic}: {self.written - self.ticks} ticks are abandoned")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            if self._failure is not None or exc is not None:
                abandon(self._producer)
            await self._producer.stop()

    async def write(self, ticks: Ticks, source: SourceRows | None = None) -> None:
        """Take in ticks, in order; all of them or, when this raises, none.

        Parameters
        ----------
        ticks
            Any mix of symbols; the arrays may be reused afterwards.
        source
            Where each row comes from; it is stated in the frames' headers.

        Raises
        ------
        TickError
            When a row has a null or a symbol is no good.
        DeliveryError
            When a frame, this one or an earlier, could not be delivered.
        """
        async with self._lock:
            self._check()
            self._take_in_single_ticks()
            self._outbox += self._batches.add(ticks, self._loop.time(), source)
            self.written += len(ticks)
            await self._send()
        self._wake_in_time()
        await asyncio.sleep(0)  # a caller that only ever writes must still let acknowledgements in

    async def write_tick(self, **fields: Any) -> None:
        """Take in one tick; the names and rules are those of :class:`schemas.messages.TickJson`.

        For programs that have their ticks one by one: about a hundred thousand a second. Columns are faster.

        Raises
        ------
        TickError
            Naming the field at fault.
        """
        self._check()
        if not len(self._lane):
            self._lane_since_s = self._loop.time()
        self._lane.add(fields)
        if len(self._lane) >= 512:
            async with self._lock:
                self._take_in_single_ticks()
                await self._send()
            await asyncio.sleep(0)
        self._wake_in_time()

    async def heartbeat(self, ts_event_ns: int, partitions: Iterable[int] | None = None) -> None:
        """Tell partitions that no tick before ``ts_event_ns`` will follow, so that their windows close.

        Ticks that wait go first. A partition that is already there is left alone.
        """
        async with self._lock:
            self._check()
            self._take_in_single_ticks()
            self._outbox += self._batches.heartbeat(ts_event_ns, self._loop.time(), partitions)
            await self._send()

    async def flush(self) -> None:
        """Return when the broker has acknowledged all that was written before the call.

        Raises
        ------
        DeliveryError
            When it did not.
        """
        async with self._lock:
            self._check()
            self._take_in_single_ticks()
            self._outbox += self._batches.drain()
            await self._send()
            sent = set(self._in_flight)
        if sent:
            await asyncio.wait(sent)
        self._check()

    @property
    def high_ns(self) -> int | None:
        """The highest event time written so far."""
        return self._batches.high_ns if self.written else None

    def _take_in_single_ticks(self) -> None:
        if len(self._lane):
            ticks = self._lane.take()
            self._outbox += self._batches.add(ticks, self._loop.time())
            self.written += len(ticks)

    async def _check_topic(self) -> None:
        """A symbol must go where every other producer sends it, so the counts must agree."""
        try:
            found = await asyncio.wait_for(self._producer.partitions_for(self.topic), _TOPIC_TIMEOUT_S)
        except (TimeoutError, KafkaError) as exc:
            raise TopicError(
                f"{self.topic}: no such topic on {self._settings.broker}", CREATE_TOPICS
            ) from exc
        if len(found) != self._settings.partitions:
            raise TopicError(
                f"{self.topic} has {len(found)} partitions, the settings say {self._settings.partitions}",
                f"set TAPESTREAM_PARTITIONS={len(found)}, or create the topic anew",
            )

    async def _send(self) -> None:
        """Empty the outbox. A cancelled call leaves the rest there, for the next one."""
        while self._outbox:
            frame = self._outbox[0]
            size = len(frame.payload)
            while self._in_flight and self._in_flight_bytes + size > self._max_in_flight_bytes:
                self._room.clear()
                await self._room.wait()
                self._check()
            try:
                future = await self._producer.send(
                    self.topic, frame.payload, frame.key, frame.partition, None, frame.headers
                )
            except KafkaError as exc:
                self._fail(frame, exc)
                raise self._again() from exc
            self._outbox.popleft()
            self._in_flight[future] = _InFlight(frame, self._loop.time())
            self._in_flight_bytes += size
            future.add_done_callback(self._done)

    def _done(self, future: asyncio.Future[Any]) -> None:
        frame = self._in_flight.pop(future).frame
        self._in_flight_bytes -= len(frame.payload)
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            self._fail(frame, error)
        else:
            if frame.ticks:
                self.ticks += frame.ticks
                self.frames += 1
                self.bytes += len(frame.payload)
            else:
                self.heartbeats += 1
            self.positions[frame.partition] = future.result().offset + 1
        self._room.set()

    def _fail(self, frame: Frame, error: BaseException) -> None:
        if self._failure is None:
            reason = str(error) or type(error).__name__
            self._failure = DeliveryError(
                f"{self.topic}[{frame.partition}]: {frame.ticks} ticks were not acknowledged: {reason}",
                "see that the broker runs and takes messages of this size; write again from the last flush",
            )
            self._failure.__cause__ = error

    def _again(self) -> DeliveryError:
        assert self._failure is not None
        error = DeliveryError(self._failure.problem, self._failure.remedy)
        error.__cause__ = self._failure.__cause__
        return error

    def _check(self) -> None:
        if self._failure is not None:
            raise self._again()

    async def _keep_time(self) -> None:
        """Send what has waited long enough, and beat for idle partitions."""
        while self._failure is None:
            self._wake.clear()
            beat_s = inf if self._heartbeat_s is None else self._loop.time() + self._heartbeat_s / 2
            self._waking_s = min(self._next_due_s(), beat_s)
            pause_s = None if self._waking_s == inf else max(self._waking_s - self._loop.time(), 0.0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause_s)
            try:
                async with self._lock:
                    await self._send_what_is_due(self._loop.time())
            except DeliveryError as failure:
                log.error("%s", failure)  # and the next call of write or flush raises it

    async def _send_what_is_due(self, now_s: float) -> None:
        if self._max_age_s is not None and len(self._lane):
            lane_is_due = self._lane_since_s + self._max_age_s <= now_s
            self._take_in_single_ticks()
            if lane_is_due:
                self._outbox += self._batches.drain()
        self._outbox += self._batches.due(now_s)
        if self._heartbeat_s is not None:
            self._outbox += self._batches.idle_heartbeats(now_s, self._heartbeat_s)
        await self._send()

    def _next_due_s(self) -> float:
        """When something waits too long; infinity when nothing does."""
        due_s = self._batches.next_due_s()
        if self._max_age_s is not None and len(self._lane):
            lane_due_s = self._lane_since_s + self._max_age_s
            due_s = lane_due_s if due_s is None else min(due_s, lane_due_s)
        return inf if due_s is None else due_s

    def _wake_in_time(self) -> None:
        if self._next_due_s() < self._waking_s:
            self._wake.set()

    async def _watch(self) -> None:
        """See to the acknowledgements; without the lock, which a write may hold while it waits for room."""
        while self._failure is None:
            await asyncio.sleep(min(STALLED_S, self._delivery_timeout_s) / 4)
            self._see_to_acknowledgements()

    def _see_to_acknowledgements(self) -> None:
        """Tell when they stall and when they come again; give up when they take too long."""
        oldest = min(self._in_flight.values(), key=lambda flight: flight.since_s, default=None)
        age_s = 0.0 if oldest is None else self._loop.time() - oldest.since_s
        if oldest is not None and age_s > self._delivery_timeout_s:
            self._fail(oldest.frame, KafkaTimeoutError(f"nothing for {age_s:.0f} s"))
            abandon(self._producer)  # which would try for ever
            for future in list(self._in_flight):
                future.cancel()
            return
        stalled = age_s > STALLED_S
        if stalled and not self._stalled:
            waiting = sum(flight.frame.ticks for flight in self._in_flight.values())
            log.warning(
                "%s: Kafka at %s does not acknowledge; %d ticks are kept and sent again, for up to %g s",
                self.topic, self._settings.broker, waiting, self._delivery_timeout_s,
            )  # fmt: skip
        elif self._stalled and not stalled:
            log.info("%s: Kafka acknowledges again", self.topic)
        self._stalled = stalled
