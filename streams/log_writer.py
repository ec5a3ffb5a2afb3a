"""Writing records of our own in one order, each acknowledged; the coordinates come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import DeliveryError
from schemas.headers import VERSION_HEADER, Headers
from schemas.settings import Settings
from streams import clients, topics

TIMEOUT_S = 30.0


class Writer(Protocol):
    """What most need of :class:`LogWriter`."""

    async def write(self, base: str, key: str, values: Sequence[bytes]) -> int:
        """Write values of one key in their order; DeliveryError when the broker does not take them all."""


class LogWriter:
    """Writes to any topic of the table; made by :func:`log_writer`."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, timeout_s: float = TIMEOUT_S) -> None:
        self._settings = settings
        self._producer = producer
        self._timeout_s = timeout_s

    async def write(
        self,
        base: str,
        key: str,
        values: Sequence[bytes],
        *,
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> int:
        """Write values of one key in their order; returns the last one's offset, -1 when there are none.

        Raises
        ------
        DeliveryError
            When the broker refuses one or does not answer. Some may then be on the log.
        """
        name = topics.name(self._settings, base)
        stated = [VERSION_HEADER] if headers is None else headers
        try:
            sent = [
                await self._producer.send(name, value, key=key.encode(), partition=partition, headers=stated)
                for value in values
            ]
            last = -1
            for acknowledged in sent:
                last = (await asyncio.wait_for(acknowledged, self._timeout_s)).offset
        except (KafkaError, TimeoutError) as exc:
            raise DeliveryError(f"{name}: {key} was not delivered: {exc!r}", clients.START_BROKER) from exc
        return last


@asynccontextmanager
async def log_writer(settings: Settings, timeout_s: float = TIMEOUT_S) -> AsyncIterator[LogWriter]:
    """A writer, until the block ends.

    Raises
    ------
    BrokerUnavailable
        When nobody answers.
    """
    producer = clients.producer(settings, linger_ms=0, request_timeout_ms=int(timeout_s * 1e3))
    async with clients.started(settings, producer):
        yield LogWriter(settings, producer, timeout_s)
