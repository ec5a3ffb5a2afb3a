"""Tasks by the command line and by raw messages, through a real orchestrator and agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.settings import Settings
from streams import admin, topics
from streams.log_reader import LogReader
from streams.log_writer import log_writer
from tapestream import cli
from tests.integration.task_processes import agent, judge, orchestrator, results_for, submit
from tests.kafka import fresh_prefix
from tests.workers import eventually

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def pipeline(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An orchestrator and an agent, for all tests of this file."""
    folder = tmp_path_factory.mktemp("tasks")
    settings = Settings(broker=kafka, topic_prefix=fresh_prefix(), data_dir=folder, partitions=4)
    asyncio.run(admin.ensure_topics(settings))
    with orchestrator(settings), agent(settings):
        yield settings
    asyncio.run(admin.delete_topics(settings))


@pytest.fixture
def task(pipeline: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """``tapestream task …``: its exit code, and the JSON objects that it prints."""
    for name, value in pipeline.environment({}).items():
        monkeypatch.setenv(name, value)

    def task(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        code = cli.main(["task", *arguments, "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return task


def test_a_task_that_is_waited_for_prints_its_result_and_where_it_ran(task: Any) -> None:
    code, (told,) = task("submit", "echo", '{"value": 7}', "--wait")
    assert (code, told["state"], told["result"]["value"]) == (0, "SUCCEEDED", 7)
    assert told["ran_on"] == [told["attempts"][0]["gpu_uuids"][0]]
    assert told["ran_on"][0].startswith("CPU-")
    assert (told["cpu_reason"], told["placement"]) == ("NO_GPU", "best fit of 1 open devices")


def test_bad_data_fail_with_their_field_and_an_exit_code(task: Any) -> None:
    code, (told,) = task("submit", "echo", '{"valeu": 7}', "--wait")
    assert (code, told["state"], told["failure"]["field"]) == (5, "FAILED", "data.valeu")


def test_a_type_that_no_agent_knows_is_refused_by_the_agent(task: Any) -> None:
    code, (told,) = task("submit", "astrology", "--wait")
    assert (code, told["failure"]["code"]) == (5, "UNKNOWN_TASK_TYPE")


def test_a_task_ends_at_its_deadline(task: Any) -> None:
    code, (told,) = task("submit", "sleep", '{"seconds": 60}', "--deadline-ms", "1500", "--wait")
    assert (code, told["state"]) == (5, "DEADLINE_EXCEEDED")


def test_a_child_that_dies_is_tried_again_as_often_as_it_may(task: Any) -> None:
    code, (told,) = task("submit", "crash", '{"how": "signal", "number": 9}', "--wait")
    assert (code, told["state"], told["failure"]["code"]) == (5, "FAILED", "CRASHED")
    assert [attempt["attempt"] for attempt in told["attempts"]] == [1, 2, 3, 4]


def test_a_task_larger_than_the_machine_is_cut_to_fit_it_if_it_may_be(task: Any) -> None:
    code, (told,) = task("submit", "echo", "--memory", str(1 << 44), "--min-memory", str(64 << 20), "--wait")
    assert (code, told["state"]) == (0, "SUCCEEDED")
    assert told["attempts"][0]["memory_bytes"] < 1 << 44


def test_one_that_is_cancelled_at_work_ends_so_and_once_more_does_nothing(task: Any) -> None:
    assert task("submit", "sleep", '{"seconds": 600}', "--task-id", "tired")[0] == 0
    assert task("cancel", "tired")[0] == 0
    assert task("cancel", "tired")[0] == 0
    code, told = task("watch", "tired")
    assert (code, told[-1]["state"]) == (5, "CANCELLED")


def test_the_same_key_is_the_same_task(task: Any) -> None:
    first = task("submit", "echo", '{"value": 1}', "--key", "once", "--wait")[1][0]
    again = task("submit", "echo", '{"value": 2}', "--key", "once", "--wait")[1][0]
    assert first == again


def test_waiting_ends_with_a_remedy_when_nobody_answers(
    task: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["task", "watch", "nobody", "--timeout-s", "0.3"]) == 3
    assert "see that `tapestream orchestrate` and `tapestream agent` run" in capsys.readouterr().err


async def test_raw_requests_are_answered_once_and_what_is_none_goes_to_the_dead_letters(
    pipeline: Settings,
) -> None:
    good = ("raw", {"task_id": "raw", "task_type": "echo", "data": {"value": 1}})
    bad = ("worse", {"task_id": "worse", "task_type": "echo", "priority": 99})
    keyed = [
        (name, {"task_id": name, "task_type": "echo", "idempotency_key": "raw-key"}) for name in ("k1", "k1")
    ]
    async with log_writer(pipeline) as writer:
        await writer.write(topics.GPU_TASKS, "x", [b"this is no JSON"])
    await submit(pipeline, [good, good, bad, bad, *keyed])
    there = await results_for(pipeline, ["raw", "worse", "k1"])
    judge(there, ["raw", "worse", "k1"])
    refused = there.results["worse"]
    assert (refused.state, refused.failure and refused.failure.field) == ("REJECTED", "priority")

    async def buried() -> bool:
        async with LogReader(pipeline) as reader:
            name = topics.name(pipeline, topics.DEAD_LETTERS)
            return [
                record.value
                for number in range(pipeline.partitions)
                async for record in reader.rest(name, number)
            ] == [b"this is no JSON"]

    await eventually(buried, "the dead letter is there")


def test_tasks_are_listed_by_state(task: Any) -> None:
    task("submit", "echo", "--task-id", "listed", "--wait")
    code, told = task("list", "--state", "SUCCEEDED")
    assert code == 0
    assert "listed" in {row["task_id"] for row in told}
    assert {row["state"] for row in told} == {"SUCCEEDED"}
