"""Reading a partition by offsets, outside of any consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import TracebackType

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from schemas.errors import BrokerUnavailable
from schemas.settings import Settings
from streams import clients


class LogReader:
    """Reads ranges of partitions, one after the other; an async context manager.

    Not for concurrent use: it has one consumer, and reading moves it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> LogReader:
        # A broker answers the requests of a connection in turn, so a fetch that waits for more would hold up
        # the next question by as long; we read what is there and never wait for more.
        consumer = clients.consumer(self._settings, fetch_max_wait_ms=2, retry_backoff_ms=5)
        try:
            await consumer.start()
        except KafkaError as exc:
            await consumer.stop()
            raise BrokerUnavailable(
                f"cannot read the log at {self._settings.broker}: {exc}", clients.START_BROKER
            ) from exc
        self._consumer = consumer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    @property
    def _client(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("LogReader is used outside of its async with block")
        return self._consumer

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that the log still has, and the one that the next message will get."""
        place = (topic, partition)
        return (await self.all_bounds([place]))[place]

    async def all_bounds(self, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
        """:meth:`bounds` of many partitions, asked for together."""
        partitions = [TopicPartition(*place) for place in places]
        try:
            begins = await self._client.beginning_offsets(partitions)
            ends = await self._client.end_offsets(partitions)
        except KafkaError as exc:
            names = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in partitions)
            raise BrokerUnavailable(f"{names}: bounds unknown: {exc}") from exc
        return {(tp.topic, tp.partition): (begins[tp], ends[tp]) for tp in partitions}

    async def rest(self, topic: str, partition: int, start: int = 0) -> AsyncIterator[ConsumerRecord]:
        """Yield the records from ``start`` on that the log still has, up to its end of now."""
        begin, end = await self.bounds(topic, partition)
        async for record in self.read(topic, partition, max(begin, start), end):
            yield record

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[ConsumerRecord]:
        """Yield the records with ``start <= offset < end`` in order; compaction may leave holes."""
        if start >= end:
            return
        tp = TopicPartition(topic, partition)
        self._client.assign([tp])
        self._client.seek(tp, start)
        while await self._client.position(tp) < end:
            for records in (await self._client.getmany(tp, timeout_ms=1_000)).values():
                for record in records:
                    if record.offset >= end:
                        return
                    yield record
