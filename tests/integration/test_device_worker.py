"""A worker with ``--device cuda:0`` on a real Kafka, its GPU simulated; ``verify`` holds it to the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.settings import Settings
from schemas.ticks import Ticks
from streams import admin
from streams.writer import TickWriter
from tapestream.commands.verify import verify
from tests.agents.test_partition import random_ticks
from tests.workers import WorkerProcess, all_saved, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.gpu_path]


async def write(settings: Settings, ticks: Ticks, frames: int) -> None:
    """One message after the other, so that several wait and are computed together."""
    step = len(ticks) // frames
    async with TickWriter(settings, max_age_ms=None) as writer:
        for start in range(0, len(ticks), step):
            await writer.write(ticks.take(slice(start, start + step)))
            await writer.flush()


@pytest.mark.timeout(300)
async def test_a_worker_on_a_gpu_writes_the_cpus_bytes_and_each_goes_on_from_the_others_checkpoint(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(
        update={
            "partitions": 2,
            "windows_ms": (100, 1000),
            "features": ("examples.own_feature:block_share", "examples.own_feature:widest_spread"),
            "checkpoint_interval_s": 0.2,
            "session_timeout_s": 6.0,
        }
    )
    await admin.ensure_topics(settings)
    ticks = random_ticks(900, 0)
    await write(settings, ticks.take(slice(0, 400)), frames=8)
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    worker = WorkerProcess(settings, "device", tmp_path, "--device", "cuda:0")
    try:
        await eventually(lambda: all_saved(settings), "the GPU has saved what it read")
        assert worker.stop() == 0
        assert "the GPU is SIMULATED" in worker.log.read_text()
        monkeypatch.delenv("NUMBA_ENABLE_CUDASIM")
        worker = WorkerProcess(settings, "cpu", tmp_path, "--device", "cpu")
        await write(settings, ticks.take(slice(400, 900)), frames=2)
        await eventually(lambda: all_saved(settings), "the CPU has gone on")
        assert worker.stop() == 0
    finally:
        worker.end()
    compared = (await verify(settings, [0, 1], None, None)).values()
    assert [str(difference) for one in compared for difference in one.differences] == []
    assert sum(one.inputs for one in compared) >= 10
    assert sum(one.identical for one in compared) > 40
