"""Outputs on a real Kafka: each once and in order, or an error that says which."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import DeliveryError
from schemas.headers import VERSION_HEADER
from schemas.settings import MAX_MESSAGE_BYTES, Settings
from streams import admin, topics
from streams.broker import EmbeddedBroker
from streams.log_reader import LogReader
from streams.output_log import OutputClient, OutputLog

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

LIMIT_S = 60


@contextmanager
def outputs(settings: Settings, partition: int = 0, **options: Any) -> Iterator[OutputLog]:
    client = OutputClient(settings, **options)
    yield OutputLog(settings, client, partition, {})
    client.close()


async def values(settings: Settings, base: str, partition: int = 0) -> list[bytes | None]:
    async with LogReader(settings) as reader:
        return [record.value async for record in reader.rest(topics.name(settings, base), partition)]


def add(log: OutputLog, base: str, numbers: range) -> list[bytes]:
    sent = [b"%d" % number for number in numbers]
    for value in sent:
        log.add(base, b"key", value, [VERSION_HEADER])
    return sent


@pytest.mark.usefixtures("topics_ready")
async def test_positions_are_those_of_what_was_sent_before_however_much_follows(settings: Settings) -> None:
    with outputs(settings, 1) as log:
        first = add(log, topics.FEATURES, range(5))
        signals = add(log, topics.SIGNALS, range(2))
        await log.flush()
        sent = log.take_sent()
        more = add(log, topics.FEATURES, range(5, 300))
        await log.flush()
        later = log.take_sent()
        # The newer ones are there before anyone asks about the older ones.
        assert await log.acknowledged(later) == {topics.FEATURES: 300}
        assert await values(settings, topics.FEATURES, 1) == first + more
        assert await log.acknowledged(sent) == {topics.FEATURES: 300, topics.SIGNALS: 2}
    with outputs(settings, 1) as log:
        add(log, topics.FEATURES, range(3))
        await log.flush()
        sent_now = log.take_sent()
        add(log, topics.FEATURES, range(3, 9))
        await log.flush()
        assert await log.acknowledged(sent_now) == {topics.FEATURES: 303}
        await log.acknowledged(log.take_sent())
    assert await values(settings, topics.SIGNALS, 1) == signals
    assert sent[0].after == 5


@pytest.mark.usefixtures("topics_ready")
async def test_a_client_that_is_full_is_waited_for_and_order_holds(settings: Settings) -> None:
    with outputs(settings, **{"queue.buffering.max.messages": 7}) as log:
        sent = add(log, topics.FEATURES, range(500))
        await log.flush()
        assert await log.acknowledged(log.take_sent()) == {topics.FEATURES: 500}
    assert await values(settings, topics.FEATURES) == sent


@pytest.mark.usefixtures("topics_ready")
async def test_what_the_broker_refuses_is_told_at_the_next_flush_and_when_it_is_waited_for(
    settings: Settings,
) -> None:
    with outputs(settings) as log:
        log.add(topics.FEATURES, b"key", bytes(MAX_MESSAGE_BYTES + 1), [VERSION_HEADER])
        await log.flush()
        with pytest.raises(DeliveryError, match=r"market\.features\[0\]: output refused: .*too large"):
            async with asyncio.timeout(LIMIT_S):
                await log.acknowledged(log.take_sent())
        with pytest.raises(DeliveryError, match="output refused"):
            await log.flush()


@pytest.mark.usefixtures("topics_ready")
async def test_what_the_client_does_not_take_is_told(settings: Settings) -> None:
    with outputs(settings) as log:
        log.add(topics.FEATURES, b"key", bytes(3 * MAX_MESSAGE_BYTES), [VERSION_HEADER])
        with pytest.raises(DeliveryError, match=r"market\.features\[0\]: outputs not sent: .*size"):
            await log.flush()


@pytest.mark.usefixtures("topics_ready")
async def test_a_whole_message_of_the_greatest_size_fits_a_dead_letter(settings: Settings) -> None:
    payload = bytes(MAX_MESSAGE_BYTES)
    with outputs(settings) as log:
        log.add(topics.DEAD_LETTERS, b"key", payload, [VERSION_HEADER, ("error", b"x" * 4_000)])
        await log.flush()
        assert await log.acknowledged(log.take_sent()) == {topics.DEAD_LETTERS: 1}
    assert await values(settings, topics.DEAD_LETTERS) == [payload]


async def test_a_broker_that_stays_away_is_given_up_in_time(settings: Settings) -> None:
    nobody = settings.model_copy(update={"broker": "127.0.0.1:1"})
    with outputs(nobody, **{"delivery.timeout.ms": 300}) as log:
        add(log, topics.FEATURES, range(3))
        await log.flush()
        with pytest.raises(DeliveryError, match=r"features\[0\]: output refused: .*timed out"):
            async with asyncio.timeout(LIMIT_S):
                await log.acknowledged(log.take_sent())


async def test_a_broker_that_comes_back_gets_each_output_once_and_in_order(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "kafka", port=0)
    with broker:
        settings = Settings(broker=broker.address, data_dir=tmp_path, partitions=1)
        await admin.ensure_topics(settings, topics.FEATURES)
        with outputs(settings) as log:
            sent = add(log, topics.FEATURES, range(10))
            await log.flush()
            await log.acknowledged(log.take_sent())
            broker.stop()
            for start in range(10, 40, 10):
                sent += add(log, topics.FEATURES, range(start, start + 10))
                await log.flush()
            port = int(settings.broker.rpartition(":")[2])
            with EmbeddedBroker(tmp_path / "kafka", port=port):
                async with asyncio.timeout(LIMIT_S):
                    assert await log.acknowledged(log.take_sent()) == {topics.FEATURES: 40}
                assert await values(settings, topics.FEATURES) == sent
