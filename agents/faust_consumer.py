"""Faust's consumer with another client to read, and without the waits and tasks that slow down a worker.

Faust's own client keeps the group: who owns which partition, heartbeats, commits. What it would fetch is
fetched by :class:`streams.feed.Feed` instead, which needs the interpreter's lock for next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import types
from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import partial
from typing import Any

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP, ConsumerMessage
from mode.services import WaitResults

from schemas.settings import Settings
from streams.feed import Feed

FULL_WAIT_S = 0.002
"""How long to wait for partitions with room while others are full: those may have room any moment."""

HELD_WAIT_S = 0.5
"""How long a round of polling takes while everything is held."""

STAY_S = 1.0
"""How often to tell the group that we still poll."""


class GroupThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """The client that keeps the group, and fetches nothing."""

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """The partitions are ours; their messages are not this client's business."""
        client = self._ensure_consumer()
        client.pause(*client.assignment())
        await super().on_partitions_assigned(assigned, generation_id)

    async def stay(self) -> None:
        """Count as polling: who polls nothing for ``max.poll.interval`` leaves the group."""
        await self.call_thread(self._stay)

    async def _stay(self) -> None:
        with self._ensure_consumer()._subscription.fetch_context():
            pass


class PromptConsumer(Consumer):  # type: ignore[misc]
    """Reads by a feed, and waits for room in a buffer instead of for a second.

    When every partition's buffer is full Faust's fetcher sleeps for a second, whatever happens meanwhile.
    With frames the buffers run empty within 50 ms, and a worker that is behind would stand idle for most of
    its time.
    """

    def __init__(self, *args: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        conf = self.app.conf
        self._feed = Feed(settings, group=conf.id, client_id=f"{conf.broker_client_id}-feed")
        self._moved = False
        self._stayed_s = 0.0
        self._room = asyncio.Event()
        self._let_go = asyncio.Event()
        self._let_go.set()

    def hold(self, held: bool) -> None:
        """Fetch nothing from any partition, those to come included, until told otherwise."""
        if held:
            self._let_go.clear()
        else:
            self._let_go.set()

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:
        """Hand over a message without making tasks for it, if that does not have to wait.

        Faust asks for each message, "until it is in a stream's buffer, or the flow is suspended": four tasks
        a message, and a turn of the loop, in which the stream takes it out again, so that it never sees that
        more of them wait. The buffer is nearly always free.
        """
        if len(coros) != 2 or timeout is not None:  # Faust waits for other things in this way too
            return await super().wait_first(*coros, timeout=timeout)
        handing_over, suspended = coros
        try:
            waits_for = handing_over.send(None)
        except StopIteration as done:
            suspended.close()
            return WaitResults([handing_over], [done.value], False)
        except BaseException:
            suspended.close()
            raise
        return await super().wait_first(_finish(handing_over, waits_for), suspended)

    def _new_consumer_thread(self) -> GroupThread:
        return GroupThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """As in Faust; the feed follows."""
        found = await super().seek_to_committed()
        self._moved = True
        return found  # type: ignore[no-any-return]

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """As in Faust; the feed follows."""
        await super().seek_wait(partitions)
        self._moved = True

    async def _seek(self, partition: TP, offset: int) -> None:
        await super()._seek(partition, offset)
        self._moved = True

    def highwater(self, tp: TP) -> int | None:
        """The end of a partition when something of it was last read."""
        return self._feed.end_offset(tp)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust looks whether its client fetches."""

    async def on_stop(self) -> None:
        """Leave the group, then let go of the feed."""
        await super().on_stop()
        await self._feed.close()

    def on_buffer_drop(self, tp: Any) -> None:
        """There is room again."""
        super().on_buffer_drop(tp)
        self._room.set()

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        if self.flow_active and not self._let_go.is_set():
            await self._feed.pause()
            await self._thread.stay()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HELD_WAIT_S):
                    await self._let_go.wait()
            return {}, set()
        if self.flow_active and self._buffered_partitions and not self._get_active_partitions():
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._room.wait()
        return await super()._wait_next_records(timeout)  # type: ignore[no-any-return]

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        now_s = time.monotonic()
        if now_s - self._stayed_s > STAY_S:
            self._stayed_s = now_s
            await self._thread.stay()
        assigned = self.assignment()
        if self._moved or assigned != self._feed.places:
            self._moved = False
            await self._feed.read({tp: await self.position(tp) for tp in assigned})
        if self._buffered_partitions:
            timeout = min(timeout, FULL_WAIT_S)
        if not self.flow_active:  # a rebalance began meanwhile
            return {}
        return await self._feed.get(active_partitions or (), timeout)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        kind, timestamp_ms = record.timestamp()
        key, value = record.key(), record.value()
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset(),
            timestamp_ms / 1000.0,
            kind,
            record.headers() or (),
            key,
            value,
            None,
            len(key or b""),
            len(value or b""),
            tp,
            generation_id=self.app.consumer_generation_id,
        )


async def _finish(begun: Coroutine[Any, Any, Any], waits_for: Any) -> Any:
    return await _rest(begun, waits_for)


@types.coroutine
def _rest(begun: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """What is left of a coroutine that has begun and waits for a future."""
    step: Callable[[Any], Any]
    while True:
        try:
            answer = yield waits_for
            step = begun.send
        except BaseException as exc:
            answer, step = exc, begun.throw
        try:
            waits_for = step(answer)
        except StopIteration as done:
            return done.value


def use_prompt_consumer(app: faust.App, settings: Settings) -> None:
    """Let the application make its consumer of this class; call it before the application starts."""
    app.transport.Consumer = partial(PromptConsumer, settings=settings)
