"""Writing to a partition of ``market.ticks`` that a model is in use from there on."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import DeliveryError
from schemas.promotions import Promotion
from schemas.settings import Settings
from streams import topics
from streams.writer.batches import EMPTY_FRAME


async def announce(
    settings: Settings, producer: AIOKafkaProducer, partition: int, promotion: Promotion
) -> int:
    """Write the notice; the offset that it got.

    Raises
    ------
    DeliveryError
        When the broker did not take it.
    """
    topic = topics.name(settings, topics.TICKS)
    try:
        record = await producer.send_and_wait(
            topic, EMPTY_FRAME, partition=partition, headers=promotion.headers()
        )
    except KafkaError as exc:
        raise DeliveryError(f"{topic}[{partition}]: promotion not written: {exc!r}") from exc
    return int(record.offset)
