"""A GPU's memory runs low and is well again: alert, agent, admission and the worker's ticks go along."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.guard import OpenAlerts
from schemas import codec
from schemas.alerts import MemoryAlert
from schemas.allocations import AdmissionChanged
from schemas.commands import CleanupAnswer, CleanupCommand, decode_command
from schemas.settings import Settings
from streams import topics
from streams.log_reader import LogReader
from streams.writer import TickWriter
from tapestream.commands.verify import verify
from tests.integration.task_processes import agent, found, judge, orchestrator, results_for, submit
from tests.integration.test_worker_faults import BLOCK, block
from tests.orchestrator.fake_gpus import GIB, FakeGpus, device, uuid
from tests.workers import WorkerProcess, all_saved, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

GPU = uuid(1)


class Watched:
    """What is on the guard's topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def _values(self, base: str) -> list[bytes]:
        async with LogReader(self._settings) as reader:
            return [record.value async for record in reader.rest(topics.name(self._settings, base), 0)]

    async def alerts(self) -> list[MemoryAlert]:
        found = [codec.decode(MemoryAlert, value) for value in await self._values(topics.MEMORY_ALERTS)]
        return [alert for alert in found if alert.gpu_uuid == GPU]

    async def events(self) -> list[tuple[str, str]]:
        return [(alert.event, alert.level) for alert in await self.alerts()]

    async def asked(self, action: str, phase: str) -> list[CleanupCommand]:
        found = [decode_command(value) for value in await self._values(topics.GPU_COMMANDS)]
        return [
            command
            for command in found
            if isinstance(command, CleanupCommand)
            and (command.gpu_uuid, command.action, command.phase) == (GPU, action, phase)
        ]

    async def answered(self, action: str, phase: str) -> list[str]:
        """By whom."""
        asked = {command.command_id for command in await self.asked(action, phase)}
        found = [decode_command(value) for value in await self._values(topics.GPU_COMMANDS)]
        return [a.agent for a in found if isinstance(a, CleanupAnswer) and a.command_id in asked]

    async def admission(self) -> list[bool]:
        records = (await found(self._settings)).records
        return [r.stopped for _, r in records if isinstance(r, AdmissionChanged) and r.gpu_uuid == GPU]


async def write_blocks(settings: Settings, first: int, last: int) -> None:
    async with TickWriter(settings, max_age_ms=20) as writer:
        for number in range(first, last):
            await writer.write(block(number))


def ticks_in(worker: WorkerProcess) -> int:
    return sum(row["in"] for row in worker.partitions.values())


@pytest.mark.timeout(500)
async def test_a_device_that_runs_low_holds_its_ticks_and_its_tasks_until_it_is_well(
    settings: Settings,
    topics_ready: None,
    gpus: FakeGpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings.model_copy(update={"windows_ms": (100, 1000), "allowed_lateness_ms": 20})
    watched = Watched(settings)
    gpus.has(device(1, used=2 * GIB))
    on_gpu = [sys.executable, "-m", "tests.integration.worker_on_gpu", GPU]
    with ExitStack() as processes:
        with monkeypatch.context() as driver:
            for name in ("LD_LIBRARY_PATH", "FAKE_GPU_SCRIPT"):
                driver.setenv(name, gpus.environment[name])
            first = processes.enter_context(orchestrator(settings, "first"))
            second = processes.enter_context(orchestrator(settings, "second"))
        processes.enter_context(agent(settings))
        worker = WorkerProcess(settings, "worker-1", tmp_path, program=on_gpu)
        try:
            await write_blocks(settings, 0, 3)
            # The kernels may have to be compiled first.
            await eventually(lambda: ticks_in(worker) == 3 * BLOCK, "the first ticks are computed", 240)

            gpus.has(device(1, used=73 * GIB))  # 91 %
            await eventually(
                lambda: (worker.get("accounting") or {}).get("held_by_guard"), "the ticks are held"
            )
            before = ticks_in(worker)
            await write_blocks(settings, 3, 6)
            await eventually(lambda: watched.asked("pause_ticks", "renew"), "the hold was renewed")
            assert (before, ticks_in(worker)) == (3 * BLOCK, 3 * BLOCK)
            assert await watched.events() == [("opened", "HIGH")]
            assert await watched.answered("pause_ticks", "begin") == ["worker-1"]
            await eventually(lambda: watched.answered("empty_idle_caches", "once"), "the agent has answered")
            assert await watched.admission() == []

            gpus.has(device(1, used=77 * GIB))  # 96 %
            await eventually(watched.admission, "admission has stopped")
            asked = {"task_id": "t", "task_type": "echo", "only_on": [GPU], "cpu_ok": False, "priority": 9}
            await submit(settings, [("t", asked)])

            async def waits() -> bool:
                task = (await found(settings)).state.tasks.get("t")
                return task is not None and task.state == "QUEUED"

            await eventually(waits, "the task is taken in")
            owner = (await found(settings)).state.owner
            killed = first if f"-{first.process.pid}-" in owner else second
            killed.kill()

            async def taken_over() -> bool:
                return (await found(settings)).state.epoch == 2

            await eventually(taken_over, "the other one owns the domain")
            assert await waits()

            gpus.has(device(1, used=2 * GIB))
            await eventually(lambda: not worker.get("accounting")["held_by_guard"], "the ticks go on")
            await eventually(lambda: ticks_in(worker) == 6 * BLOCK, "what waited is computed")
            there = await results_for(settings, ["t"])
            judge(there, ["t"])
            assert (there.results["t"].state, there.results["t"].ran_on) == ("SUCCEEDED", [GPU])
            assert (await watched.admission(), there.state.devices[GPU].stopped) == ([True, False], False)

            alerts, opened = await watched.alerts(), OpenAlerts()
            for alert in alerts:
                opened.see(alert)
            assert await watched.events() == [
                ("opened", "HIGH"),
                ("escalated", "CRITICAL"),
                ("closed", "CRITICAL"),
            ]
            assert len({alert.alert_id for alert in alerts}) == 1
            assert [alert.epoch for alert in alerts] == [1, 1, 2]
            assert opened.open == {}
            await eventually(lambda: all_saved(settings), "every tick is in a checkpoint")
            differences = await verify(settings, list(range(settings.partitions)), None, None)
            assert {n: [str(d) for d in c.differences] for n, c in differences.items() if not c.clean} == {}
        finally:
            worker.end()
