"""A partition on the simulated GPU against one on the CPU; as a program, where numba interprets CUDA."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from agents.configuration import partition_config
from agents.frames import Backend
from agents.frames.cuda import open_device
from agents.messages import Message
from agents.outputs import Output
from agents.partition import Partition
from schemas.headers import H_WATERMARK
from schemas.settings import Settings
from schemas.ticks import Sequences
from tests.agents.test_partition import T0, messages_of, random_ticks

MS = 1_000_000


def pair_of(backend: Backend, **settings: Any) -> tuple[Partition, Partition]:
    """One on the device, one on the CPU."""
    own = ("examples.own_feature:block_share", "examples.own_feature:widest_spread")
    chosen = Settings(partitions=1, windows_ms=(100, 1000), features=own, **settings)
    return Partition(partition_config(chosen, backend=backend)(0)), Partition(partition_config(chosen)(0))


def facts(done: list[tuple[int, list[Output]]]) -> list[tuple[Any, ...]]:
    return [
        (offset, o.topic, o.index, o.key, o.value, o.headers) for offset, outputs in done for o in outputs
    ]


def messages(jitter_ms: int) -> list[Message]:
    """Frames of several sizes, with a poisoned one, bad ticks, a heartbeat, and one that promises less."""
    ticks = random_ticks(500, 3, jitter_ms=jitter_ms, step_ns=3 * MS)
    ticks.columns["bid_px"][[40, 41]] = -1
    frames = messages_of(ticks, [60, 61, 200, 200, 330])
    loose = replace(ticks.take(slice(490, 500)), sequences=Sequences())
    frames += messages_of(loose, [])
    beat = Message(0, 0, [(H_WATERMARK, str(T0 + 5_000 * MS).encode())], None)
    every = [*frames[:3], Message(0, 0, [], b"no frame"), *frames[3:], beat]
    return [message._replace(offset=offset) for offset, message in enumerate(every)]


def outputs_are_equal(backend: Backend, lateness_ms: int) -> None:
    """One by one and in batches, each going on from the other's checkpoint half way."""
    device, cpu = pair_of(backend, allowed_lateness_ms=lateness_ms)
    one_by_one, _ = pair_of(backend, allowed_lateness_ms=lateness_ms)
    found, expected = [], []
    every = messages(jitter_ms=30 if lateness_ms else 0)
    for number, message in enumerate(every):
        expected.append((message.offset, cpu.process(message)))
        found += device.accept(message, 0, more=number not in (4, len(every) - 1))
        assert facts([(message.offset, one_by_one.process(message))]) == facts(expected[-1:])
        if number == 4:
            saved = device.snapshot()
            assert saved == one_by_one.snapshot() == cpu.snapshot()
            cpu.restore(saved)
            device.restore(cpu.snapshot())
    assert [offset for offset, _ in found] == [message.offset for message in every]
    assert facts(found) == facts(expected)
    assert sum(topic == "market.features" for _, topic, *_ in facts(found)) > 3
    assert device.snapshot() == one_by_one.snapshot() == cpu.snapshot()
    assert device.drain() == []


if __name__ == "__main__":
    np.seterr(all="ignore")
    outputs_are_equal(open_device(0), int(sys.argv[1]))
    print("same bytes")
