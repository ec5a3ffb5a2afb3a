"""Kafka clients made from the settings, and the rule that maps a symbol to its partition.

Topic names are full names, as :func:`streams.topics.name` gives them. Only ``streams`` imports the Kafka
client; what others need of it is here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, Producer

from schemas.settings import MAX_MESSAGE_BYTES, Settings
from streams.credentials import compiled_security, security, ssl_context
from streams.reach import START_BROKER, addresses, wait_for_broker

__all__ = [
    "DELIVERY_TIMEOUT_S",
    "MAX_RECORD_BYTES",
    "START_BROKER",
    "addresses",
    "admin",
    "compiled_consumer",
    "compiled_producer",
    "consumer",
    "partition_of",
    "producer",
    "security",
    "ssl_context",
    "started",
    "tell",
    "wait_for_broker",
]

FETCH_BYTES = 4 * 1_048_576
"""Bytes a partition and fetch.

Larger is slower: above 32 MiB an answer is mapped from the system afresh each time, page by page.
"""

READ_AHEAD_KB = 32 * 1024
"""What a compiled consumer reads ahead, over all partitions."""

DELIVERY_TIMEOUT_S = 120.0
"""How long services keep what they have sent for a broker that is away before they give it up."""

SEND_AHEAD_KB = 64 * 1024
"""What a compiled producer keeps for a broker that is slow or away."""

MAX_RECORD_BYTES = MAX_MESSAGE_BYTES - 4_096
"""Most bytes of key, value and headers in one record that :func:`producer` takes.

Above its limit a broker refuses the whole batch; what is kept free holds the batch's own header.
"""

Client = TypeVar("Client")


def producer(settings: Settings, **overrides: Any) -> AIOKafkaProducer:
    """A producer that waits for all replicas and cannot write a record twice.

    Await the future that ``send`` returns: a refused batch is told nowhere else. Start it by
    :func:`started`, or by its own ``start``.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.broker,
        "client_id": "tapestream",
        "acks": "all",
        "enable_idempotence": True,
        "max_batch_size": MAX_RECORD_BYTES,
        "max_request_size": MAX_RECORD_BYTES,
        "linger_ms": 1,
        **security(settings),
    }
    return AIOKafkaProducer(**(options | overrides))


def consumer(settings: Settings, *topics: str, **overrides: Any) -> AIOKafkaConsumer:
    """A consumer that starts at the beginning and commits only when told to.

    Pass ``group_id=topics.group(settings, ...)`` to join a group.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.broker,
        "client_id": "tapestream",
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "fetch_max_bytes": 24 * 1_048_576,
        "max_partition_fetch_bytes": FETCH_BYTES,
        "fetch_max_wait_ms": 100,
        **security(settings),
    }
    return AIOKafkaConsumer(*topics, **(options | overrides))


def compiled_consumer(settings: Settings, log: logging.Logger, **overrides: Any) -> Consumer:
    """A consumer that reads, checks and unpacks in threads of its own, for who is given partitions.

    It joins no group. ``overrides`` are librdkafka's options.
    """
    options: dict[str, Any] = {
        **_compiled(settings, log),
        "group.id": "tapestream",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_uncommitted",
        "check.crcs": True,
        "max.partition.fetch.bytes": FETCH_BYTES,
        "fetch.wait.max.ms": 100,
        # A queue that is full holds back the next fetch for a second by default.
        "fetch.queue.backoff.ms": 1,
        "queued.max.messages.kbytes": READ_AHEAD_KB,
    }
    return Consumer(options | overrides, logger=log)


def compiled_producer(settings: Settings, log: logging.Logger, **overrides: Any) -> Producer:
    """A producer as :func:`producer`, whose own threads talk to the broker.

    Look at what ``on_delivery`` is told of every record, and call ``poll``: nothing is told otherwise.
    ``overrides`` are librdkafka's options.
    """
    options: dict[str, Any] = {
        **_compiled(settings, log),
        "acks": "all",
        "enable.idempotence": True,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "batch.size": MAX_RECORD_BYTES,
        "queue.buffering.max.kbytes": SEND_AHEAD_KB,
        "linger.ms": 0,
        "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1e3),
        # Or an answer to one request is waited for before the next is sent.
        "socket.nagle.disable": True,
    }
    return Producer(options | overrides, logger=log)


def _compiled(settings: Settings, log: logging.Logger) -> dict[str, Any]:
    """What the compiled clients have in common."""
    return {
        "bootstrap.servers": settings.broker,
        "client.id": "tapestream",
        "reconnect.backoff.max.ms": 1_000,
        "error_cb": partial(tell, log),
        **compiled_security(settings),
    }


def tell(log: logging.Logger, error: KafkaError) -> None:
    """Say what a compiled client goes on after by itself: it connects again, it asks again."""
    log.warning("the broker: %s", error.str())


def admin(settings: Settings) -> AIOKafkaAdminClient:
    """A client that creates, deletes and describes topics and groups."""
    return AIOKafkaAdminClient(
        bootstrap_servers=settings.broker,
        client_id="tapestream",
        request_timeout_ms=15_000,
        **security(settings),
    )


@asynccontextmanager
async def started(settings: Settings, client: Client) -> AsyncIterator[Client]:
    """Start a client of this module, and stop it when the block ends.

    Raises
    ------
    BrokerUnavailable
        When nobody answers.
    BrokerError
        When the broker refuses us.
    """
    try:
        await wait_for_broker(settings, timeout_s=0.0)
        await client.start()  # type: ignore[attr-defined]
        yield client
    finally:
        await client.stop()  # type: ignore[attr-defined]


@lru_cache(maxsize=1 << 17)
def partition_of(symbol: str, partitions: int) -> int:
    """The partition of a symbol: what Kafka's own clients choose for the key ``symbol`` in UTF-8.

    Cached, because the hash is computed in Python and a market has few symbols.
    """
    return int((murmur2(symbol.encode()) & 0x7FFF_FFFF) % partitions)
