"""A consumer outside of any group, placed where its reader wants to begin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BrokerUnavailable
from schemas.settings import Settings
from streams import admin, clients

Choose = Callable[[str, int, int, int], int]
"""From topic (its name in the table), partition, first offset and end to the offset to begin at."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The consumer, and what was so when it was placed.

    Attributes
    ----------
    bases
        Name on the broker to the name in the table of topics.
    starts, ends
        Where reading begins, and where each partition ended.
    """

    consumer: AIOKafkaConsumer
    bases: Mapping[str, str]
    starts: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]


@asynccontextmanager
async def placed(
    settings: Settings, bases: tuple[str, ...], choose: Choose, **options: Any
) -> AsyncIterator[Placed]:
    """All partitions of some topics, read from where ``choose`` says, until the block ends.

    Parameters
    ----------
    options
        Of the consumer.

    Raises
    ------
    TopicError
        When a topic is absent.
    BrokerUnavailable
        When no broker answers, also inside the block.
    """
    states = await admin.present(settings, *bases)
    names = {state.name: base for state, base in zip(states, bases, strict=True)}
    parts = [TopicPartition(state.name, number) for state in states for number in range(state.partitions)]
    consumer = clients.consumer(settings, **options)
    try:
        await consumer.start()
        consumer.assign(parts)
        firsts = await consumer.beginning_offsets(parts)
        ends = await consumer.end_offsets(parts)
        starts = {part: choose(names[part.topic], part.partition, firsts[part], ends[part]) for part in parts}
        for part, offset in starts.items():
            consumer.seek(part, offset)
        yield Placed(consumer, names, starts, ends)
    except KafkaError as exc:
        raise BrokerUnavailable(f"cannot read {', '.join(names)}: {exc!r}", clients.START_BROKER) from exc
    finally:
        await consumer.stop()
