"""What children say of their allocators, and what an agent says of all of them."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from agents.allocators import Held
from agents.tasks import protocol
from agents.tasks.holdings import summed, telling
from agents.tasks.pool import Pool, Warm
from agents.tasks.protocol import Done, Holding
from agents.tasks.service.tending import Tending
from schemas.settings import Settings
from tests.agents.tasks.service.lab import FakeLog

TORCH = Held(kind="torch_reserved", ordinal=0, used_bytes=5, limit_bytes=10)
RMM = Held(kind="rmm_pool", ordinal=1, used_bytes=1, limit_bytes=2)


def test_it_is_said_again_and_again_while_a_task_works_and_not_after() -> None:
    said: list[Holding] = []
    twice = threading.Event()

    def tell(holding: Holding) -> None:
        said.append(holding)
        if len(said) == 2:
            twice.set()

    with telling(tell, look=lambda: [TORCH], every_s=0.001):
        assert twice.wait(20)
    after = len(said)
    assert said[:2] == [Holding(held=[TORCH])] * 2
    assert (len(said), threading.active_count()) == (after, threading.active_count())
    assert not any(thread.name == "allocators" for thread in threading.enumerate())


def test_nothing_held_is_nothing_said_and_a_runner_that_is_gone_is_no_trouble() -> None:
    looked = threading.Event()

    def gone(_: Holding) -> None:
        looked.set()
        raise ConnectionResetError

    with telling(gone, look=lambda: [TORCH], every_s=0.001):
        assert looked.wait(20)
    nothing: list[Holding] = []
    asked = threading.Event()

    def look() -> list[Held]:
        asked.set()
        return []

    with telling(nothing.append, look=look, every_s=0.001):
        assert asked.wait(20)
    assert nothing == []


def test_a_frame_carries_what_is_held() -> None:
    done = Done(held=[TORCH, RMM])
    text = protocol.encode(done)[protocol.PREFIX.size :]
    assert protocol.decode(text) == done


def test_children_are_added_up_by_device_and_allocator() -> None:
    children = [(("GPU-a", "GPU-b"), [TORCH, RMM]), (("GPU-b",), [TORCH]), (("GPU-a",), [TORCH])]
    assert summed(children) == {
        ("GPU-a", "torch_reserved"): (10, 20),
        ("GPU-b", "rmm_pool"): (1, 2),
        ("GPU-b", "torch_reserved"): (5, 10),
    }


async def test_an_agent_says_what_is_held_and_once_more_when_nothing_is(tmp_path: Any) -> None:
    pool, log, clock = Pool(1.0), FakeLog(), iter(range(0, 100_000_000_000, 1_000_000_000))
    tending = Tending(
        Settings(data_dir=tmp_path), pool, log, "agent-1", set, may_end=False, now_ns=lambda: next(clock)
    )
    child: Any = SimpleNamespace(devices=("GPU-a",), held=(TORCH,), alive=True, close=_closed)
    warm = Warm(child)
    next(clock)
    await pool.keep_or_end(warm, keep=True)
    await tending.tell_holdings()
    child.alive = False
    await tending.tell_holdings()
    await tending.tell_holdings()
    said: Any = log.written
    assert [(one.gpu_uuid, one.kind, one.holder, one.used_bytes, one.limit_bytes) for one in said] == [
        ("GPU-a", "torch_reserved", "agent-1", 5, 10),
        ("GPU-a", "torch_reserved", "agent-1", 0, 10),
    ]


async def _closed(_: float) -> None:
    await asyncio.sleep(0)
