"""Messages of the partitions that a worker owns: read, checked and unpacked outside the interpreter's lock.

Who owns which partition, and up to where a group has come, is the group's business
(:mod:`agents.faust_consumer`). A feed is told where to start each partition, and brings what comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from confluent_kafka import KafkaError, Message, TopicPartition

from schemas.errors import BrokerError
from schemas.settings import Settings
from streams.clients import compiled_consumer, tell

log = logging.getLogger("tapestream.feed")

Place = tuple[str, int]
"""Topic (its full name) and partition."""

Answer = TypeVar("Answer")

BATCH = 512
"""Messages that are taken from the client, or handed over a partition, in one go."""

HELD = 256
"""Messages of a partition that may wait here for it to have room; beyond, it is paused."""

POLL_S = 0.1
"""Longest wait in the client: so soon a change of partitions is obeyed."""

PASSING = frozenset(
    (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
    )
)
"""Troubles that end by themselves: a broker restarts, a topic is being made anew."""


class Feed:
    """Reads partitions, each from the offset that it is told.

    Parameters
    ----------
    group
        In whose name to read. The feed does not join it: a broker may ask whether we may use it.
    client_id
        How the broker's log calls us.
    """

    def __init__(self, settings: Settings, *, group: str, client_id: str) -> None:
        self._client = compiled_consumer(settings, log, **{"group.id": group, "client.id": client_id})
        # One thread, so that a change of partitions never meets a poll.
        self._thread = ThreadPoolExecutor(1, "feed")
        self._polling: asyncio.Future[Any] | None = None
        self._held: dict[Place, deque[Message]] = {}
        self._paused: set[Place] = set()
        self._ends: dict[Place, int] = {}
        self._trouble: BrokerError | None = None

    @property
    def places(self) -> Collection[Place]:
        """What is being read."""
        return self._held.keys()

    def end_offset(self, place: Place) -> int | None:
        """Where the partition ended when something of it was last read; None before."""
        return self._ends.get(place)

    async def read(self, starts: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets, and no others; what was held is forgotten."""
        await self._in_thread(lambda: self._read(starts))

    async def pause(self) -> None:
        """Read nothing, and forget what was read ahead, until something is asked for again."""
        await self._in_thread(lambda: self._pause(self._held.keys()))

    async def get(self, places: Collection[Place], timeout_s: float) -> dict[Place, list[Message]]:
        """What has come of these partitions, in each one's order; waits for something to come.

        Returns
        -------
        dict of (str, int) to list of confluent_kafka.Message
            At most :data:`BATCH` messages a partition. Empty after the timeout, and sooner if something came
            for other partitions; it is held until these are asked for.

        Raises
        ------
        BrokerError
            When a partition cannot be read: no right to it, or a damaged message.
        """
        got = self._take(places)
        if not got and (self._polling is None or self._polling.done()):
            self._keep(self._client.consume(BATCH, 0))
            got = self._take(places)
        if not got:
            await self._in_thread(lambda: self._poll(min(timeout_s, POLL_S)))
            got = self._take(places)
        if not got and self._trouble is not None:
            raise self._trouble
        return got

    async def close(self) -> None:
        """Let go of the broker."""
        await self._in_thread(self._client.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        self._polling = future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        # Who waits may be cancelled; the thread goes on, and what it finds is kept.
        return await asyncio.shield(future)

    def _poll(self, timeout_s: float) -> None:
        first = self._client.poll(timeout_s)
        if first is not None:
            self._keep([first, *self._client.consume(BATCH, 0)])

    def _keep(self, messages: list[Message]) -> None:
        come = set()
        for message in messages:
            place = (message.topic(), message.partition())
            error = message.error()
            if error is not None:
                self._note(place, message.offset(), error)
            elif place in self._held:
                self._held[place].append(message)
                come.add(place)
        for place in come:
            _, end = self._client.get_watermark_offsets(TopicPartition(*place), cached=True)
            self._ends[place] = max(end, self._held[place][-1].offset() + 1)
        full = {place for place in come if len(self._held[place]) >= HELD}
        if full:
            self._pause(full)

    def _note(self, place: Place, offset: int | None, error: KafkaError) -> None:
        if error.code() in PASSING or error.retriable():
            tell(log, error)
            return
        where = f"{place[0]}[{place[1]}]" + (f"@{offset}" if offset is not None and offset >= 0 else "")
        self._trouble = BrokerError(
            f"{where} cannot be read: {error.str()}",
            "damaged on the broker's disk or on the way? see its log"
            if error.code() == KafkaError._BAD_MSG
            else "check what TAPESTREAM_SASL_USERNAME may read",
        )

    def _take(self, places: Collection[Place]) -> dict[Place, list[Message]]:
        got = {}
        for place in places:
            held = self._held.get(place)
            if held:
                got[place] = [held.popleft() for _ in range(min(BATCH, len(held)))]
            if place in self._paused and not held:
                self._paused.discard(place)
                self._client.resume([TopicPartition(*place)])
        return got

    def _pause(self, places: Collection[Place]) -> None:
        new = set(places) - self._paused
        self._paused |= new
        self._client.pause([TopicPartition(*place) for place in new])

    def _read(self, starts: Mapping[Place, int]) -> None:
        if self._paused:  # outlives the assignment
            self._client.resume([TopicPartition(*place) for place in self._paused])
        self._client.unassign()
        self._held = {place: deque() for place in starts}
        self._paused, self._trouble = set(), None
        self._ends = {place: end for place, end in self._ends.items() if place in starts}
        if starts:
            self._client.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
