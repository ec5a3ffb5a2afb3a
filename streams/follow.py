"""Watching a topic as it grows, outside of any consumer group: nobody's offsets move."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.settings import Settings
from streams.placed import placed

POLL_MS = 250
"""How long a batch waits for records; an empty one then tells the reader that it is still alive."""

Batches = AsyncIterator[list[ConsumerRecord]]


@asynccontextmanager
async def follow(
    settings: Settings, base: str, *, from_beginning: bool = False, until_now: bool = False
) -> AsyncIterator[Batches]:
    """The records of a topic, in batches that may be empty; where it begins is fixed on entering.

    Parameters
    ----------
    settings
        Where the log is.
    base
        The topic's name in the table of topics.
    from_beginning
        Begin at the oldest record that is kept, not at the next one written.
    until_now
        End at the record that was the last one on entering, instead of waiting for more.

    Raises
    ------
    TopicError
        When the topic is absent.
    BrokerUnavailable
        When no broker answers. One that goes away later is waited for.
    """
    async with placed(settings, (base,), lambda _, __, first, end: first if from_beginning else end) as found:
        yield _batches(found.consumer, found.ends if until_now else None)


async def _batches(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int] | None) -> Batches:
    open_ends = None if ends is None else dict(ends)
    while open_ends is None or open_ends:
        if open_ends is not None:
            for partition in [p for p, end in open_ends.items() if await consumer.position(p) >= end]:
                del open_ends[partition]
                consumer.pause(partition)
            if not open_ends:
                return
        batch: list[ConsumerRecord] = []
        for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
            end = None if ends is None else ends[partition]
            batch += [record for record in records if end is None or record.offset < end]
        yield batch
