"""Writing a partition's outputs and knowing which of them the broker has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import DeliveryError
from schemas.headers import Headers
from schemas.settings import Settings
from streams import clients, topics

_Record = tuple[bytes, bytes, Headers]


@dataclass(frozen=True, slots=True)
class SentBatch:
    """Outputs that are on their way."""

    topic: str
    count: int
    future: asyncio.Future[Any]


class OutputLog:
    """The outputs of one partition of the ticks, all on the same partition number of their topics.

    Outputs are gathered and sent a batch a topic: a future a message, and a request a frame, would cost more
    than computing them.

    Parameters
    ----------
    positions
        Base name of each topic to the offset from which outputs may be newer than the saved state.
    """

    def __init__(
        self, settings: Settings, producer: AIOKafkaProducer, partition: int, positions: dict[str, int]
    ) -> None:
        self._producer = producer
        self._partition = partition
        self._names = {topic.name: topics.name(settings, topic.name) for topic in topics.TOPICS}
        self._positions = positions
        self._waiting: dict[str, list[_Record]] = {}
        self._sent: list[SentBatch] = []
        self.waiting_bytes = 0
        """Size of what :meth:`flush` would send."""

    @staticmethod
    def new_producer(settings: Settings) -> AIOKafkaProducer:
        """A producer for outputs; start it before use.

        While the broker is away it keeps what was sent and takes nothing more for two minutes; longer than
        that, the worker stops and goes on from its checkpoint when it is started again.
        """
        return clients.producer(
            settings, client_id="tapestream-outputs", linger_ms=0, request_timeout_ms=120_000
        )

    def add(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        """Put one output with those that wait to be sent."""
        self._waiting.setdefault(topic, []).append((key, value, headers))
        self.waiting_bytes += len(value)

    async def flush(self) -> None:
        """Send what waits; its acknowledgement is awaited by :meth:`acknowledged`.

        Raises
        ------
        DeliveryError
            When the client does not take it: it is closed, or the broker is away for too long.
        """
        waiting, self._waiting, self.waiting_bytes = self._waiting, {}, 0
        for topic, records in waiting.items():
            try:
                await self._send(topic, records)
            except KafkaError as exc:
                name = f"{self._names[topic]}[{self._partition}]"
                raise DeliveryError(f"{name}: outputs not sent: {exc!r}", clients.START_BROKER) from exc

    async def _send(self, topic: str, records: list[_Record]) -> None:
        batch, count = self._producer.create_batch(), 0
        for key, value, headers in records:
            added = batch.append(timestamp=None, key=key, value=value, headers=headers)
            if added is None:  # full
                await self._submit(topic, batch, count)
                batch, count = self._producer.create_batch(), 0
                batch.append(timestamp=None, key=key, value=value, headers=headers)
            count += 1
        await self._submit(topic, batch, count)

    async def _submit(self, topic: str, batch: Any, count: int) -> None:
        batch.close()
        future = await self._producer.send_batch(batch, self._names[topic], partition=self._partition)
        self._sent.append(SentBatch(topic, count, future))

    def take_sent(self) -> list[SentBatch]:
        """What was sent since the last call."""
        sent, self._sent = self._sent, []
        return sent

    async def acknowledged(self, sent: list[SentBatch]) -> dict[str, int]:
        """Wait until the broker has all of it; return the positions after it.

        Raises
        ------
        DeliveryError
            When the broker refused one of them.
        """
        for batch in sent:
            try:
                first = await batch.future
            except KafkaError as exc:
                raise DeliveryError(
                    f"{self._names[batch.topic]}[{self._partition}]: output refused: {exc}",
                    "the worker goes on from its checkpoint when it is started again",
                ) from exc
            after = first.offset + batch.count
            self._positions[batch.topic] = max(self._positions.get(batch.topic, 0), after)
        return dict(self._positions)
