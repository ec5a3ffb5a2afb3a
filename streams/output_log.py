"""Writing a partition's outputs and knowing which of them the broker has."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import DeliveryError
from schemas.headers import Headers
from schemas.settings import Settings
from streams import clients, topics

Sent = list[tuple[str, "asyncio.Future[Any]"]]


class OutputLog:
    """The outputs of one partition of the ticks, all on the same partition number of their topics.

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
        self._sent: Sent = []

    @staticmethod
    def new_producer(settings: Settings) -> AIOKafkaProducer:
        """A producer for outputs; start it before use.

        It keeps trying for two minutes when the broker is away; longer than that, the worker stops and
        goes on from its checkpoint when it is started again.
        """
        return clients.producer(
            settings, client_id="tapestream-outputs", linger_ms=0, request_timeout_ms=120_000
        )

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        """Queue one output; its acknowledgement is awaited by :meth:`acknowledged`.

        Raises
        ------
        DeliveryError
            When the client does not take it, for its size or because it is closed.
        """
        try:
            future = await self._producer.send(
                self._names[topic], value, key=key, partition=self._partition, headers=headers
            )
        except KafkaError as exc:
            raise DeliveryError(f"{self._names[topic]}[{self._partition}]: output not sent: {exc}") from exc
        self._sent.append((topic, future))

    def take_sent(self) -> Sent:
        """What was sent since the last call."""
        sent, self._sent = self._sent, []
        return sent

    async def acknowledged(self, sent: Sent) -> dict[str, int]:
        """Wait until the broker has all of it; return the positions after it.

        Raises
        ------
        DeliveryError
            When the broker refused one of them or did not answer in time.
        """
        for topic, future in sent:
            try:
                record = await future
            except KafkaError as exc:
                raise DeliveryError(
                    f"{self._names[topic]}[{self._partition}]: output refused: {exc}",
                    "the worker goes on from its checkpoint when it is started again",
                ) from exc
            self._positions[topic] = max(self._positions.get(topic, 0), record.offset + 1)
        return dict(self._positions)
