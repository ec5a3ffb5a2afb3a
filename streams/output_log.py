"""Writing a partition's outputs and knowing which of them the broker has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.errors import DeliveryError
from schemas.headers import Headers
from schemas.settings import Settings
from streams import clients, topics

log = logging.getLogger("tapestream.outputs")

_Record = tuple[bytes, bytes, Headers]
_Settled = Callable[[KafkaError | None, Message], None]

FIRST_WAIT_S, LONGEST_WAIT_S = 0.001, 0.05
"""How long to leave the client alone between two looks at what the broker said."""


class OutputClient:
    """The one client of a worker's outputs; its threads talk to the broker, without the interpreter's lock.

    What the broker said of what was sent is heard when :meth:`serve` is called, in the calling thread. While
    the broker is away the client keeps what was sent, up to a limit, for two minutes; longer than that, the
    worker stops and goes on from its checkpoint when it is started again.

    Parameters
    ----------
    overrides
        librdkafka's options.
    """

    def __init__(self, settings: Settings, **overrides: Any) -> None:
        largest = max(topic.max_message_bytes for topic in topics.TOPICS)  # dead letters hold whole messages
        options = {"client.id": "tapestream-outputs", "message.max.bytes": largest}
        self._client = clients.compiled_producer(settings, log, **options | overrides)

    async def send(self, topic: str, partition: int, record: _Record, settled: _Settled) -> None:
        """Hand over one record; ``settled`` is told what became of it. Waits while the client is full.

        Raises
        ------
        KafkaException
            When the client does not take it.
        """
        key, value, headers = record
        waits = _waits()
        while True:
            try:
                self._client.produce(
                    topic, value=value, key=key, partition=partition, headers=headers, on_delivery=settled
                )
                return
            except BufferError:
                await asyncio.sleep(next(waits))
                self.serve()

    def serve(self) -> None:
        """Hear what the broker has said."""
        self._client.poll(0)

    def close(self) -> None:
        """Let go of the broker, and of what it has not acknowledged."""
        self._client.purge()
        self.serve()


@dataclass(slots=True)
class SentBatch:
    """Outputs of one topic that are on their way.

    Attributes
    ----------
    left
        How many of them the broker has not acknowledged.
    after
        Offset after the last one that it has.
    """

    topic: str
    left: int
    after: int = 0


class OutputLog:
    """The outputs of one partition of the ticks, all on the same partition number of their topics.

    Parameters
    ----------
    positions
        Base name of each topic to the offset from which outputs may be newer than the saved state.
    """

    def __init__(
        self, settings: Settings, client: OutputClient, partition: int, positions: dict[str, int]
    ) -> None:
        self._client = client
        self._partition = partition
        self._names = {topic.name: topics.name(settings, topic.name) for topic in topics.TOPICS}
        self._positions = positions
        self._waiting: dict[str, list[_Record]] = {}
        self._sent: list[SentBatch] = []
        self._refused: DeliveryError | None = None
        self.waiting_bytes = 0
        """Size of what :meth:`flush` would send."""

    def add(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        """Put one output with those that wait to be sent."""
        self._waiting.setdefault(topic, []).append((key, value, headers))
        self.waiting_bytes += len(value)

    async def flush(self) -> None:
        """Send what waits; its acknowledgement is awaited by :meth:`acknowledged`.

        Raises
        ------
        DeliveryError
            When the client does not take it, or the broker has refused one before it.
        """
        self._hear()
        waiting, self._waiting, self.waiting_bytes = self._waiting, {}, 0
        for topic, records in waiting.items():
            batch = SentBatch(topic, len(records))
            settled = partial(self._settle, batch)
            try:
                for record in records:
                    await self._client.send(self._names[topic], self._partition, record, settled)
            except KafkaException as exc:
                raise self._error(topic, f"outputs not sent: {exc.args[0].str()}") from exc
            self._sent.append(batch)

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
            waits = _waits()
            while batch.left:
                await asyncio.sleep(next(waits))
                self._hear()
            self._positions[batch.topic] = max(self._positions.get(batch.topic, 0), batch.after)
        return dict(self._positions)

    def _settle(self, batch: SentBatch, error: KafkaError | None, message: Message) -> None:
        if error is None:
            batch.left -= 1
            batch.after = max(batch.after, message.offset() + 1)
        elif self._refused is None:
            self._refused = self._error(batch.topic, f"output refused: {error.str()}")

    def _hear(self) -> None:
        self._client.serve()
        if self._refused is not None:
            raise self._refused

    def _error(self, topic: str, problem: str) -> DeliveryError:
        where = f"{self._names[topic]}[{self._partition}]"
        return DeliveryError(
            f"{where}: {problem}", "the worker goes on from its checkpoint when it is started again"
        )


def _waits() -> Iterator[float]:
    wait = FIRST_WAIT_S
    while True:
        yield wait
        wait = min(LONGEST_WAIT_S, 1.5 * wait)
