"""The writer on a producer in memory: what it takes, what it answers for, what it raises."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from schemas.errors import DeliveryError, TickError, TopicError
from schemas.frame import decode_frame
from schemas.headers import H_VERSION, H_WATERMARK, get_header
from schemas.settings import Settings
from schemas.ticks import QUOTE, TRADE
from streams.clients import partition_of
from streams.writer import MemoryProducer, TickWriter
from tests.streams.test_writer_batches import quotes
from tests.waiting import until

SETTINGS = Settings(partitions=4)
SPY = partition_of("SPY", 4)
TICK = {"symbol": "SPY", "ts_event_ns": 1, "kind": "trade", "trade_px": "10.000000001", "trade_sz": 2}


async def test_what_is_written_is_acknowledged_after_a_flush() -> None:
    producer = MemoryProducer(4)
    async with TickWriter(
        SETTINGS, max_ticks=100, max_age_ms=None, heartbeat_ms=None, producer=producer
    ) as writer:
        await writer.write(quotes(250, symbols=("SPY",)))
        assert (writer.written, len(producer.sent)) == (250, 2)
        await writer.flush()
        sizes = [len(sent.value or b"") for sent in producer.sent]
        assert (writer.ticks, writer.frames, writer.bytes) == (250, 3, sum(sizes))
        assert writer.positions == {SPY: 3}
    assert producer.stopped
    assert {(s.topic, s.partition, s.key, get_header(s.headers, H_VERSION)) for s in producer.sent} == {
        ("market.ticks", SPY, b"SPY", b"1")
    }


async def test_leaving_the_writer_flushes() -> None:
    producer = MemoryProducer(4)
    async with TickWriter(SETTINGS, max_age_ms=None, heartbeat_ms=None, producer=producer) as writer:
        await writer.write(quotes(7, symbols=("SPY",)))
    assert [len(decode_frame(sent.value or b"")) for sent in producer.sent] == [7]


async def test_a_tick_waits_no_longer_than_its_age() -> None:
    producer = MemoryProducer(4)
    async with TickWriter(SETTINGS, max_age_ms=1, heartbeat_ms=None, producer=producer) as writer:
        await writer.write(quotes(3, symbols=("SPY",)))
        await until(lambda: writer.ticks == 3)


async def test_single_ticks_keep_their_order_with_columns_and_their_age() -> None:
    producer = MemoryProducer(4)
    async with TickWriter(SETTINGS, max_age_ms=1, heartbeat_ms=None, producer=producer) as writer:
        await writer.write_tick(**TICK)
        await writer.write(quotes(1, symbols=("SPY",)))
        await writer.write_tick(
            symbol="SPY", ts_event_ns=3, kind="quote", bid_px=1.5, bid_sz=1, ask_px=2, ask_sz=0.5, sequence=9
        )
        await until(lambda: writer.ticks == 3)
    frames = [decode_frame(sent.value or b"") for sent in producer.sent]
    rows = [
        tuple(
            int(frame.columns[name][k]) for name in ("ts_event_ns", "kind", "trade_px", "bid_px", "sequence")
        )
        for frame in frames
        for k in range(len(frame))
    ]
    first_quote = int(quotes(1, symbols=("SPY",)).columns["bid_px"][0])
    assert rows == [
        (1, TRADE, 10_000_000_001, 0, 0),
        (1_000, QUOTE, 0, first_quote, 0),
        (3, QUOTE, 0, 1_500_000_000, 9),
    ]


async def test_many_single_ticks_need_no_flush_to_leave() -> None:
    producer = MemoryProducer(4)
    async with TickWriter(
        SETTINGS, max_ticks=256, max_age_ms=None, heartbeat_ms=None, producer=producer
    ) as writer:
        for k in range(600):
            await writer.write_tick(**TICK | {"ts_event_ns": k + 1})
        assert [len(decode_frame(sent.value or b"")) for sent in producer.sent] == [256, 256]


async def test_a_bad_single_tick_is_refused_by_its_field() -> None:
    async with TickWriter(SETTINGS, heartbeat_ms=None, producer=MemoryProducer(4)) as writer:
        with pytest.raises(TickError, match=r"trade_px: input should be greater than 0, was -1"):
            await writer.write_tick(**TICK | {"trade_px": -1})
        with pytest.raises(TickError, match=r"trade_px: more than 9 decimals, was 1\.0000000001"):
            await writer.write_tick(**TICK | {"trade_px": "1.0000000001"})
        await writer.flush()
        assert writer.written == 0


async def test_an_idle_partition_hears_of_the_time() -> None:
    producer = MemoryProducer(4)
    async with TickWriter(SETTINGS, max_age_ms=1, heartbeat_ms=2, producer=producer) as writer:
        await writer.write(quotes(3, symbols=("SPY",)))
        await until(lambda: writer.heartbeats == 3)
    beats = {s.partition: get_header(s.headers, H_WATERMARK) for s in producer.sent if s.key is None}
    assert beats == {p: b"1002" for p in range(4) if p != SPY}


async def test_an_explicit_heartbeat_goes_behind_the_ticks() -> None:
    producer = MemoryProducer(4)
    async with TickWriter(SETTINGS, max_age_ms=None, heartbeat_ms=None, producer=producer) as writer:
        await writer.write(quotes(3, symbols=("SPY",)))
        assert writer.high_ns == 1_002
        await writer.heartbeat(9_000)
        await writer.heartbeat(8_000)
    spy = [get_header(s.headers, H_WATERMARK) for s in producer.sent if s.partition == SPY]
    assert (spy, writer.heartbeats, len(producer.sent)) == ([None, b"9000"], 4, 5)


async def test_a_refused_frame_fails_the_flush_and_every_later_call() -> None:
    producer = MemoryProducer(4, acknowledge=False)
    writer = TickWriter(SETTINGS, max_age_ms=None, heartbeat_ms=None, producer=producer)
    await writer.__aenter__()
    await writer.write(quotes(5, symbols=("SPY",)))
    flushing = asyncio.create_task(writer.flush())
    await until(lambda: producer.sent)
    producer.refuse_all(KafkaTimeoutError())
    expected = rf"market\.ticks\[{SPY}\]: 5 ticks were not acknowledged: KafkaTimeoutError"
    with pytest.raises(DeliveryError, match=expected):
        await flushing
    for call in (writer.write(quotes(1)), writer.write_tick(**TICK), writer.heartbeat(10**9), writer.flush()):
        with pytest.raises(DeliveryError, match=expected):
            await call
    with pytest.raises(DeliveryError, match=expected):
        await writer.__aexit__(None, None, None)
    assert producer.stopped
    assert writer.ticks == 0


async def test_the_first_trouble_is_the_one_that_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    producer = MemoryProducer(4, acknowledge=False)
    with pytest.raises(RuntimeError, match="the caller's own"):
        async with TickWriter(
            SETTINGS, max_ticks=1, max_age_ms=None, heartbeat_ms=None, producer=producer
        ) as writer:
            await writer.write(quotes(1))
            producer.refuse_all(KafkaTimeoutError())
            await asyncio.sleep(0)
            raise RuntimeError("the caller's own")
    assert "1 ticks were not acknowledged" in caplog.text


class _Full(MemoryProducer):
    async def send(self, *args: object, **kwargs: object) -> asyncio.Future[object]:
        raise MessageSizeTooLargeError("too large")


async def test_a_frame_that_the_client_refuses_is_a_delivery_error() -> None:
    with pytest.raises(DeliveryError, match=r"1 ticks were not acknowledged.*too large"):
        async with TickWriter(SETTINGS, max_age_ms=None, heartbeat_ms=None, producer=_Full(4)) as writer:
            await writer.write(quotes(1))
            await writer.flush()


async def test_write_waits_while_too_much_is_unacknowledged() -> None:
    producer = MemoryProducer(4, acknowledge=False)
    async with TickWriter(
        SETTINGS,
        max_ticks=10,
        max_age_ms=None,
        heartbeat_ms=None,
        max_in_flight_bytes=5_000,
        producer=producer,
    ) as writer:
        writing = asyncio.create_task(writer.write(quotes(200, symbols=("SPY",))))
        await until(lambda: len(producer.sent) >= 2)
        for _ in range(20):
            await asyncio.sleep(0)
        held = len(producer.sent)
        assert held < 20
        assert not writing.done()
        assert sum(len(sent.value or b"") for sent in producer.sent) <= 5_000
        while not writing.done():
            producer.acknowledge_all()
            await asyncio.sleep(0)
        assert len(producer.sent) == 20
        producer.acknowledge_all()


async def test_a_cancelled_write_loses_nothing_that_it_took() -> None:
    producer = MemoryProducer(4, acknowledge=False)
    async with TickWriter(
        SETTINGS,
        max_ticks=10,
        max_age_ms=None,
        heartbeat_ms=None,
        max_in_flight_bytes=3_000,
        producer=producer,
    ) as writer:
        writing = asyncio.create_task(writer.write(quotes(100, symbols=("SPY",))))
        await until(lambda: producer.sent)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        flushing = asyncio.create_task(writer.flush())
        while not flushing.done():
            producer.acknowledge_all()
            await asyncio.sleep(0)
        assert (writer.written, writer.ticks) == (100, 100)
    times = [
        t for sent in producer.sent for t in decode_frame(sent.value or b"").columns["ts_event_ns"].tolist()
    ]
    assert times == list(range(1_000, 1_100))


async def test_a_topic_of_another_partition_count_is_refused() -> None:
    producer = MemoryProducer(3)
    with pytest.raises(TopicError, match=r"market\.ticks has 3 partitions, the settings say 4"):
        async with TickWriter(SETTINGS, producer=producer):
            pass
    assert producer.stopped


@pytest.mark.parametrize("limits", [{"max_ticks": 0}, {"max_bytes": 100}, {"max_bytes": 2_000_000}])
def test_senseless_limits_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TickWriter(SETTINGS, **limits)
