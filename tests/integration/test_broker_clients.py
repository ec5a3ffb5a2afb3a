"""The clients against a real broker: waiting for it, and its limit of a message."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from schemas.errors import BrokerError, BrokerUnavailable, SettingsError
from schemas.settings import MAX_MESSAGE_BYTES, Settings
from streams import admin, clients, topics
from streams.broker import EmbeddedBroker
from streams.broker.ports import free_ports

pytestmark = pytest.mark.kafka


async def test_a_broker_that_is_there_is_not_waited_for(settings: Settings) -> None:
    told: list[str] = []
    await clients.wait_for_broker(settings, on_wait=told.append)
    assert told == []


async def test_an_absent_broker_is_waited_for_with_one_message_and_a_remedy() -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    told: list[str] = []
    with pytest.raises(
        BrokerUnavailable, match=r"no Kafka answers at .* after 0\.3 s: .*refused|failed"
    ) as caught:
        await clients.wait_for_broker(Settings(broker=nobody), timeout_s=0.3, on_wait=told.append)
    assert len(told) == 1
    assert told[0].startswith(f"waiting for Kafka at {nobody}: ")
    assert "tapestream broker" in caught.value.remedy


async def test_waiting_ends_when_the_broker_comes_up(tmp_path: Path) -> None:
    [port] = free_ports(1)
    settings = Settings(broker=f"127.0.0.1:{port}")
    told: asyncio.Queue[str] = asyncio.Queue()
    waiting = asyncio.create_task(clients.wait_for_broker(settings, 120.0, told.put_nowait))
    await told.get()
    broker = EmbeddedBroker(tmp_path / "kafka", port=port)
    try:
        await asyncio.to_thread(broker.start)
        await waiting
    finally:
        await asyncio.to_thread(broker.stop)


async def test_something_that_is_no_kafka_is_told_as_such() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerError, match="no Kafka answers"):
            await clients.wait_for_broker(Settings(broker=f"127.0.0.1:{port}"), timeout_s=0.2)


async def test_the_second_of_two_addresses_is_tried(settings: Settings) -> None:
    both = f"127.0.0.1:{free_ports(1)[0]},{settings.broker}"
    await clients.wait_for_broker(settings.model_copy(update={"broker": both}), timeout_s=0.0)


@pytest.mark.parametrize(
    "broker", ["localhost", "localhost:", ":9092", "localhost:0", "localhost:99999", "a:b"]
)
def test_an_address_that_is_none_is_named(broker: str) -> None:
    with pytest.raises(SettingsError, match="is no host:port"):
        clients.addresses(broker)


def test_addresses_may_be_several_and_of_version_6() -> None:
    assert clients.addresses("a:1, [::1]:2,") == [("a", 1), ("::1", 2)]


async def test_the_largest_record_that_we_send_is_taken_by_every_topic_of_the_table(
    settings: Settings,
) -> None:
    await admin.ensure_topics(settings, topics.TICKS)
    largest = b"x" * (clients.MAX_RECORD_BYTES - 100)
    async with clients.started(settings, clients.producer(settings)) as producer:
        sent = await producer.send_and_wait(
            topics.name(settings, topics.TICKS), largest, key=b"key", partition=0
        )
    assert sent.offset == 0


async def test_a_record_beyond_the_limit_is_refused_here_and_not_silently_by_the_broker(
    settings: Settings,
) -> None:
    await admin.ensure_topics(settings, topics.TICKS)
    async with clients.started(settings, clients.producer(settings)) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send(topics.name(settings, topics.TICKS), b"x" * MAX_MESSAGE_BYTES, partition=0)


async def test_many_records_sent_at_once_are_cut_into_batches_that_the_broker_takes(
    settings: Settings,
) -> None:
    await admin.ensure_topics(settings, topics.TICKS)
    topic = topics.name(settings, topics.TICKS)
    async with clients.started(settings, clients.producer(settings, linger_ms=50)) as producer:
        futures = [await producer.send(topic, b"x" * 300_000, partition=0) for _ in range(10)]
        assert [(await future).offset for future in futures] == list(range(10))


async def test_a_symbol_goes_to_the_partition_that_another_kafka_client_chooses(settings: Settings) -> None:
    from confluent_kafka import Producer

    await admin.ensure_topics(settings, topics.TICKS)
    chosen: dict[str, int] = {}
    other = Producer({"bootstrap.servers": settings.broker, "partitioner": "murmur2"})
    symbols = [f"SYM{number}" for number in range(100)]
    for symbol in symbols:
        other.produce(
            topics.name(settings, topics.TICKS),
            b"",
            symbol,
            on_delivery=lambda _error, message: chosen.setdefault(
                message.key().decode(), message.partition()
            ),
        )
    await asyncio.to_thread(other.flush, 30)
    assert chosen == {symbol: clients.partition_of(symbol, settings.partitions) for symbol in symbols}
