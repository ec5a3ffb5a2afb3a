"""The writer on a real broker, also on one that goes away."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import BrokerUnavailable, DeliveryError, TopicError
from schemas.frame import decode_frame
from schemas.settings import Settings
from schemas.ticks import Ticks
from streams import admin, topics
from streams.broker import EmbeddedBroker
from streams.clients import partition_of
from streams.writer import TickWriter
from tests.integration.lane import Row, read_ticks, read_topic, repeats
from tests.streams.test_writer_batches import SYMBOLS, quotes
from tests.waiting import until

pytestmark = pytest.mark.kafka


def numbered(n: int, first: int = 1) -> Ticks:
    ticks = quotes(n, seed=first)
    ticks.columns["sequence"][:] = np.arange(first, first + n)
    return ticks


def belongs(parts: list[Ticks], partitions: int) -> dict[int, list[Row]]:
    rows: dict[int, list[Row]] = {}
    for ticks in parts:
        for code, sequence in zip(
            ticks.columns["symbol"].tolist(), ticks.columns["sequence"].tolist(), strict=True
        ):
            symbol = ticks.symbols[code]
            rows.setdefault(partition_of(symbol, partitions), []).append((symbol, sequence))
    return rows


@pytest.mark.usefixtures("topics_ready")
async def test_ticks_arrive_on_their_partitions_in_order(settings: Settings) -> None:
    parts = [numbered(n, first) for n, first in ((5_000, 1), (1, 5_001), (999, 5_002))]
    async with TickWriter(settings, max_ticks=512) as writer:
        for part in parts:
            await writer.write(part)
        await writer.flush()
        assert writer.ticks == 6_000
        ends = dict(writer.positions)
    assert await read_ticks(settings) == belongs(parts, settings.partitions)
    records = await read_topic(settings, topics.TICKS)
    assert ends == {p: max(r.offset for r in records if r.partition == p) + 1 for p in ends}
    assert {decode_frame(r.value).symbols[0] in SYMBOLS for r in records} == {True}


@pytest.mark.usefixtures("topics_ready")
async def test_a_topic_of_another_size_than_the_settings_is_refused(settings: Settings) -> None:
    other = settings.model_copy(update={"partitions": 8})
    with pytest.raises(TopicError, match=r"market\.ticks has 4 partitions, the settings say 8"):
        async with TickWriter(other):
            pass


async def test_an_absent_topic_is_named(settings: Settings) -> None:
    with pytest.raises(TopicError, match=r"market\.ticks: no such topic .*tapestream topics create"):
        async with TickWriter(settings):
            pass


async def test_an_absent_broker_is_named() -> None:
    with pytest.raises(BrokerUnavailable, match=r"no Kafka answers at 127\.0\.0\.1:1"):
        async with TickWriter(Settings(broker="127.0.0.1:1"), broker_timeout_s=0.1):
            pass


@pytest.mark.faults
async def test_a_broker_that_is_killed_and_comes_back_costs_no_tick(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tapestream.writer")
    with EmbeddedBroker(tmp_path / "kafka", port=0) as broker:
        settings = Settings(broker=broker.address, partitions=4)
        await admin.ensure_topics(settings, topics.TICKS)
        parts: list[Ticks] = []
        enough = asyncio.Event()
        async with TickWriter(settings, max_ticks=64) as writer:

            async def keep_writing() -> None:
                while not enough.is_set():
                    part = numbered(200, 1 + writer.written)
                    parts.append(part)
                    await writer.write(part)
                    await asyncio.sleep(0.002)

            writing = asyncio.create_task(keep_writing())
            await until(lambda: writer.ticks > 2_000)
            await asyncio.to_thread(broker.kill)
            await until(lambda: "does not acknowledge" in caplog.text)
            before = writer.ticks
            await asyncio.to_thread(broker.restart)
            await until(lambda: writer.ticks > before + 2_000)
            enough.set()
            await writing
            await writer.flush()
            assert writer.ticks == writer.written
            await until(lambda: "acknowledges again" in caplog.text)
        found = await read_ticks(settings)
    assert repeats(found) == {}
    assert found == belongs(parts, 4)


@pytest.mark.faults
async def test_a_broker_that_stays_away_is_a_delivery_error(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "kafka", port=0) as broker:
        settings = Settings(broker=broker.address, partitions=4)
        await admin.ensure_topics(settings, topics.TICKS)
        with pytest.raises(DeliveryError, match=r"market\.ticks\[\d\]: \d+ ticks were not acknowledged"):
            async with TickWriter(settings, max_age_ms=None, delivery_timeout_s=1.0) as writer:
                await writer.write(numbered(100))
                await writer.flush()
                await asyncio.to_thread(broker.kill)
                await writer.write(numbered(100))


@pytest.mark.faults
async def test_a_write_that_waits_for_a_broker_that_stays_away_is_told_in_time(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "kafka", port=0) as broker:
        settings = Settings(broker=broker.address, partitions=4)
        await admin.ensure_topics(settings, topics.TICKS)
        writer = TickWriter(settings, delivery_timeout_s=1.0)
        with pytest.raises(DeliveryError, match="ticks were not acknowledged"):
            async with writer:
                await writer.write(numbered(100))
                await writer.flush()
                await asyncio.to_thread(broker.kill)
                async with asyncio.timeout(30):
                    while True:
                        await writer.write(numbered(50_000))
        with pytest.raises(DeliveryError, match="ticks were not acknowledged"):
            await writer.write(numbered(1))


@pytest.mark.faults
async def test_an_error_of_the_caller_is_not_held_up_by_a_broker_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("streams.writer.writer.EXIT_S", 0.5)
    with EmbeddedBroker(tmp_path / "kafka", port=0) as broker:
        settings = Settings(broker=broker.address, partitions=4)
        await admin.ensure_topics(settings, topics.TICKS)
        with pytest.raises(RuntimeError, match="the caller's own"):
            async with TickWriter(settings, max_age_ms=None) as writer:
                await asyncio.to_thread(broker.kill)
                await writer.write(numbered(100))
                raise RuntimeError("the caller's own")
    assert "market.ticks: 100 ticks are abandoned" in caplog.text
