"""What a feed makes of a broker's troubles: some pass, some end it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from schemas.errors import BrokerError
from schemas.settings import Settings
from streams.feed import Feed


def trouble(code: int, offset: int = -1001) -> SimpleNamespace:
    """What the client hands over instead of a message."""
    return SimpleNamespace(
        topic=lambda: "market.ticks",
        partition=lambda: 3,
        offset=lambda: offset,
        error=lambda: KafkaError(code, "the reason"),
    )


@pytest.fixture
def feed() -> Feed:
    return Feed(Settings(broker="127.0.0.1:1"), group="g", client_id="c")


async def test_a_refusal_is_told_with_its_partition_until_something_else_is_read(feed: Feed) -> None:
    feed._keep([trouble(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    with pytest.raises(BrokerError, match=r"market\.ticks\[3\] cannot be read: the reason") as caught:
        await feed.get([("market.ticks", 3)], 0.0)
    assert "TAPESTREAM_SASL_USERNAME" in caught.value.remedy
    await feed.read({})
    assert await feed.get([("market.ticks", 3)], 0.0) == {}
    await feed.close()


async def test_the_first_message_of_a_partition_has_its_offset_named_too(feed: Feed) -> None:
    feed._keep([trouble(KafkaError._BAD_MSG, 0)])
    with pytest.raises(BrokerError, match=r"market\.ticks\[3\]@0 cannot be read: the reason"):
        await feed.get([("market.ticks", 3)], 0.0)
    await feed.close()


@pytest.mark.parametrize("code", [KafkaError._ALL_BROKERS_DOWN, KafkaError.UNKNOWN_TOPIC_OR_PART])
async def test_what_passes_is_said_and_waited_out(
    feed: Feed, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tapestream.feed"):
        feed._keep([trouble(code)])
    assert "the broker: the reason" in caplog.messages
    assert await feed.get([("market.ticks", 3)], 0.0) == {}
    await feed.close()
