"""The API on a real Kafka: what it writes, what it reads, and going on after it was away."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from orchestrator.api.app import Api, make_api
from orchestrator.api.model.market import KEPT_SIGNALS
from orchestrator.api.server import served
from schemas import codec
from schemas.devices import DeviceReport
from schemas.settings import Settings
from schemas.tasks import TaskRequest, TaskResult
from streams import topics
from streams.json_sender import json_sender
from streams.log_reader import LogReader
from tests.orchestrator.api.test_market import signal

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("topics_ready")]

TOKEN = "a-token-of-the-tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def running(settings: Settings) -> Any:
    """An API that has read its topics."""
    api = make_api(settings.model_copy(update={"api_token": _secret()}))
    async with served(api, "127.0.0.1", 0) as address, aiohttp.ClientSession(headers=AUTHORIZED) as session:
        await _until(lambda: api.model.caught_up and api.link.sender is not None)
        yield api, address, session


def _secret() -> Any:
    return Settings(api_token=TOKEN).api_token  # type: ignore[arg-type]


async def _until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _sent(settings: Settings, base: str) -> list[Any]:
    name = topics.name(settings, base)
    async with LogReader(settings) as reader:
        partitions = topics.topic(base).partition_count(settings)
        return [record for p in range(partitions) async for record in reader.rest(name, p)]


def _state(api: Api, task_id: str) -> str | None:
    row = api.model.tasks.get(task_id)
    return None if row is None else row.state


async def test_a_task_goes_onto_its_topic_once_and_its_result_comes_back(settings: Settings) -> None:
    async with running(settings) as (api, address, session):
        body = {"task_type": "a", "data": {"n": 1}, "idempotency_key": "k"}
        for repeated in (False, True):
            async with session.post(f"{address}/gpu/tasks", json=body) as reply:
                answer = await reply.json()
                assert (reply.status, answer["repeated"]) == (202, repeated)
        task_id = answer["task_id"]
        (record,) = await _sent(settings, topics.GPU_TASKS)
        assert record.key.decode() == task_id
        assert codec.decode(TaskRequest, record.value) == TaskRequest(task_id=task_id, **body)
        async with json_sender(settings) as sender:
            result = TaskResult(task_id=task_id, task_type="a", state="SUCCEEDED", result={"n": 2})
            await sender.send(topics.GPU_RESULTS, task_id, result)
        await _until(lambda: _state(api, task_id) == "SUCCEEDED")
        async with session.get(f"{address}/gpu/tasks/{task_id}") as reply:
            assert (await reply.json())["result"]["result"] == {"n": 2}


async def test_an_api_that_comes_back_knows_what_was_and_its_clients_go_on(settings: Settings) -> None:
    async with running(settings) as (api, address, session):
        for number in range(3):
            async with session.post(
                f"{address}/gpu/tasks", json={"task_type": "a", "task_id": f"t{number}"}
            ) as reply:
                assert reply.status == 202
        await _until(lambda: api.model.events.next_number == 3)
        seen = str(api.model.seen())
    async with json_sender(settings) as sender:  # while it was away
        await sender.send(topics.GPU_RESULTS, "t1", TaskResult(task_id="t1", task_type="a", state="FAILED"))
        report = DeviceReport(gpu_uuid="GPU-1", kind="gpu", host="h", health="HEALTHY", at_ns=1)
        await sender.send(topics.GPU_DEVICES, "GPU-1", report)
        await sender.send(topics.SIGNALS, "A", *(signal(number) for number in range(KEPT_SIGNALS + 3)))
    async with running(settings) as (_, address, session):
        async with session.get(f"{address}/market/signals?limit=500") as reply:
            found = [said["ts_event_ns"] for said in (await reply.json())["signals"]]
        assert found == list(range(KEPT_SIGNALS + 2, 2, -1))
        async with session.get(f"{address}/gpu/tasks") as reply:
            tasks = (await reply.json())["tasks"]
        assert {task["task_id"]: task["state"] for task in tasks} == {
            "t0": "QUEUED",
            "t1": "FAILED",
            "t2": "QUEUED",
        }
        async with session.get(f"{address}/gpu/resources") as reply:
            assert [d["report"]["gpu_uuid"] for d in (await reply.json())["devices"]] == ["GPU-1"]
        async with (
            asyncio.timeout(10),
            session.get(f"{address}/api/v1/events", headers={"Last-Event-ID": seen}) as reply,
        ):
            kinds = []
            async for line in reply.content:
                if line.startswith(b"event:"):
                    kinds.append(line)
                if line.startswith(b"data:") and len(kinds) == 2:
                    break
        assert kinds == [b"event: hello\n", b"event: task\n"]
        assert codec.loads(line.removeprefix(b"data: "))["task_id"] == "t1"


async def test_what_is_no_longer_in_memory_is_read_from_the_log(settings: Settings) -> None:
    async with running(settings) as (api, address, session):
        body = {"task_type": "a", "task_id": "t", "data": {"n": 1}}
        async with session.post(f"{address}/gpu/tasks", json=body) as reply:
            assert reply.status == 202
        await _until(lambda: api.model.tasks.get("t").request_at)
        api.model.tasks._payloads.drop(api.model.tasks.get("t").request_at)
        async with session.get(f"{address}/gpu/tasks/t") as reply:
            assert (await reply.json())["request"]["data"] == {"n": 1}
