"""Watching a topic as it grows, outside of any consumer group: nobody's offsets move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from schemas.errors import BrokerUnavailable
from schemas.settings import Settings
from streams import admin, clients

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
    (state,) = await admin.present(settings, base)
    partitions = [TopicPartition(state.name, number) for number in range(state.partitions)]
    consumer = clients.consumer(settings)
    try:
        await consumer.start()
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions) if from_beginning else ends
        for partition, offset in begins.items():
            consumer.seek(partition, offset)
        yield _batches(consumer, ends if until_now else None)
    except KafkaError as exc:
        raise BrokerUnavailable(f"cannot follow {state.name}: {exc}", clients.START_BROKER) from exc
    finally:
        await consumer.stop()


async def _batches(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int] | None) -> Batches:
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
