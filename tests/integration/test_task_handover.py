"""An agent that dies at each of its steps, and the next one that tells what became of the task."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.tasks.assignment import Outcome
from agents.tasks.registry import load_agents
from agents.tasks.service.outbox import Draft
from agents.tasks.service.service import AgentService
from schemas import codec
from schemas.settings import Settings
from streams import topics
from streams.process_name import ProcessName
from tests.integration.task_processes import judge, orchestrator, results_for, submit

pytestmark = pytest.mark.kafka


class Killed(Exception):
    """In place of a SIGKILL: nothing more is done."""


class BeforeWork(AgentService):
    async def _run(self, *_: Any) -> Outcome:
        raise Killed


class BeforeEnded(AgentService):
    async def _end(self, *_: Any) -> None:
        raise Killed


class BeforePublishing(AgentService):
    async def _settle(self, *_: Any) -> None:
        raise Killed


class AfterPublishing(AgentService):
    async def _settle(self, draft: Draft) -> None:
        payload = codec.dumps(draft.final("SUCCEEDED"))
        await self._writer.write(topics.GPU_RESULTS, draft.task_id, [payload])
        raise Killed


def of_the_dead() -> str:
    """A name whose bearer lived on this host and has ended."""
    own = ProcessName.own()
    return str(ProcessName(own.host, own.space, own.pid, own.ticks - 1))


@pytest.mark.parametrize(
    ("dying", "attempts", "published"),
    [(BeforeWork, 2, 1), (BeforeEnded, 1, 1), (BeforePublishing, 1, 1), (AfterPublishing, 1, 2)],
)
async def test_the_next_agent_tells_what_became_of_it(
    settings: Settings, topics_ready: None, dying: type[AgentService], attempts: int, published: int
) -> None:
    agents = load_agents(["agents.tasks.exercise"], installed=())
    with orchestrator(settings):
        await submit(settings, [("a", {"task_id": "a", "task_type": "echo", "data": {"value": 5}})])
        with pytest.raises(Killed):
            await dying(settings, agents, name=of_the_dead()).run(asyncio.Event())
        stop = asyncio.Event()
        successor = asyncio.create_task(AgentService(settings, agents).run(stop))
        there = await results_for(settings, ["a"])
        async with asyncio.timeout(30):
            while (
                any((settings.data_dir / "outbox").iterdir()) or sum(there.payloads["a"].values()) < published
            ):
                await asyncio.sleep(0.1)
                there = await results_for(settings, ["a"])
        stop.set()
        await successor
    judge(there, ["a"])
    result = there.results["a"]
    assert (result.state, result.result["value"], len(result.attempts)) == ("SUCCEEDED", 5, attempts)
    assert sum(there.payloads["a"].values()) == published
