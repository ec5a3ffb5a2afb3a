"""Topics on a real broker: created, compared, repaired, refused."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.admin import NewTopic

from schemas.errors import BrokerUnavailable, TopicError
from schemas.settings import Settings
from streams import admin, topics
from streams.broker.ports import free_ports

pytestmark = pytest.mark.kafka


async def make(settings: Settings, base: str, partitions: int, **config: str) -> None:
    async with admin.admin_client(settings) as client:
        await client.create_topics(
            [NewTopic(topics.name(settings, base), partitions, 1, topic_configs=config)]
        )


@pytest.mark.usefixtures("topics_ready")
async def test_created_topics_are_as_the_table_declares_them(settings: Settings) -> None:
    assert await admin.check(settings) == []
    states = await admin.describe(settings)
    assert [state.name for state in states] == [topics.name(settings, row.name) for row in topics.TOPICS]
    for state, row in zip(states, topics.TOPICS, strict=True):
        assert state.partitions == row.partition_count(settings)
        assert {key: state.config[key] for key in row.config()} == row.config()


async def test_only_what_is_absent_is_created(settings: Settings) -> None:
    assert await admin.ensure_topics(settings, topics.TICKS) == [topics.name(settings, topics.TICKS)]
    assert await admin.ensure_topics(settings, topics.TICKS, topics.BARS) == [
        topics.name(settings, topics.BARS)
    ]
    assert await admin.ensure_topics(settings, topics.TICKS, topics.BARS) == []


async def test_several_processes_may_create_the_same_topics_at_once(settings: Settings) -> None:
    await asyncio.gather(*(admin.ensure_topics(settings, topics.TICKS, topics.BARS) for _ in range(4)))
    assert await admin.check(settings, topics.TICKS, topics.BARS) == []


async def test_absent_topics_are_described_as_absent_and_are_not_created_by_asking(
    settings: Settings,
) -> None:
    for _ in range(2):
        assert await admin.describe(settings, topics.TICKS) == [
            admin.TopicState(topics.name(settings, topics.TICKS))
        ]


async def test_ticks_with_another_number_of_partitions_are_refused(settings: Settings) -> None:
    await make(settings, topics.TICKS, 2, **topics.topic(topics.TICKS).config())
    with pytest.raises(TopicError, match="partition count is 2, declared 4") as caught:
        await admin.ensure_topics(settings, topics.TICKS)
    assert "TAPESTREAM_PARTITIONS=2" in caught.value.remedy
    await admin.ensure_topics(settings.model_copy(update={"partitions": 2}), topics.TICKS)


async def test_a_topic_kept_too_shortly_is_refused_and_can_be_repaired(settings: Settings) -> None:
    await make(settings, topics.TICKS, 4, **{"retention.ms": "1000"})
    with pytest.raises(TopicError, match=r"retention\.ms is 1000, declared 604800000") as caught:
        await admin.ensure_topics(settings, topics.TICKS)
    assert "tapestream topics create --repair" in caught.value.remedy
    await admin.ensure_topics(settings, topics.TICKS, repair=True)
    assert await admin.check(settings, topics.TICKS) == []


async def test_repairing_does_not_hide_what_it_cannot_mend(settings: Settings) -> None:
    await make(settings, topics.TICKS, 2, **{"retention.ms": "1000"})
    with pytest.raises(TopicError, match="partition count is 2"):
        await admin.ensure_topics(settings, topics.TICKS, repair=True)


async def test_more_replicas_than_brokers_is_an_error_that_names_the_setting(settings: Settings) -> None:
    with pytest.raises(TopicError, match=r"market\.ticks cannot be created: .*TAPESTREAM_REPLICATION_FACTOR"):
        await admin.ensure_topics(settings.model_copy(update={"replication_factor": 9}), topics.TICKS)


async def test_deleting_absent_topics_is_fine(settings: Settings) -> None:
    await admin.ensure_topics(settings, topics.TICKS)
    await admin.delete_topics(settings)
    assert await admin.describe(settings, topics.TICKS) == [
        admin.TopicState(topics.name(settings, topics.TICKS))
    ]


@pytest.mark.parametrize(
    ("change", "trouble"),
    [(admin.ensure_topics, "has no leader"), (admin.delete_topics, "is still there")],
)
async def test_a_topic_that_never_settles_is_given_up(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Settings, str], Awaitable[object]],
    trouble: str,
) -> None:
    """As if the broker's answers never caught up with what it was told."""
    name = topics.name(settings, topics.TICKS)
    answers = [admin.TopicState(name)] if change is admin.ensure_topics else []

    async def describe(*_: object) -> list[admin.TopicState]:
        return [answers.pop()] if answers else [admin.TopicState(name, partitions=4, led=False)]

    monkeypatch.setattr(admin, "_describe", describe)
    monkeypatch.setattr(admin, "SETTLE_S", 0.1)
    with pytest.raises(TopicError, match=rf"market\.ticks {trouble} after 0\.1 s"):
        await change(settings, topics.TICKS)


async def test_without_a_broker_the_error_says_how_to_start_one() -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(BrokerUnavailable, match=f"no Kafka answers at {nobody}: .*tapestream broker"):
        await admin.ensure_topics(Settings(broker=nobody))
