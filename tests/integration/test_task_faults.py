"""Two orchestrators and an agent, killed with -9 at random under load: each task still ends exactly once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import ExitStack, suppress

import pytest

from schemas.settings import Settings
from tests.integration.task_processes import TaskProcess, agent, found, judge, orchestrator, submit
from tests.workers import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

TASKS = int(os.environ.get("TAPESTREAM_TEST_TASKS", "300"))
"""2,000 take minutes: TAPESTREAM_TEST_TASKS=2000."""
SEED = int(os.environ.get("TAPESTREAM_TEST_SEED", "1"))


class Killer:
    """Kills a process, or a child of the agent, every so often, and starts the process again.

    Not before all are ready again: on a machine that is busy with other things nothing would else live long
    enough to do anything. Tasks are sent at its pace, so that there is work at each kill.
    """

    def __init__(self, processes: list[TaskProcess], rng: random.Random) -> None:
        self._processes, self._rng = processes, rng
        self.kills: Counter[str] = Counter()

    async def run(self) -> None:
        while True:
            for process in self._processes:
                await eventually(lambda at=process: asyncio.to_thread(at.is_ready), "ready", timeout_s=300)
            await asyncio.sleep(self._rng.uniform(0.0, 2.0))
            victim = self._rng.choice(self._processes)
            children = victim.children() if victim.name == "agent" else []
            if children and self._rng.random() < 0.5:
                self.kills["child"] += 1
                with suppress(ProcessLookupError):
                    os.kill(self._rng.choice(children), signal.SIGKILL)
                continue
            self.kills[victim.name] += 1
            await asyncio.to_thread(victim.kill)
            victim.start()


async def test_every_task_ends_once_whoever_is_killed(settings: Settings, topics_ready: None) -> None:
    rng = random.Random(SEED)
    ids = [f"t{number}" for number in range(TASKS)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(orchestrator(settings, "first")),
            stack.enter_context(orchestrator(settings, "second")),
            stack.enter_context(agent(settings)),
        ]
        killer = Killer(processes, rng)
        killing = asyncio.create_task(killer.run())
        try:
            for start in range(0, TASKS, 50):
                batch = ids[start : start + 50]
                tasks = [
                    (name, {"task_id": name, "task_type": "echo", "data": {"value": name}}) for name in batch
                ]
                again = [tasks[rng.randrange(len(tasks))]]  # some senders say it twice
                kills = killer.kills.total()
                await submit(settings, [*tasks, *again])
                await eventually(lambda at=kills: killer.kills.total() > at, "a kill", timeout_s=300)

            async def all_have_results() -> bool:
                await asyncio.sleep(1.0)
                return set(ids) <= (await found(settings)).results.keys()

            await eventually(all_have_results, "each task has a result", timeout_s=500)
        finally:
            killing.cancel()
            await asyncio.wait({killing})
    there = await found(settings)
    judge(there, ids)
    states = Counter(result.state for result in there.results.values())
    repeated = sum(sum(given.values()) - 1 for given in there.payloads.values())
    tries = Counter(len(result.attempts) for result in there.results.values())
    print(
        f"{TASKS} tasks, seed {SEED}: {dict(states)}, attempts {dict(tries)}; killed {dict(killer.kills)}; "
        f"{repeated} results published again, byte for byte; {there.state.epoch} owners; "
        f"{len(there.records)} records"
    )
    assert all(
        result.result["value"] == task_id
        for task_id, result in there.results.items()
        if result.state == "SUCCEEDED"
    )
    assert killer.kills.total() >= TASKS // 50
