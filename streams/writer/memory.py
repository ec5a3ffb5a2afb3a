"""A producer without a broker, for tests and dry runs: it keeps what it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from schemas.headers import Headers


class Producer(Protocol):
    """What the writer needs of a Kafka producer; :class:`aiokafka.AIOKafkaProducer` has it."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Send what waits and disconnect."""

    async def partitions_for(self, topic: str) -> set[int]:
        """The partitions of a topic."""

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[Any]:
        """Take a record; the future tells what became of it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that :class:`MemoryProducer` was given."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class MemoryProducer:
    """Keeps records in memory and acknowledges them, at once or when told to.

    Parameters
    ----------
    partitions
        How many partitions each topic has.
    acknowledge
        False to hold acknowledgements back until :meth:`acknowledge_all` or :meth:`refuse_all`.
    """

    def __init__(self, partitions: int, *, acknowledge: bool = True) -> None:
        self.sent: list[Sent] = []
        self.started = self.stopped = False
        self._partitions = partitions
        self._acknowledge = acknowledge
        self._held: list[tuple[asyncio.Future[Any], Sent]] = []

    async def start(self) -> None:
        """Note that it was called."""
        self.started = True

    async def stop(self) -> None:
        """Note that it was called."""
        self.stopped = True

    async def partitions_for(self, topic: str) -> set[int]:
        """The same number for each topic."""
        return set(range(self._partitions))

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[Any]:
        """Keep the record; its offset is its place among those of the same partition."""
        number = partition or 0
        offset = sum(sent.topic == topic and sent.partition == number for sent in self.sent)
        sent = Sent(topic, number, offset, key, value, list(headers or ()))
        self.sent.append(sent)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._acknowledge:
            future.set_result(sent)
        else:
            self._held.append((future, sent))
        return future

    def acknowledge_all(self) -> None:
        """Acknowledge what was held back."""
        for future, sent in self._held:
            future.set_result(sent)
        self._held.clear()

    def refuse_all(self, error: Exception) -> None:
        """Fail what was held back."""
        for future, _ in self._held:
            future.set_exception(error)
        self._held.clear()
