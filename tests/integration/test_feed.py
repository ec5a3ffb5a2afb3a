"""A feed on a real Kafka: every message of the partitions that were asked for, once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.errors import BrokerError
from schemas.settings import Settings
from streams import admin, clients, topics
from streams.broker import EmbeddedBroker
from streams.feed import BATCH, HELD, Feed
from tests.feeds import LIMIT_S, first_of
from tests.workers import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture
async def ticks(settings: Settings, topics_ready: None) -> str:
    return topics.name(settings, topics.TICKS)


@asynccontextmanager
async def feed_of(settings: Settings) -> AsyncIterator[Feed]:
    feed = Feed(settings, group=topics.group(settings), client_id="test")
    try:
        yield feed
    finally:
        await feed.close()


async def send(settings: Settings, name: str, partition: int, numbers: range) -> None:
    async with clients.started(settings, clients.producer(settings)) as producer:
        futures = [
            await producer.send(name, b"%d" % n, key=b"key", partition=partition, headers=[("n", b"%d" % n)])
            for n in numbers
        ]
        await asyncio.gather(*futures)


def damage_last(folder: Path, partition: str) -> None:
    """Turn a bit in the headers of the last message."""
    [segment] = folder.glob(f"kafka/**/{partition}/*.log")
    content = bytearray(segment.read_bytes())
    content[-2] ^= 1
    segment.write_bytes(content)


def offsets(messages: list[object]) -> list[int]:
    return [message.offset() for message in messages]  # type: ignore[attr-defined]


async def test_each_partition_is_read_from_where_it_was_told_and_in_order(
    settings: Settings, ticks: str
) -> None:
    await send(settings, ticks, 0, range(5))
    await send(settings, ticks, 1, range(100))
    async with feed_of(settings) as feed:
        await feed.read({(ticks, 0): 3, (ticks, 1): 0})
        assert set(feed.places) == {(ticks, 0), (ticks, 1)}
        short = await first_of(feed, (ticks, 0), 2)
        long = await first_of(feed, (ticks, 1), 100)
        assert (offsets(short), offsets(long)) == ([3, 4], list(range(100)))
        message = long[7]
        assert (message.value(), message.key(), message.headers()) == (b"7", b"key", [("n", b"7")])
        assert (feed.end_offset((ticks, 0)), feed.end_offset((ticks, 1))) == (5, 100)
        assert await feed.get([(ticks, 0), (ticks, 1)], 0.01) == {}
        await send(settings, ticks, 0, range(5, 6))
        assert offsets(await first_of(feed, (ticks, 0))) == [5]
        assert feed.end_offset((ticks, 0)) == 6


async def test_what_nobody_asks_for_is_held_then_left_on_the_broker_and_not_lost(
    settings: Settings, ticks: str
) -> None:
    await send(settings, ticks, 0, range(20 * HELD))
    await send(settings, ticks, 1, range(3))
    async with feed_of(settings) as feed:
        await feed.read({(ticks, 0): 0, (ticks, 1): 0})

        async def held() -> bool:
            await feed.get([], 0.01)
            return (ticks, 0) in feed._paused

        await eventually(held, "the partition that nobody asks for is paused")
        assert HELD <= len(feed._held[ticks, 0]) < HELD + BATCH
        assert offsets(await first_of(feed, (ticks, 1), 3)) == [0, 1, 2]
        assert offsets(await first_of(feed, (ticks, 0), 20 * HELD)) == list(range(20 * HELD))


async def test_a_partition_is_read_again_from_another_offset_also_after_a_pause(
    settings: Settings, ticks: str
) -> None:
    await send(settings, ticks, 0, range(200))
    async with feed_of(settings) as feed:
        await feed.read({(ticks, 0): 0})
        assert offsets(await first_of(feed, (ticks, 0), 10))[:10] == list(range(10))
        await feed.pause()
        await feed.read({(ticks, 0): 4})
        assert offsets(await first_of(feed, (ticks, 0), 196)) == list(range(4, 200))
        await feed.pause()
        await send(settings, ticks, 0, range(200, 201))
        assert offsets(await first_of(feed, (ticks, 0))) == [200]
        await feed.read({(ticks, 1): 0})
        await send(settings, ticks, 0, range(201, 202))
        await send(settings, ticks, 1, range(1))
        assert offsets(await first_of(feed, (ticks, 1))) == [0]
        assert await feed.get([(ticks, 0)], 0.01) == {}


async def test_what_comes_when_the_caller_has_given_up_is_there_for_the_next(
    settings: Settings, ticks: str
) -> None:
    async with feed_of(settings) as feed:
        await feed.read({(ticks, 0): 0})
        for number in range(20):
            asking = asyncio.create_task(feed.get([(ticks, 0)], 30.0))
            await asyncio.sleep(0)
            await send(settings, ticks, 0, range(number, number + 1))
            asking.cancel()
            done = await asyncio.gather(asking, return_exceptions=True)
            if not isinstance(done[0], dict) or not done[0]:
                assert offsets(await first_of(feed, (ticks, 0))) == [number]


async def test_where_the_log_has_moved_on_reading_begins_at_what_is_left(
    settings: Settings, ticks: str
) -> None:
    await send(settings, ticks, 0, range(10))
    async with feed_of(settings) as feed:
        await feed.read({(ticks, 0): 1_000})
        assert offsets(await first_of(feed, (ticks, 0), 10)) == list(range(10))


async def test_a_message_damaged_on_the_disk_is_told_with_its_coordinates(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "kafka", port=0) as broker:
        settings = Settings(broker=broker.address, data_dir=tmp_path, partitions=1)
        await admin.ensure_topics(settings, topics.TICKS)
        await send(settings, topics.TICKS, 0, range(3))
        await send(settings, topics.TICKS, 0, range(3, 4))
        damage_last(tmp_path, f"{topics.TICKS}-0")
        async with feed_of(settings) as feed:
            await feed.read({(topics.TICKS, 0): 0})
            with pytest.raises(BrokerError, match=r"market\.ticks\[0\]@3 cannot be read: .* failed CRC32C"):
                async with asyncio.timeout(LIMIT_S):
                    while True:
                        await feed.get([(topics.TICKS, 0)], 1.0)


async def test_a_broker_that_comes_back_is_read_on(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "kafka", port=0)
    with broker:
        settings = Settings(broker=broker.address, data_dir=tmp_path, partitions=1)
        await admin.ensure_topics(settings, topics.TICKS)
        await send(settings, topics.TICKS, 0, range(3))
        async with feed_of(settings) as feed:
            await feed.read({(topics.TICKS, 0): 0})
            assert offsets(await first_of(feed, (topics.TICKS, 0), 3)) == [0, 1, 2]
            broker.stop()
            assert await feed.get([(topics.TICKS, 0)], 0.5) == {}
            port = int(settings.broker.rpartition(":")[2])
            with EmbeddedBroker(tmp_path / "kafka", port=port):
                await send(settings, topics.TICKS, 0, range(3, 5))
                assert offsets(await first_of(feed, (topics.TICKS, 0), 2)) == [3, 4]
