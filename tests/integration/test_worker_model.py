"""A model that is promoted while ticks flow, and a worker that is killed and comes back otherwise set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agents.models.registry import Registry
from schemas.codec import loads
from schemas.settings import Settings
from streams import admin, topics
from streams.log_reader import LogReader
from tapestream.commands.verify import verify
from tests.agents.live.making import a_model
from tests.integration.test_worker_faults import block
from tests.workers import Load, WorkerProcess, all_saved, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

OURS, OTHER = "agents.signals.order_flow:order_flow", "tests.agents.live.own_signal:imbalance"


def at_model(worker: WorkerProcess, version: str, partitions: int) -> bool:
    return [row["model"] for row in worker.partitions.values()] == [f"lstm/{version}"] * partitions


async def models_on_the_topic(settings: Settings) -> Counter[str]:
    found: Counter[str] = Counter()
    async with LogReader(settings) as reader:
        for partition in range(settings.partitions):
            async for record in reader.rest(topics.name(settings, topics.SIGNALS), partition):
                found[loads(record.value)["model"]] += 1
    return found


@pytest.mark.timeout(400)
async def test_a_promotion_a_kill_and_other_signals_leave_outputs_that_the_log_alone_gives(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(
        update={
            "partitions": 2,
            "session_timeout_s": 6.0,
            "checkpoint_interval_s": 0.3,
            "windows_ms": (100, 1000),
            "indicators": ("rsi(5)", "macd(3,6,2)"),
            "data_dir": tmp_path / "data",
        }
    )
    wider = settings.model_copy(update={"signals": (OURS, OTHER), "indicators": ("rsi(5)", "obv")})
    await admin.ensure_topics(settings)
    registry = Registry(settings.data_dir)
    registry.promote(registry.save(a_model(1), {}))
    workers = [WorkerProcess(settings, "first", tmp_path)]
    try:
        await eventually(lambda: at_model(workers[0], "v0001", 2), "the worker is at the first model")
        async with Load(settings, block, pause_s=0.2).running() as load:
            await eventually(lambda: load.written > 6_000, "bars have been scored")
            registry.promote(registry.save(a_model(2), {}))
            await eventually(lambda: at_model(workers[0], "v0002", 2), "the worker is at the second model")
            workers[0].kill()
            workers.append(WorkerProcess(wider, "second", tmp_path))
            seen = load.written
            await eventually(lambda: load.written > seen + 3_000, "more ticks are on their way")
            await eventually(lambda: at_model(workers[1], "v0002", 2), "its successor is too")
        await eventually(lambda: all_saved(settings), "every tick is in a checkpoint")
        assert workers[1].stop() == 0
    finally:
        for worker in workers:
            worker.end()
    found = await verify(wider, [0, 1], None, None)
    assert {n: [str(d) for d in c.differences[:5]] for n, c in found.items() if not c.clean} == {}
    assert set(await models_on_the_topic(wider)) == {
        "order_flow/1",
        "imbalance/1",
        "lstm/v0001",
        "lstm/v0002",
    }
