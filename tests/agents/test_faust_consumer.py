"""Handing over messages: at once where there is room, waiting as Faust waits where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from agents.faust_consumer import FULL_WAIT_S, PromptConsumer
from schemas.settings import Settings


def consumer() -> PromptConsumer:
    app = faust.App("test-prompt-consumer", broker="kafka://localhost:1", autodiscover=False)
    settings = Settings(broker="127.0.0.1:1")
    return PromptConsumer(app.transport, lambda _: None, lambda _: None, lambda _: None, settings=settings)


async def at_once(log: list[str]) -> str:
    log.append("taken")
    return "done"


async def after(event: asyncio.Event, log: list[str]) -> str:
    log.append("waits")
    try:
        await event.wait()
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    log.append("taken")
    return "done"


async def refused() -> None:
    raise ValueError("no such stream")


async def refused_later(event: asyncio.Event) -> None:
    await event.wait()
    raise ValueError("no such stream")


async def test_a_message_that_finds_room_is_handed_over_without_a_turn_of_the_loop() -> None:
    log: list[str] = []
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "turn")
    found = await consumer().wait_first(at_once(log), asyncio.Event().wait())
    assert (found.results, found.stopped, log, turns) == (["done"], False, ["taken"], [])


async def test_a_message_that_finds_no_room_waits_for_it() -> None:
    log: list[str] = []
    room = asyncio.Event()
    waiting = asyncio.create_task(consumer().wait_first(after(room, log), asyncio.Event().wait()))
    await asyncio.sleep(0)
    assert (log, waiting.done()) == (["waits"], False)
    room.set()
    found = await waiting
    assert (found.results, log) == (["done"], ["waits", "taken"])


async def test_a_suspended_flow_ends_the_waiting_and_cancels_the_hand_over() -> None:
    log: list[str] = []
    suspended = asyncio.Event()
    suspended.set()
    found = await consumer().wait_first(after(asyncio.Event(), log), suspended.wait())
    await asyncio.sleep(0)
    assert (found.results, log) == ([True], ["waits", "cancelled"])


@pytest.mark.parametrize("late", [False, True])
async def test_an_error_in_the_hand_over_comes_out(late: bool) -> None:
    event = asyncio.Event()
    event.set()
    work: Coroutine[Any, Any, None] = refused_later(event) if late else refused()
    with pytest.raises(ValueError, match="no such stream"):
        await consumer().wait_first(work, asyncio.Event().wait())


async def test_a_stopped_consumer_stops_waiting() -> None:
    stopped = consumer()
    stopped._stopped.set()
    found = await stopped.wait_first(after(asyncio.Event(), []), asyncio.Event().wait())
    assert found.stopped


async def test_whatever_else_faust_waits_for_is_waited_for_as_ever() -> None:
    resumed = asyncio.Event()
    waiting = asyncio.create_task(consumer().wait(resumed))
    await asyncio.sleep(0)
    assert not waiting.done()
    resumed.set()
    assert (await waiting).stopped is False


class FakeFeed:
    """A feed of two partitions that writes down what is asked of it."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.places: set[TP] = set()

    async def read(self, starts: dict[TP, int]) -> None:
        self.log.append(("read", starts))
        self.places = set(starts)

    async def pause(self) -> None:
        self.log.append(("pause",))

    async def get(self, places: set[TP], timeout_s: float) -> dict[TP, list[str]]:
        self.log.append(("get", set(places), timeout_s))
        return {TP("ticks", 1): ["record"]}


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed()


@pytest.fixture
def fed(feed: FakeFeed, monkeypatch: pytest.MonkeyPatch) -> PromptConsumer:
    """A consumer that owns partitions 1 and 2, committed up to 10 and 20, and stays without a broker."""
    ours = consumer()

    async def position(tp: TP) -> int:
        return 10 * tp.partition

    async def stay() -> None:
        feed.log.append(("stay",))

    monkeypatch.setattr(ours, "_feed", feed)
    monkeypatch.setattr(ours, "position", position)
    monkeypatch.setattr(ours, "assignment", lambda: {TP("ticks", 1), TP("ticks", 2)})
    monkeypatch.setattr(ours._thread, "stay", stay)
    monkeypatch.setattr("agents.faust_consumer.HELD_WAIT_S", 0.001)
    ours._active_partitions = {TP("ticks", 1)}
    ours.flow_active = True
    return ours


STARTS = {TP("ticks", 1): 10, TP("ticks", 2): 20}


async def test_while_held_nothing_is_read_and_polling_goes_on(fed: PromptConsumer, feed: FakeFeed) -> None:
    fed.hold(True)
    assert await fed._wait_next_records(1.0) == ({}, set())
    assert feed.log == [("pause",), ("stay",)]
    fed.hold(False)
    records = {TP("ticks", 1): ["record"]}
    assert await fed._wait_next_records(1.0) == (records, {TP("ticks", 1)})
    assert feed.log[2:] == [("stay",), ("read", STARTS), ("get", {TP("ticks", 1)}, 1.0)]


async def test_the_feed_starts_where_the_group_is_and_follows_each_seek(
    fed: PromptConsumer, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sought(*_: Any) -> dict[TP, int]:
        return {}

    for name in ("seek_to_committed", "seek_wait"):
        monkeypatch.setattr(fed._thread, name, sought)
    monkeypatch.setattr(fed._thread, "seek", lambda tp, offset: None)
    seeks: list[Callable[[], Any]] = [
        fed.perform_seek,
        lambda: fed.seek_wait({TP("ticks", 1): 5}),
        lambda: fed.seek(TP("ticks", 1), 5),
    ]
    for seek in (None, *seeks):
        if seek is not None:
            await seek()
        feed.log.clear()
        for _ in range(2):
            await fed._getmany({TP("ticks", 1)}, 1.0)
        assert [entry for entry in feed.log if entry[0] == "read"] == [("read", STARTS)]


async def test_a_rebalance_while_positions_are_asked_for_reads_nothing(
    fed: PromptConsumer, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def position(tp: TP) -> int:
        fed.flow_active = False
        return 0

    monkeypatch.setattr(fed, "position", position)
    assert await fed._getmany({TP("ticks", 1)}, 1.0) == {}
    assert not [entry for entry in feed.log if entry[0] == "get"]


@pytest.mark.parametrize(("full", "waits_s"), [(set(), 1.0), ({("ticks", 2)}, FULL_WAIT_S)])
async def test_a_read_waits_briefly_while_partitions_are_full(
    fed: PromptConsumer, feed: FakeFeed, full: set[Any], waits_s: float
) -> None:
    fed._buffered_partitions = full
    await fed._getmany({TP("ticks", 1)}, 1.0)
    assert feed.log[-1] == ("get", {TP("ticks", 1)}, waits_s)


def test_a_message_says_what_the_log_says_of_it() -> None:
    record = SimpleNamespace(
        offset=lambda: 7,
        timestamp=lambda: (1, 1_500),
        key=lambda: b"A",
        value=lambda: b"frame",
        headers=lambda: [("v", b"1")],
    )
    message = consumer()._to_message(TP("ticks", 1), record)
    assert (message.tp, message.offset, message.timestamp) == (TP("ticks", 1), 7, 1.5)
    assert (message.key, message.value, message.headers) == (b"A", b"frame", [("v", b"1")])
