"""Nothing lost, nothing twice, nothing different: whatever is killed while ticks flow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.settings import Settings
from schemas.ticks import Ticks
from streams import admin
from streams.broker import EmbeddedBroker
from tapestream.commands.verify import verify
from tests.agents.test_partition import MS, T0, random_ticks
from tests.kafka import fresh_prefix
from tests.workers import Load, WorkerProcess, all_saved, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

SYMBOLS = tuple(f"S{i:02d}" for i in range(24))
BLOCK = 600


def block(number: int) -> Ticks:
    """Block after block of one market on 24 symbols, a few ticks late, repeated or missing."""
    base = random_ticks(BLOCK, number, jitter_ms=5, step_ns=MS)
    columns = dict(base.columns)
    columns["symbol"] = (np.arange(BLOCK) * 7 % len(SYMBOLS)).astype(np.int32)
    start = number * BLOCK
    columns["ts_event_ns"] = columns["ts_event_ns"] + start * MS
    columns["ts_recv_ns"] = columns["ts_recv_ns"] + start * MS
    columns["sequence"] = (np.arange(BLOCK) + start + 1).astype(np.uint64)
    if number % 5 == 3:
        columns["ts_event_ns"] = columns["ts_event_ns"].copy()
        columns["ts_event_ns"][::97] = T0
    return Ticks(SYMBOLS, columns, base.sequences)


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "session_timeout_s": 6.0,
            "checkpoint_interval_s": 0.3,
            "windows_ms": (100, 1000),
            "allowed_lateness_ms": 20,
        }
    )


async def judge(settings: Settings, written: int) -> None:
    """Recompute everything from the start of the log and compare every output with it."""
    await eventually(lambda: all_saved(settings), "every tick is in a checkpoint")
    found = await verify(settings, list(range(settings.partitions)), None, None)
    assert {n: [str(d) for d in c.differences[:5]] for n, c in found.items() if not c.clean} == {}
    assert sum(c.outputs for c in found.values()) > 100
    assert written > 0


@pytest.mark.timeout(400)
async def test_a_worker_killed_three_times_under_load_leaves_no_trace_in_the_outputs(
    worker_settings: Settings, tmp_path: Path
) -> None:
    settings = worker_settings
    await admin.ensure_topics(settings)
    workers = [WorkerProcess(settings, name, tmp_path) for name in ("a0", "b")]
    try:
        async with Load(settings, block).running() as load:
            for turn in range(3):
                victim = workers[0]
                await eventually(
                    lambda victim=victim: any(row["saved_offset"] > 0 for row in victim.partitions.values()),
                    f"turn {turn}: {victim.name} has saved a checkpoint",
                )
                seen = load.written
                await eventually(
                    lambda seen=seen: load.written > seen + 4 * BLOCK, "more ticks are on their way"
                )
                victim.kill()
                workers[0] = WorkerProcess(settings, f"a{turn + 1}", tmp_path)
        await judge(settings, load.written)
        await eventually(
            lambda: sum(len(w.partitions) for w in workers) == settings.partitions,
            "the survivors have loaded every partition",
        )
        books = [row for w in workers for row in w.partitions.values()]
        assert all(row["balanced"] for row in books)
        assert sum(row["in"] for row in books) == load.written
    finally:
        for worker in workers:
            worker.end()
    assert sum(row["late"] for row in books) > 0


@pytest.mark.timeout(400)
async def test_workers_that_come_and_go_in_the_middle_of_a_window_change_nothing(
    worker_settings: Settings, tmp_path: Path
) -> None:
    settings = worker_settings
    await admin.ensure_topics(settings)
    first = WorkerProcess(settings, "first", tmp_path)
    others: list[WorkerProcess] = []
    try:
        async with Load(settings, block).running() as load:
            await eventually(lambda: len(first.partitions) == 4, "the first worker has all partitions")
            others.append(WorkerProcess(settings, "second", tmp_path))
            await eventually(lambda: len(others[0].partitions) == 2, "the second worker has its share")
            assert others[0].stop() == 0
            await eventually(lambda: len(first.partitions) == 4, "the first worker has all partitions again")
        await judge(settings, load.written)
        assert first.stop() == 0
    finally:
        for worker in (first, *others):
            worker.end()


@pytest.mark.timeout(400)
async def test_a_broker_killed_and_restarted_under_load_costs_nothing(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "kafka", port=0) as broker:
        settings = Settings(
            broker=broker.address,
            topic_prefix=fresh_prefix(),
            data_dir=tmp_path,
            partitions=2,
            session_timeout_s=6.0,
            checkpoint_interval_s=0.3,
            windows_ms=(100, 1000),
        )
        await admin.ensure_topics(settings)
        worker = WorkerProcess(settings, "only", tmp_path)
        try:
            async with Load(settings, block).running() as load:
                for turn in range(2):
                    before = {n: row["saved_offset"] for n, row in worker.partitions.items()}
                    await eventually(
                        lambda before=before: (
                            len(rows := worker.partitions) == 2
                            and all(row["saved_offset"] > before.get(n, 0) for n, row in rows.items())
                        ),
                        f"turn {turn}: the worker goes on",
                    )
                    broker.kill()
                    broker.restart()
            await judge(settings, load.written)
            assert worker.stop() == 0
        finally:
            worker.end()
