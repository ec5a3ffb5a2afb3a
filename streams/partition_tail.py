"""Partitions read from given offsets as they grow, into a bounded buffer, by a task of their own.

Outside of any consumer group: who reads knows where to go on. Several tails may share one event, so that
one loop waits for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from schemas.errors import BrokerUnavailable
from schemas.settings import Settings
from streams import clients, topics
from streams.placed import placed

POLL_MS = 500
ROOM_S = 0.01


class PartitionTail:
    """Reads all partitions of one topic; an async context manager.

    Parameters
    ----------
    base
        The topic's name in the table of topics.
    starts
        Partition to the first offset to read; a partition that is not named is read from ``otherwise``.
    otherwise
        ``"end"`` or ``"beginning"``.
    woken
        Set whenever records arrive, and when reading has failed.
    most
        Records that may wait; then reading pauses.
    wait_ms
        How long the broker may wait for records before it answers that there are none. Of several
        partitions those whose records are being taken are left out of a question, so theirs wait that long.
    """

    def __init__(
        self,
        settings: Settings,
        base: str,
        *,
        starts: Mapping[int, int] | None = None,
        otherwise: str = "end",
        woken: asyncio.Event | None = None,
        most: int = 10_000,
        wait_ms: int = POLL_MS,
    ) -> None:
        self._settings = settings
        self._base, self._name = base, topics.name(settings, base)
        self._starts = dict(starts or {})
        self._otherwise = otherwise
        self._most, self._wait_ms = most, wait_ms
        self.woken = woken or asyncio.Event()
        self._waiting: deque[ConsumerRecord] = deque()
        self._stack = AsyncExitStack()
        self._reading: asyncio.Task[None] | None = None
        self.ends: dict[int, int] = {}
        """The end of each partition when reading began."""
        self.starts: dict[int, int] = {}
        """Where reading began."""
        self._taken: dict[int, int] = {}

    @property
    def caught_up(self) -> bool:
        """Whether all that was there when reading began has been taken."""
        return all(self._taken.get(part, self.starts[part]) >= end for part, end in self.ends.items())

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            found = await stack.enter_async_context(
                placed(
                    self._settings,
                    (self._base,),
                    self._begin,
                    fetch_max_wait_ms=self._wait_ms,
                    retry_backoff_ms=20,
                )
            )
            self.starts = {part.partition: start for part, start in found.starts.items()}
            self.ends = {part.partition: end for part, end in found.ends.items()}
            self._reading = asyncio.create_task(self._read(found.consumer), name=f"tail of {self._name}")
            self._stack = stack.pop_all()
        return self

    def _begin(self, _: str, partition: int, first: int, end: int) -> int:
        start = self._starts.get(partition, end if self._otherwise == "end" else first)
        return min(max(start, first), end)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        await self._stack.aclose()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                while len(self._waiting) >= self._most:  # noqa: ASYNC110 - whoever takes has no event
                    await asyncio.sleep(ROOM_S)
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    self._waiting.extend(records)
                if self._waiting:
                    self.woken.set()
        finally:
            self.woken.set()

    def take(self, most: int | None = None) -> list[ConsumerRecord]:
        """What has arrived, at most so many records.

        Raises
        ------
        BrokerUnavailable
            When reading has failed.
        """
        if self._reading is not None and self._reading.done() and not self._reading.cancelled():
            error = self._reading.exception()
            raise BrokerUnavailable(f"cannot read {self._name}: {error!r}", clients.START_BROKER) from error
        if most is None or len(self._waiting) <= most:
            taken = list(self._waiting)
            self._waiting.clear()
        else:
            taken = [self._waiting.popleft() for _ in range(most)]
            self.woken.set()
        for record in taken:
            self._taken[record.partition] = record.offset + 1
        return taken
