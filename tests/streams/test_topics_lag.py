"""How far a group is behind: the arithmetic, then a real group."""

import time

import pytest
from aiokafka import TopicPartition

from schemas.errors import TapestreamError
from schemas.settings import Settings
from streams import admin, clients, lag, topics
from streams.lag import PartitionLag, lag_of, worst


def test_a_group_that_has_read_everything_is_zero_seconds_behind() -> None:
    found = lag_of("t", 0, committed=5, start=0, end=5, oldest_ms=None, at_ms=9_000)
    assert found == PartitionLag("t", 0, 5, 0, 5, messages=0, seconds=0.0)


def test_the_age_is_that_of_the_oldest_record_not_committed() -> None:
    found = lag_of("t", 0, committed=5, start=0, end=9, oldest_ms=7_500, at_ms=9_000)
    assert (found.messages, found.seconds) == (4, 1.5)


def test_before_the_first_commit_the_whole_log_is_ahead() -> None:
    assert lag_of("t", 0, committed=None, start=3, end=9, oldest_ms=9_000, at_ms=9_000).messages == 6


def test_what_the_log_dropped_unread_is_lost_and_not_behind() -> None:
    found = lag_of("t", 0, committed=2, start=7, end=9, oldest_ms=9_000, at_ms=9_000)
    assert (found.messages, found.lost) == (2, 5)


def test_a_commit_beyond_the_end_of_a_topic_made_anew_is_no_negative_lag() -> None:
    assert lag_of("t", 0, committed=500, start=0, end=3, oldest_ms=None, at_ms=9_000).messages == 0


def test_a_producers_clock_ahead_of_ours_gives_no_negative_age() -> None:
    assert lag_of("t", 0, committed=0, start=0, end=1, oldest_ms=9_500, at_ms=9_000).seconds == 0.0


def test_the_worst_of_no_partition_is_nothing_and_an_unknown_age_stays_unknown() -> None:
    assert worst([]) == (0, 0.0)
    rows = [lag_of("t", 0, 0, 0, 4, 8_000, 9_000), lag_of("t", 1, 0, 0, 2, 5_000, 9_000)]
    assert worst(rows) == (6, 4.0)
    assert worst([*rows, lag_of("t", 2, 0, 0, 2, None, 9_000)]) == (8, None)


async def produce(settings: Settings, topic: str, partition: int, *timestamps_ms: int) -> None:
    async with clients.started(settings, clients.producer(settings)) as producer:
        for stamp in timestamps_ms:
            await producer.send_and_wait(topic, b"x" * 1_000, partition=partition, timestamp_ms=stamp)


async def commit(settings: Settings, group: str, topic: str, offsets: dict[int, int]) -> None:
    consumer = clients.consumer(settings, group_id=group)
    async with clients.started(settings, consumer):
        consumer.assign([TopicPartition(topic, partition) for partition in offsets])
        await consumer.commit({TopicPartition(topic, part): offset for part, offset in offsets.items()})


@pytest.mark.kafka
async def test_the_lag_of_a_real_group_in_messages_and_seconds(settings: Settings) -> None:
    await admin.ensure_topics(settings, topics.TICKS)
    topic, group = topics.name(settings, topics.TICKS), topics.group(settings)
    now_ms = time.time_ns() // 1_000_000
    await produce(settings, topic, 0, now_ms - 9_000, now_ms - 6_000, now_ms - 2_000)
    await produce(settings, topic, 1, now_ms - 4_000)
    await produce(settings, topic, 2, now_ms - 5_000, now_ms - 5_000)
    await commit(settings, group, topic, {0: 1, 1: 1})
    assert await lag.group_lag(settings, group, at_ms=now_ms) == [
        PartitionLag(topic, 0, 1, 0, 3, messages=2, seconds=6.0),
        PartitionLag(topic, 1, 1, 0, 1, messages=0, seconds=0.0),
        PartitionLag(topic, 2, None, 0, 2, messages=2, seconds=5.0),
        PartitionLag(topic, 3, None, 0, 0, messages=0, seconds=0.0),
    ]


@pytest.mark.kafka
async def test_a_group_that_nobody_knows_is_an_error_that_lists_the_groups(settings: Settings) -> None:
    await admin.ensure_topics(settings, topics.TICKS)
    topic = topics.name(settings, topics.TICKS)
    await commit(settings, topics.group(settings, "mine"), topic, {0: 0})
    with pytest.raises(TapestreamError, match="has committed nothing") as caught:
        await lag.group_lag(settings, topics.group(settings, "yours"))
    assert topics.group(settings, "mine") in caught.value.remedy


@pytest.mark.kafka
async def test_the_workers_have_a_lag_before_they_ever_ran(settings: Settings) -> None:
    await admin.ensure_topics(settings, topics.TICKS)
    group, topic = lag.of_workers(settings)
    rows = await lag.group_lag(settings, group, topic)
    assert [(row.committed, row.messages) for row in rows] == [(None, 0)] * 4


@pytest.mark.kafka
async def test_a_topic_that_does_not_exist_has_no_partitions_to_be_behind_in(settings: Settings) -> None:
    group, topic = lag.of_workers(settings)
    assert await lag.group_lag(settings, group, topic) == []
