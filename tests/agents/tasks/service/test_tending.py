"""What an agent does about memory when the guard asks, with children that truly hold some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agents.tasks.agent import MIB
from agents.tasks.runner import Runner
from agents.tasks.service.tending import Tending
from schemas import codec
from schemas.settings import Settings
from tests.agents.tasks.running import assignment, new_runner
from tests.agents.tasks.service.lab import FakeLog, command

KEPT = 64 * MIB


class Agent:
    """A runner and its tending."""

    def __init__(self, folder: Path, runner: Runner) -> None:
        self.runner, self.log = runner, FakeLog()
        self.tending = Tending(
            Settings(data_dir=folder),
            runner.pool,
            self.log,
            "agent-1",
            lambda: {"CPU-here"},
            may_end=False,
            now_ns=lambda: 77,
        )

    async def hears(self, action: Any, phase: Any = "once", **fields: Any) -> None:
        await self.tending.obey(codec.dumps(command(action, phase, **fields)))

    async def holds(self, size: int = KEPT) -> int:
        """A task whose agent keeps memory for the next one; the child's pid."""
        outcome = await self.runner.run(assignment("hoards", bytes=size))
        assert outcome.child is not None
        assert outcome.child_kept
        return outcome.child.pid


@asynccontextmanager
async def new_agent(folder: Path) -> AsyncIterator[Agent]:
    async with new_runner(folder) as runner:
        yield Agent(folder, runner)


async def test_caches_of_idle_children_are_emptied_and_the_answer_says_what_that_brought(
    tmp_path: Path,
) -> None:
    async with new_agent(tmp_path) as agent:
        pid = await agent.holds()
        await agent.hears("empty_idle_caches")
        (answer,) = agent.log.answers
        assert (answer.command_id, answer.agent, answer.done) == ("empty_idle_caches-once", "agent-1", True)
        assert answer.bytes_before is not None
        assert answer.bytes_after is not None
        assert answer.bytes_before - answer.bytes_after > KEPT * 0.9
        again = await agent.runner.run(assignment("echo"))
        assert again.result["pid"] == pid


async def test_idle_children_are_ended_and_begun_anew_when_they_are_needed(tmp_path: Path) -> None:
    async with new_agent(tmp_path) as agent:
        pid = await agent.holds()
        await agent.hears("recycle_idle")
        (answer,) = agent.log.answers
        assert (answer.done, answer.bytes_after) == (True, 0)
        assert answer.bytes_before is not None
        assert answer.bytes_before > KEPT
        assert agent.runner.children == []
        assert (await agent.runner.run(assignment("echo"))).result["pid"] != pid


async def test_with_nobody_idle_there_is_nothing_to_give_back(tmp_path: Path) -> None:
    async with new_agent(tmp_path) as agent:
        await agent.hears("empty_idle_caches")
        assert [(a.done, a.bytes_before, a.bytes_after) for a in agent.log.answers] == [(True, None, None)]


async def test_children_are_ended_after_their_task_while_that_is_in_force(tmp_path: Path) -> None:
    async with new_agent(tmp_path) as agent:
        await agent.holds()
        await agent.hears("recycle_after_drain", "begin")
        assert agent.runner.children == []
        during = await agent.runner.run(assignment("echo"))
        await agent.hears("recycle_after_drain", "end")
        after = await agent.runner.run(assignment("echo"))
        assert (during.child_kept, after.child_kept) == (False, True)
        assert [answer.done for answer in agent.log.answers] == [True, True]


async def test_tasks_are_told_to_do_less_at_once_and_leave_nothing_behind_while_that_is_in_force(
    tmp_path: Path,
) -> None:
    async with new_agent(tmp_path) as agent:
        await agent.hears("cut_batches", "begin")
        await agent.hears("clean_at_task_boundary", "renew")  # the agent was started after it began
        cut = await agent.runner.run(assignment("hoards", bytes=KEPT))
        await agent.hears("cut_batches", "end")
        await agent.hears("clean_at_task_boundary", "end")
        whole = await agent.runner.run(assignment("hoards", bytes=KEPT))
        assert [outcome.result for outcome in (cut, whole)] == [
            {"batch_share": 0.5, "kept": [KEPT]},
            {"batch_share": 1.0, "kept": [KEPT]},  # and not what the one before had kept
        ]
        assert len(agent.log.answers) == 4


async def test_spilling_is_said_to_wait_where_cudf_is_not_loaded(tmp_path: Path) -> None:
    async with new_agent(tmp_path) as agent:
        await agent.holds()
        await agent.hears("spill_cudf", "begin")
        assert [(answer.done, answer.problem) for answer in agent.log.answers] == [
            (False, "cuDF is not loaded in any process that waits; tasks that load it will spill")
        ]


async def test_other_devices_and_what_others_do_are_not_answered(tmp_path: Path) -> None:
    async with new_agent(tmp_path) as agent:
        await agent.hears("empty_idle_caches", gpu_uuid="CPU-elsewhere")
        await agent.hears("pause_ticks", "begin")
        await agent.hears("stop_admission", "begin")
        await agent.tending.obey(b"no json")
        assert agent.log.written == []


async def test_a_task_that_comes_while_an_idle_child_is_tended_gets_another(tmp_path: Path) -> None:
    async with new_agent(tmp_path) as agent:
        pid = await agent.holds()
        tending = asyncio.create_task(agent.hears("empty_idle_caches"))
        await asyncio.sleep(0)
        other = await agent.runner.run(assignment("echo"))
        await tending
        assert other.result["pid"] != pid
        assert sorted(child.pid for child in agent.runner.children) == sorted((pid, other.result["pid"]))
