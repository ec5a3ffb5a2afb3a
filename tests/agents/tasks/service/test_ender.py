"""With the switch off nothing is signalled; with it on only our own child, each step written down before."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from agents.tasks.assignment import ChildIdentity
from agents.tasks.pool import Pool
from agents.tasks.runner import Runner
from agents.tasks.service import ender
from agents.tasks.service.ender import Ender, signal_exactly
from schemas.commands import ProcessEnding
from streams.process_name import started_ticks
from tests.agents.tasks.running import assignment, new_runner
from tests.agents.tasks.service.lab import FakeLog, command
from tests.waiting import until

LEASE = "task/1"


class QuickClock:
    """Three seconds pass while others get a tenth of one."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += 3
        await asyncio.sleep(0.1)


class Agent:
    """A runner with a task at work, and what may end it."""

    def __init__(self, runner: Runner, *, allowed: bool) -> None:
        self.runner, self.log = runner, FakeLog()
        self.ender = Ender(
            runner.pool, "agent-1", self._write, allowed=allowed, clock=QuickClock(), now_ns=lambda: 77
        )
        self.signals: list[tuple[int, int]] = []

    async def _write(self, message: ProcessEnding) -> None:
        await self.log.write("gpu.commands", message.gpu_uuid, [message.model_dump_json().encode()])

    async def begins(self, manners: str) -> tuple[asyncio.Task, ChildIdentity]:
        seen: list[ChildIdentity] = []
        progress: list[object] = []
        task = assignment("sleep", lease=LEASE, seconds=1000, manners=manners)
        running = asyncio.create_task(
            self.runner.run(task, progress=progress.append, started=seen.append)  # type: ignore[arg-type]
        )
        await until(lambda: progress)
        return running, seen[0]

    def stages(self) -> list[str]:
        return [message.stage for message in self.log.endings]


def spied(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember each signal, which still is sent."""

    def signalled(child: ChildIdentity, number: int) -> bool:
        agent.signals.append((child.pid, number))
        return signal_exactly(child, number)

    monkeypatch.setattr(ender, "signal_exactly", signalled)


async def test_with_the_switch_off_nothing_is_asked_recorded_or_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_runner(tmp_path) as runner:
        agent = Agent(runner, allowed=False)
        spied(agent, monkeypatch)
        running, child = await agent.begins("await")
        problem = await agent.ender.end(command("end_process", lease=LEASE))
        assert problem == "ALLOW_GPU_PROCESS_KILL is off"
        assert (agent.log.written, agent.signals, psutil.pid_exists(child.pid)) == ([], [], True)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("manners", "stages", "numbers"),
    [
        ("await", ["intended", "asked", "ended"], []),
        ("deaf", ["intended", "asked", "terminated", "ended"], [signal.SIGTERM]),
        (
            "stubborn",
            ["intended", "asked", "terminated", "killed", "ended"],
            [signal.SIGTERM, signal.SIGKILL],
        ),
    ],
)
async def test_our_child_is_recorded_asked_terminated_and_killed_and_its_task_tried_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    manners: str,
    stages: list[str],
    numbers: list[int],
) -> None:
    async with new_runner(tmp_path) as runner:
        agent = Agent(runner, allowed=True)
        spied(agent, monkeypatch)
        running, child = await agent.begins(manners)
        assert await agent.ender.end(command("end_process", lease=LEASE)) == ""
        outcome = await running
        assert (agent.stages(), agent.signals) == (stages, [(child.pid, number) for number in numbers])
        assert agent.log.endings[0].model_dump() == {
            "type": "ending",
            "command_id": "end_process-once",
            "gpu_uuid": "CPU-here",
            "agent": "agent-1",
            "stage": "intended",
            "pid": child.pid,
            "started_ticks": child.started_ticks,
            "lease": LEASE,
            "reason": "memory of CPU-here is CRITICAL",
            "at_ns": 77,
        }
        assert (outcome.state, outcome.failure.code, outcome.child_kept) == ("FAILED", "LOST", False)
        assert started_ticks(child.pid) is None


async def test_a_lease_that_is_not_ours_ends_nobody(tmp_path: Path) -> None:
    async with new_runner(tmp_path) as runner:
        agent = Agent(runner, allowed=True)
        running, child = await agent.begins("await")
        problem = await agent.ender.end(command("end_process", lease="another/1"))
        assert problem == "no process of ours works under lease another/1"
        assert (agent.log.written, psutil.pid_exists(child.pid)) == ([], True)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_pid_that_has_become_another_process_is_refused_or_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pid's new bearer, as the system would show it: another start time."""
    async with new_runner(tmp_path) as runner:
        for looks, told, problem in ((0, [], "belongs to another process by now"), (2, ["ended"], "")):
            agent = Agent(runner, allowed=True)
            spied(agent, monkeypatch)
            running, child = await agent.begins("deaf")
            seen = []

            def look(pid: int, seen: list[int] = seen, looks: int = looks) -> ChildIdentity | None:
                seen.append(pid)
                found = Pool.look(runner.pool, pid)
                assert found is not None
                return (
                    found if len(seen) <= looks else ChildIdentity(pid, found.started_ticks + 1, found.lease)
                )

            with monkeypatch.context() as patch:
                patch.setattr(runner.pool, "look", look)
                found = await agent.ender.end(command("end_process", lease=LEASE))
            assert problem in found
            assert agent.stages()[2:] == told
            assert (agent.signals, psutil.pid_exists(child.pid)) == ([], True)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def test_a_signal_goes_to_the_process_of_that_start_time_and_to_no_other() -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    try:
        ticks = started_ticks(sleeper.pid)
        assert ticks is not None
        assert not signal_exactly(ChildIdentity(sleeper.pid, ticks + 1), signal.SIGKILL)
        assert not signal_exactly(ChildIdentity(sleeper.pid, ticks - 1), signal.SIGKILL)
        assert sleeper.poll() is None
        assert signal_exactly(ChildIdentity(sleeper.pid, ticks), signal.SIGKILL)
        assert sleeper.wait(timeout=20) == -signal.SIGKILL
        assert not signal_exactly(ChildIdentity(sleeper.pid, ticks), signal.SIGKILL)
    finally:
        if sleeper.poll() is None:
            os.kill(sleeper.pid, signal.SIGKILL)
            sleeper.wait(timeout=20)
