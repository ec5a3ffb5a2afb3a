"""What any Kafka client may put onto ``gpu.tasks``: it is answered or a dead letter, and work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.api.model import ReadModel
from schemas.allocations import Snapshot
from schemas.settings import Settings
from streams import admin, clients, topics
from streams.log_reader import LogReader
from streams.tail import tail
from tests.integration.task_processes import agent, found, judge, orchestrator, results_for, submit
from tests.kafka import fresh_prefix
from tests.workers import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def pipeline(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An orchestrator that writes snapshots often, and an agent."""
    folder = tmp_path_factory.mktemp("hostile")
    settings = Settings(broker=kafka, topic_prefix=fresh_prefix(), data_dir=folder, partitions=1)
    asyncio.run(admin.ensure_topics(settings))
    with orchestrator(settings, "orchestrator", "--snapshot-every", "20"), agent(settings):
        yield settings
    asyncio.run(admin.delete_topics(settings))


def lists(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


REFUSED: dict[str, tuple[bytes, str]] = {
    "far": (b'{"task_id":"far","task_type":"echo","deadline_ms":9223372036854775807}', "deadline_ms"),
    "deep": (b'{"task_id":"deep","task_type":"echo","data":{"value":' + lists(500) + b"}}", "data"),
    "large": (
        b'{"task_id":"large","task_type":"echo","memory_required":99999999999999999999}',
        "memory_required",
    ),
    "gang": (b'{"task_id":"gang","task_type":"echo","devices":1000000}', "devices"),
    "typeless": (b'{"task_id":"typeless"}', "task_type"),
    "list": (b'{"task_id":"list","task_type":"echo","data":[1]}', "data"),
    "where": (b'{"task_id":"where","task_type":"echo","only_on":["\\u202e"]}', "only_on.0"),
}
"""Task id to a request that is refused under it, and the field at fault."""

UNNAMED: dict[bytes, str] = {
    b'{"task_id":"' + b"x" * 100_000 + b'","task_type":"echo"}': "task_id",
    b'{"task_id":"a/b","task_type":"echo"}': "task_id",
    b'{"task_id":5,"task_type":"echo"}': "task_id",
    b'{"task_id":"nap","task_type":"sleep","priority":99}': "priority",  # the id of a task that runs
    b"{}": "task_type",
}
"""Requests that are refused by their coordinates, and the field at fault."""

DEAD = (
    b"",
    b"\xff\xfe\x00",
    b"[]",
    b'"echo"',
    b"null",
    b'{"task_id":"a","task_type":"echo"',
    lists(5_000),
    b'{"task_id":"nap","cancel":"yes"}',
    b'{"task_id":"nap","cancel":null,"task_type":"echo"}',
    b'{"cancel":true}',
    b'{"task_id":"' + b"x" * 500 + b'","cancel":true}',
)
"""Messages that nobody could be answered about."""

NO_EFFECT = (b'{"task_id":"never-heard-of","cancel":true}', b'{"task_id":"nap","task_type":"echo"}')
"""A wish about a task that there is not, and the id of one that there is."""

GOOD = b'{"task_id":"%s","task_type":"echo","data":{"value":1},"task_type":"echo"}'


async def dead_letters(settings: Settings) -> list[Any]:
    name = topics.name(settings, topics.DEAD_LETTERS)
    async with LogReader(settings) as reader:
        return [record async for record in reader.rest(name, 0)]


async def test_each_message_is_answered_or_a_dead_letter_and_work_goes_on(pipeline: Settings) -> None:
    name = topics.name(pipeline, topics.GPU_TASKS)
    await submit(pipeline, [("nap", {"task_id": "nap", "task_type": "sleep", "data": {"seconds": 30}})])
    producer = clients.producer(pipeline)
    sent: dict[bytes, int] = {}
    good = []
    async with clients.started(pipeline, producer):

        async def put(value: bytes | None, **more: Any) -> int:
            return int((await producer.send_and_wait(name, value, partition=0, **more)).offset)

        for value in (*(value for value, _ in REFUSED.values()), *UNNAMED, *DEAD, *NO_EFFECT):
            sent[value] = await put(value)
        await put(None, key=b"tombstone")
        await put(b"[]", headers=[("tapestream-version", b"999"), ("x", None)])
        odd = [
            {"timestamp_ms": 1},
            {"headers": [("x", None), ("tapestream-version", None), ("é" * 1_000, b"\xff")]},
            {"key": b"\xff" * 1_000},
        ]
        for number, more in enumerate(odd):
            good.append(f"odd{number}")
            await put(GOOD % good[-1].encode(), **more)
    for kind in ("gzip", "snappy", "lz4", "zstd"):
        packed = clients.producer(pipeline, compression_type=kind)
        async with clients.started(pipeline, packed):
            good.append(kind)
            await packed.send_and_wait(name, GOOD % kind.encode(), partition=0)
    by_place = {f"task-0-{sent[value]}": field for value, field in UNNAMED.items()}
    wanted = [*REFUSED, *by_place, *good]
    there = await results_for(pipeline, wanted, timeout_s=200)
    fields = {task: there.results[task].failure.field for task in (*REFUSED, *by_place)}  # type: ignore[union-attr]
    assert fields == {task: field for task, (_, field) in REFUSED.items()} | by_place
    assert {there.results[task].state for task in (*REFUSED, *by_place)} == {"REJECTED"}
    assert {task: there.results[task].state for task in good} == dict.fromkeys(good, "SUCCEEDED")
    assert there.state.tasks["nap"].state in ("QUEUED", "GRANTED", "RUNNING")

    dead: list[Any] = []

    async def all_dead() -> bool:
        dead[:] = await dead_letters(pipeline)
        return len(dead) >= len(DEAD) + 2

    await eventually(all_dead, "dead letters")
    assert [record.value for record in dead] == [*DEAD, b"", b"[]"]
    assert all(dict(record.headers)["tapestream-error"] for record in dead)

    await submit(pipeline, [("nap", {"task_id": "nap", "cancel": True})])
    there = await results_for(pipeline, [*wanted, "nap"], timeout_s=100)
    assert there.results["nap"].state == "CANCELLED"
    judge(there, [*wanted, "nap"])
    assert set(there.state.tasks) == {*wanted, "nap"}

    async def state_written() -> bool:
        return any(isinstance(record, Snapshot) for _, record in (await found(pipeline)).records)

    # None of it keeps the state from being written, which happens after a number of records.
    await eventually(state_written, "a snapshot")


async def test_what_the_api_shows_of_it_is_what_became_of_it(pipeline: Settings) -> None:
    """After the test before: every task it knows is over, and it has read on over all the rest."""
    model = ReadModel()
    bases = (topics.ALLOCATIONS, topics.GPU_RESULTS, topics.GPU_TASKS)
    async with tail(pipeline, bases) as reading:
        async for batch in reading.batches():
            model.fold(batch)
            if reading.caught_up:
                break
    assert {row.task_id for row in model.tasks.newest_first() if not row.is_over} == set()
    assert model.passed_over[topics.GPU_RESULTS] == 0
