"""Dead letters of ingest: the message as it came, or the one element of its array, and what was wrong."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import ConsumerRecord

from schemas.errors import DeliveryError, FrameError, TapestreamError
from schemas.headers import (
    H_ERROR,
    H_ORIGIN,
    H_REMEDY,
    Headers,
    Origin,
    check_version,
    dead_letter_headers,
)
from schemas.settings import Settings
from streams import topics
from streams.writer.memory import Producer

_OURS = (H_ORIGIN, H_ERROR, H_REMEDY)


def split_versions(
    records: list[ConsumerRecord],
) -> tuple[list[ConsumerRecord], list[tuple[ConsumerRecord, FrameError]]]:
    """Records that this version reads, and the others with their errors."""
    if not any(record.headers for record in records):
        return records, []
    known: list[ConsumerRecord] = []
    foreign: list[tuple[ConsumerRecord, FrameError]] = []
    for record in records:
        try:
            check_version(record.headers)
            known.append(record)
        except FrameError as error:
            foreign.append((record, error))
    return known, foreign


class DeadLetterWriter:
    """Sends dead letters, on the partition number of their origin.

    Parameters
    ----------
    settings
        Where the log is.
    producer
        A started one.
    timeout_s
        How long an acknowledgement may take.
    """

    def __init__(self, settings: Settings, producer: Producer, timeout_s: float) -> None:
        self._topic = topics.name(settings, topics.DEAD_LETTERS)
        self._producer = producer
        self._timeout_s = timeout_s
        self._in_flight: list[tuple[str, asyncio.Future[Any]]] = []

    async def send(
        self, record: ConsumerRecord, element: int | None, error: TapestreamError, payload: bytes | None
    ) -> None:
        """Send one; its headers are ours and then those that it came with.

        Parameters
        ----------
        record
            The message at fault.
        element
            The element of its array, when only that is.
        payload
            The message's value, or the element.
        """
        where = f"{topics.TICKS_JSON}[{record.partition}]@{record.offset}"
        if element is not None:
            where += f" [{element}]"
        origin = Origin(topics.TICKS_JSON, record.partition, record.offset, element or 0)
        problem = f"{where}: {error.problem}"
        kept: Headers = [(name, value) for name, value in record.headers if name not in _OURS]
        headers = dead_letter_headers(origin, problem, error.remedy) + kept
        key = topics.TICKS_JSON.encode()
        try:
            try:
                future = await self._producer.send(self._topic, payload, key, record.partition, None, headers)
            except MessageSizeTooLargeError:
                problem += "; too large to be copied here, read it there while the log keeps it"
                headers = dead_letter_headers(origin, problem, error.remedy)
                future = await self._producer.send(self._topic, None, key, record.partition, None, headers)
        except KafkaError as exc:
            raise self._undelivered(where, exc) from exc
        self._in_flight.append((where, future))

    async def flush(self) -> None:
        """Return when all are acknowledged; DeliveryError when one is not."""
        waiting, self._in_flight = self._in_flight, []
        for place, (where, future) in enumerate(waiting):
            try:
                await asyncio.wait_for(future, self._timeout_s)
            except (KafkaError, TimeoutError) as exc:
                self._in_flight = waiting[place:]  # a later flush must fail as well
                raise self._undelivered(where, exc) from exc

    def _undelivered(self, where: str, exc: BaseException) -> DeliveryError:
        return DeliveryError(
            f"{self._topic}: the dead letter of {where} was not acknowledged: {exc!r}",
            "see that the broker runs; start ingest again, it goes on from the last commit",
        )
