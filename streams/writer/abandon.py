"""Making a Kafka producer let go of what it has not sent.

An idempotent :class:`aiokafka.AIOKafkaProducer` tries for ever, and so does its ``stop``; nothing public ends
that. This reaches into it, in one place, and a test with a broker that stays away holds it to its word.
"""

from __future__ import annotations

from itertools import chain

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from streams.writer.memory import Producer


def abandon(producer: Producer) -> None:
    """Have the producer fail, at their next attempt, all records that are not acknowledged; then stop it."""
    if not isinstance(producer, AIOKafkaProducer):
        return
    sender, waiting = producer._sender, producer._message_accumulator
    if sender._txn_manager is None:
        return  # it has been told before
    if not sender._txn_manager.has_pid():  # it has never reached a broker, and waits for one before it sends
        sender.sender_task.cancel()
        waiting.fail_all(KafkaTimeoutError("abandoned"))
        return
    sender._txn_manager = None  # to the sender it is now a producer whose batches expire,
    for batch in chain(waiting._pending_batches, *waiting._batches.values()):
        batch._ttl = 0.0  # and they have
