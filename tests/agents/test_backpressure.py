"""Commands of the memory guard as a worker obeys them, and the events that wait meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.backpressure import Backpressure, device_uuid
from agents.configuration import partition_config
from agents.messages import Message
from agents.pipeline import TickPipeline
from schemas import codec
from schemas.commands import LAPSES_MS, CleanupAnswer, CleanupCommand
from schemas.settings import Settings
from tests.kafka import ROOT

CPU = "CPU-here"


class Worker:
    """A worker's backpressure with a clock of our own, and what it told its consumer."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.told: list[bool] = []
        self.backpressure = Backpressure(
            Settings(), CPU, "worker-1", self.told.append, now_ns=lambda: 77, monotonic_ns=lambda: self.now_ns
        )

    def hears(self, phase: Any, *, gpu_uuid: str = CPU, action: Any = "pause_ticks") -> CleanupAnswer | None:
        command = CleanupCommand(
            command_id="c1", gpu_uuid=gpu_uuid, action=action, phase=phase, policy="moderate", at_ns=1
        )
        return self.backpressure.take(codec.dumps(command))


def test_ticks_are_held_and_go_on_as_the_guard_says_and_each_change_is_answered() -> None:
    worker = Worker()
    answers = [worker.hears(phase) for phase in ("begin", "begin", "renew", "end", "end")]
    changes = [answer for answer in answers if answer is not None]
    assert [answer is not None for answer in answers] == [True, False, False, True, False]
    assert [(a.command_id, a.gpu_uuid, a.agent, a.done, a.at_ns) for a in changes] == [
        ("c1", CPU, "worker-1", True, 77)
    ] * 2
    assert all(a.bytes_before == a.bytes_after and a.bytes_before for a in changes)
    assert (worker.told, worker.backpressure.held, worker.backpressure.holds) == ([True, False], False, 1)


def test_other_devices_other_measures_and_other_messages_are_nothing_to_it() -> None:
    worker = Worker()
    assert worker.hears("begin", gpu_uuid="CPU-elsewhere") is None
    assert worker.hears("begin", action="cut_batches") is None
    assert worker.backpressure.take(b"no json") is None
    assert worker.backpressure.take(b'{"type": "policy", "policy": "moderate", "at_ns": 1}') is None
    assert worker.told == []


def test_a_hold_whose_guard_died_ends_by_itself() -> None:
    worker = Worker()
    worker.hears("renew")  # it was begun before this worker started
    worker.now_ns = LAPSES_MS * 1_000_000 - 1
    worker.backpressure.look()
    assert worker.told == [True]
    worker.now_ns += 1
    worker.backpressure.look()
    worker.backpressure.look()
    assert worker.told == [True, False]


@pytest.mark.parametrize(
    ("device", "uuid"), [("cpu", "CPU-here"), ("GPU-7", "GPU-7"), ("MIG-GPU-7/1/0", "MIG-GPU-7/1/0")]
)
def test_a_worker_knows_its_device_by_the_name_that_reports_give_it(device: str, uuid: str) -> None:
    assert device_uuid(device, "here") == uuid


def test_a_worker_that_knows_an_ordinal_asks_cuda_for_the_name() -> None:
    code = "from agents.backpressure import device_uuid; print(device_uuid('cuda:0', 'here'))"
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert told.stdout == "GPU-00000000-0000-0000-0000-000000000000\n"


class Event:
    """An event of the log that is only looked at."""

    def __init__(self, offset: int) -> None:
        self.message = Message(offset, 0, [], b"")

    def ack(self) -> None:
        raise AssertionError("nothing is acknowledged here")

    def drop_payload(self) -> None:
        raise AssertionError("nothing is computed here")


async def test_held_events_wait_in_their_order_those_of_new_partitions_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)
    pipeline = TickPipeline(settings, partition_config(settings), lambda reason: None)
    computed: list[tuple[int, int]] = []

    class Runner:
        def __init__(self, _: TickPipeline, number: int) -> None:
            self.number = number

        async def accept(self, event: Event, more: bool) -> None:
            computed.append((self.number, event.message.offset))

    monkeypatch.setattr("agents.pipeline.PartitionRunner", Runner)

    async def stream(partition: int) -> None:
        for offset in range(3):
            await pipeline.accept(partition, Event(offset))

    pipeline.hold(True)
    pipeline._assigned = {0, 1}
    streams = [asyncio.create_task(stream(partition)) for partition in (0, 1)]
    await asyncio.sleep(0)
    pipeline._assigned = {1, 2}  # a rebalance: one goes, one comes
    streams.append(asyncio.create_task(stream(2)))
    await asyncio.sleep(0)
    assert computed == []
    pipeline.hold(False)
    await asyncio.gather(*streams)
    assert sorted(computed) == [(partition, offset) for partition in (1, 2) for offset in range(3)]
    for partition in (1, 2):
        assert [offset for number, offset in computed if number == partition] == [0, 1, 2]
