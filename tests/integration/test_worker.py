"""One worker on a real Kafka: accounting, bad input, refused outputs, lost messages, other brokers."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic import SecretStr

from schemas import codec
from schemas.codec import loads
from schemas.frame import encode_frame
from schemas.headers import H_ERROR, VERSION_HEADER, get_header
from schemas.settings import Settings
from schemas.ticks import Ticks, concat_ticks
from schemas.workers import WorkerReport
from streams import admin, clients, topics
from streams.broker import EmbeddedBroker, ListenerSecurity
from streams.clients import MAX_RECORD_BYTES
from streams.writer import TickWriter
from tapestream.commands.verify import verify
from tests.agents.test_partition import random_ticks
from tests.integration.lane import read_topic
from tests.kafka import fresh_prefix
from tests.workers import WorkerProcess, all_saved, eventually

pytestmark = pytest.mark.kafka


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    changes = {"session_timeout_s": 6.0, "checkpoint_interval_s": 0.2, "windows_ms": (100, 1000)}
    return settings.model_copy(update=changes)


async def write(settings: Settings, *blocks: Ticks) -> None:
    async with TickWriter(settings, max_age_ms=None) as writer:
        for block in blocks:
            await writer.write(block)
            await writer.flush()


async def differences(settings: Settings) -> list[str]:
    found = await verify(settings, list(range(settings.partitions)), None, None)
    return [str(d) for c in found.values() for d in c.differences]


async def send_raw(settings: Settings, partition: int, *values: bytes) -> None:
    name = topics.name(settings, topics.TICKS)
    async with clients.started(settings, clients.producer(settings)) as producer:
        for value in values:
            await producer.send_and_wait(name, value, partition=partition, headers=[VERSION_HEADER])


@pytest.mark.timeout(300)
async def test_poison_bad_and_repeated_ticks_are_each_accounted_for_and_a_restart_goes_on(
    worker_settings: Settings, tmp_path: Path
) -> None:
    settings = worker_settings
    await admin.ensure_topics(settings)
    good = random_ticks(4000, 0)
    bad = good.take(slice(0, 3))
    bad.columns["kind"] = np.full(3, 9, np.uint8)
    await write(settings, good, good.take(slice(3990, 4000)))
    await send_raw(settings, 1, b"not a frame", encode_frame(bad), b"x" * (MAX_RECORD_BYTES - 200))
    worker = WorkerProcess(settings, "one", tmp_path)
    try:
        await eventually(lambda: all_saved(settings), "everything is saved")
        rows = worker.partitions.values()
        sums = {k: sum(r[k] for r in rows) for k in ("in", "processed", "late", "duplicate", "dead", "held")}
        assert sums == {"in": 4015, "processed": 4000, "late": 0, "duplicate": 10, "dead": 5, "held": 0}
        for page in ("live", "ready"):
            assert worker.get(page) == {page: True}
        assert worker.stop() == 0
        worker = WorkerProcess(settings, "two", tmp_path)
        await write(settings, random_ticks(4100, 0).take(slice(4000, 4100)))
        await eventually(lambda: all_saved(settings), "the second worker has gone on")
        await eventually(lambda: len(worker.partitions) == 4, "idle partitions are loaded too")
        assert all(row["balanced"] for row in worker.partitions.values())
        assert sum(row["in"] for row in worker.partitions.values()) == 4015 + 100
        assert await differences(settings) == []
    finally:
        worker.end()
    letters = [
        (get_header(r.headers, H_ERROR) or b"").decode() for r in await read_topic(settings, "dead.letters")
    ]
    assert len(letters) == 3
    assert ": not an Arrow IPC stream of one batch" in letters[0]
    assert "rows 0, 1, 2: kind must be 0 (quote) or 1 (trade), was 9" in letters[1]
    repeated = [loads(r.value) for r in await read_topic(settings, topics.QUALITY)]
    assert sum(e["count"] for e in repeated if e["kind"] == "duplicate") == 10


@pytest.mark.timeout(300)
async def test_an_output_that_the_broker_refuses_stops_the_worker_before_it_commits(
    worker_settings: Settings, tmp_path: Path
) -> None:
    settings = worker_settings
    await admin.ensure_topics(settings)
    features = topics.name(settings, topics.FEATURES)

    async def limit(size: str) -> None:
        async with admin.admin_client(settings) as client:
            resource = ConfigResource(ConfigResourceType.TOPIC, features, {"max.message.bytes": size})
            await client.alter_configs([resource])

    worker = WorkerProcess(settings, "strict", tmp_path)
    try:
        await eventually(lambda: worker.get("ready") == {"ready": True}, "the worker is ready")
        await limit("300")
        await write(settings, random_ticks(3000, 0))
        await eventually(lambda: worker.process.poll() is not None, "the worker has stopped")
        assert worker.process.returncode == 3
        last = worker.log.read_text().strip().splitlines()[-1]
        assert last.startswith(f"error: {features}[")
        assert "output refused" in last
        async with admin.admin_client(settings) as client:
            committed = await admin.committed_offsets(client, topics.group(settings))
        assert all(offset <= 0 for offset in committed.values())
        await limit(str(topics.topic(topics.FEATURES).max_message_bytes))
        worker = WorkerProcess(settings, "again", tmp_path)
        await eventually(lambda: all_saved(settings), "the second worker has done it")
        assert await differences(settings) == []
    finally:
        worker.end()


@pytest.mark.timeout(300)
async def test_a_worker_of_three_times_the_capacity_gets_three_times_the_partitions(
    worker_settings: Settings, tmp_path: Path
) -> None:
    settings = worker_settings
    await admin.ensure_topics(settings)
    small = WorkerProcess(settings, "small", tmp_path)
    large = None
    try:
        await eventually(lambda: len(small.partitions) == 4, "the first worker has all partitions")
        large = WorkerProcess(settings, "large", tmp_path, "--capacity", "3")
        await eventually(
            lambda: [len(worker.partitions) for worker in (small, large)] == [1, 3],
            "they have shared them out",
        )
        assert small.stop() == 0
        await eventually(lambda: len(large.partitions) == 4, "the second worker has all partitions")
        one_partition = settings.model_copy(update={"partitions": 1})
        said = [codec.decode(WorkerReport, r.value) for r in await read_topic(one_partition, topics.WORKERS)]
        assert {(one.worker, one.capacity, one.device) for one in said} == {
            ("small", 1.0, "cpu"),
            ("large", 3.0, "cpu"),
        }
    finally:
        for worker in (small, large):
            if worker is not None:
                worker.end()


@pytest.mark.timeout(300)
async def test_messages_that_the_log_no_longer_has_are_told_as_lost(
    worker_settings: Settings, tmp_path: Path
) -> None:
    settings = worker_settings.model_copy(update={"partitions": 1})
    await admin.ensure_topics(settings)
    await write(settings, random_ticks(500, 0))
    worker = WorkerProcess(settings, "before", tmp_path)
    try:
        await eventually(lambda: all_saved(settings), "the first messages are saved")
        assert worker.stop() == 0
        more = [random_ticks(500 + 100 * i, 0).take(slice(400 + 100 * i, None)) for i in (1, 2, 3)]
        await write(settings, *more)
        name = topics.name(settings, topics.TICKS)
        async with admin.admin_client(settings) as client:
            await client.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=3)})
        worker = WorkerProcess(settings, "after", tmp_path)
        await eventually(lambda: all_saved(settings), "the second worker has gone on")
        assert worker.partitions[0]["in"] == 500 + 100
    finally:
        worker.end()
    (lost,) = [loads(r.value) for r in await read_topic(settings, topics.QUALITY) if b"data_loss" in r.value]
    assert (lost["kind"], lost["offset"], lost["count"]) == ("data_loss", 1, 2)


@pytest.mark.timeout(300)
async def test_a_worker_without_a_broker_waits_with_a_message_and_one_with_other_partitions_says_so(
    worker_settings: Settings, tmp_path: Path
) -> None:
    nowhere = worker_settings.model_copy(update={"broker": "127.0.0.1:9"})
    waiting = WorkerProcess(nowhere, "waiting", tmp_path)
    try:
        await eventually(lambda: "waiting for Kafka at 127.0.0.1:9" in waiting.log.read_text(), "it says so")
        assert waiting.process.poll() is None
    finally:
        waiting.end()
    await admin.ensure_topics(worker_settings)
    other = WorkerProcess(worker_settings.model_copy(update={"partitions": 3}), "other", tmp_path)
    await eventually(lambda: other.process.poll() is not None, "it has stopped")
    assert other.process.returncode == 4
    assert "TAPESTREAM_PARTITIONS" in other.log.read_text().splitlines()[-1]


@pytest.mark.timeout(300)
async def test_pages_and_metrics_tell_the_same_numbers(worker_settings: Settings, tmp_path: Path) -> None:
    settings = worker_settings
    await admin.ensure_topics(settings)
    await write(settings, random_ticks(1000, 0))
    worker = WorkerProcess(settings, "pages", tmp_path)
    try:
        await eventually(lambda: all_saved(settings), "everything is saved")
        port = (tmp_path / "pages.port").read_text()

        def page(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())

        metrics = [
            line for line in page("/metrics").splitlines() if line.startswith("tapestream_ticks_in_total")
        ]
        assert sum(float(line.split()[-1]) for line in metrics) == 1000
        assert "Sensor0" in page("/")
        assert "Tapestream worker" in page("/pipeline")
    finally:
        worker.end()


@pytest.mark.timeout(300)
async def test_a_worker_speaks_to_a_broker_that_demands_a_password_and_does_not_log_it(
    tmp_path: Path,
) -> None:
    security = ListenerSecurity("SASL_PLAINTEXT", "PLAIN", {"ada": "correct horse"})
    with EmbeddedBroker(tmp_path / "kafka", port=0, security=security) as broker:
        settings = Settings(
            broker=broker.address,
            topic_prefix=fresh_prefix(),
            data_dir=tmp_path,
            partitions=1,
            windows_ms=(100, 1000),
            checkpoint_interval_s=0.2,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username="ada",
            sasl_password=SecretStr("correct horse"),
        )
        await admin.ensure_topics(settings)
        await write(settings, concat_ticks([random_ticks(500, 0)]))
        worker = WorkerProcess(settings, "secret", tmp_path)
        try:
            await eventually(lambda: all_saved(settings), "everything is saved")
            assert worker.stop() == 0
        finally:
            worker.end()
        assert "correct horse" not in worker.log.read_text()
