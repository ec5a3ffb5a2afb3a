"""Sending: pace, positions, going on after a stop, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import CheckpointError
from schemas.settings import Settings
from schemas.ticks import Ticks
from streams.clock import MonotonicClock
from streams.replay import send as sending_module
from streams.replay.pacing import PacingError, Schedule
from streams.replay.resume import Position, PositionFile
from streams.replay.send import NullWriter, Plan, Sending, closing_ns, send
from tests.streams.replay.making import MS, FakeClock, FakeWriter, T, marks, ticks_at


async def test_each_tick_is_sent_when_it_is_due() -> None:
    clock = FakeClock()
    writer = FakeWriter(clock)
    await send([ticks_at([0, 10, 10, 35])], writer, Plan(speed=1.0), clock, Sending())
    found = [(round(at - 100, 6), marks(ticks)) for at, ticks in writer.written]
    assert found == [(0.0, [1]), (0.01, [2, 3]), (0.035, [4])]


async def test_speed_divides_the_waits_and_blocks_do_not_matter() -> None:
    clock = FakeClock()
    writer = FakeWriter(clock)
    await send([ticks_at([0, 10]), ticks_at([35])], writer, Plan(speed=10.0), clock, Sending())
    assert [round(at - 100, 6) for at, _ in writer.written] == [0.0, 0.001, 0.0035]


async def test_a_tick_from_the_past_is_due_at_once() -> None:
    clock = FakeClock()
    writer = FakeWriter(clock)
    await send([ticks_at([10, 5, 20])], writer, Plan(speed=1.0), clock, Sending())
    assert [(round(at - 100, 6), len(ticks)) for at, ticks in writer.written] == [(0.0, 2), (0.01, 1)]


async def test_long_silences_can_be_cut() -> None:
    clock = FakeClock()
    writer = FakeWriter(clock)
    night = 16 * 3_600_000
    await send([ticks_at([0, night, night + 10])], writer, Plan(speed=1.0, max_gap_s=2.0), clock, Sending())
    assert [round(at - 100, 6) for at, _ in writer.written] == [0.0, 2.0, 2.01]


async def test_the_pacing_error_is_how_late_the_clock_woke_us() -> None:
    clock = FakeClock(lag_s=0.003)
    sending = Sending()
    await send([ticks_at([0, *range(10, 1_000, 10)])], FakeWriter(clock), Plan(speed=1.0), clock, sending)
    assert sending.error.quantile_ms(0.5) == pytest.approx(3.0, rel=0.02)
    assert sending.error.worst_ms == pytest.approx(3.0)
    assert sending.ticks == 100


def test_quantiles_of_the_pacing_error_agree_with_numpy() -> None:
    late = np.random.default_rng(1).lognormal(-7, 1.5, 20_000)
    error = PacingError()
    for part in np.array_split(late, 7):
        error.add(part)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert error.quantile_ms(share) == pytest.approx(np.quantile(late, share) * 1e3, rel=0.03)
    assert np.isnan(PacingError().quantile_ms(0.5))
    on_time = PacingError()
    on_time.add(np.array([-1.0, 0.0]))
    assert (on_time.quantile_ms(0.99), on_time.worst_ms) == (0.0, 0.0)


async def test_the_real_clock_sleeps_no_shorter_than_told() -> None:
    clock = MonotonicClock()
    before = clock.now()
    await clock.sleep(0.002)
    assert clock.now() - before >= 0.002


def test_a_schedule_begins_with_its_first_tick() -> None:
    schedule = Schedule(2.0, start_s=5.0)
    assert schedule.due_s(ticks_at([100, 300])).tolist() == [5.0, 5.1]
    assert schedule.due_s(ticks_at([300, 500])).tolist() == pytest.approx([5.1, 5.2])


async def test_without_a_pace_no_clock_is_waited_for() -> None:
    clock = FakeClock()
    writer = FakeWriter(clock)
    await send([ticks_at([0, 10_000]), ticks_at([20_000])], writer, Plan(), clock, Sending())
    assert (clock.now(), writer.acknowledged) == (100.0, 3)


async def test_at_the_end_the_last_windows_close() -> None:
    settings = Settings(windows_ms=(1_000, 10_000), allowed_lateness_ms=250)
    writer = FakeWriter()
    plan = Plan(close_ns=closing_ns(settings))
    await send([ticks_at([0, 12_345])], writer, plan, FakeClock(), Sending())
    assert writer.heartbeats == [T + 20_000 * MS + 250 * MS]
    assert writer.flushes >= 2


def test_a_tick_on_a_border_belongs_to_the_window_after_it() -> None:
    close = closing_ns(Settings(windows_ms=(1_000,)))
    assert [close(T - 1), close(T)] == [T, T + 1_000 * MS]


async def test_the_position_is_saved_only_after_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_module, "FLUSH_TICKS", 10)
    positions = PositionFile.of(tmp_path, "x")
    saved: list[tuple[int, int]] = []
    writer = FakeWriter()

    class Watched(PositionFile):
        def save(self, position: Position) -> None:
            saved.append((position.ticks, writer.acknowledged))
            super().save(position)

    await send([ticks_at(range(25))], writer, Plan(), FakeClock(), Sending(), Watched(positions.path))
    assert saved == [(10, 10), (20, 20), (25, 25)]
    assert positions.load() == Position(25, T + 24 * MS, finished=True)


async def test_a_paced_replay_saves_now_and_then(tmp_path: Path) -> None:
    clock = FakeClock()
    positions = PositionFile.of(tmp_path, "x")
    seen: list[int] = []
    blocks = [ticks_at(range(0, 10_000, 500))]
    await send(
        blocks, FakeWriter(clock), Plan(speed=1.0), clock, Sending(), positions,
        lambda _: seen.append(positions.load().ticks),
    )  # fmt: skip
    assert sorted(set(seen)) == [0, 5, 9, 13, 17]


async def test_a_failure_leaves_the_last_acknowledged_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_module, "FLUSH_TICKS", 10)
    positions = PositionFile.of(tmp_path, "x")
    sending = Sending()
    with pytest.raises(ConnectionError):
        await send([ticks_at(range(25))], FakeWriter(fail_after=15), Plan(), FakeClock(), sending, positions)
    assert positions.load() == Position(10, T + 9 * MS, finished=False)


async def test_a_cancelled_replay_flushes_and_saves_where_it_is(tmp_path: Path) -> None:
    positions = PositionFile.of(tmp_path, "x")
    writer = FakeWriter()
    reached = asyncio.Event()

    class Stuck(FakeClock):
        async def sleep(self, seconds: float) -> None:
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(
        send([ticks_at([0, 1])], writer, Plan(speed=1.0), Stuck(), Sending(), positions)
    )
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (positions.load(), writer.acknowledged) == (Position(1, T, finished=False), 1)


async def test_a_write_that_is_under_way_when_cancelled_counts(tmp_path: Path) -> None:
    positions = PositionFile.of(tmp_path, "x")
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeWriter):
        async def write(self, ticks: Ticks) -> None:
            await super().write(ticks)
            begun.set()
            await go_on.wait()

    writer = Slow()
    task = asyncio.create_task(
        send([ticks_at([0, 1])], writer, Plan(speed=1.0), FakeClock(), Sending(), positions)
    )
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (positions.load().ticks, writer.acknowledged) == (1, 1)


async def test_an_error_in_reading_flushes_what_came_before(tmp_path: Path) -> None:
    def blocks() -> Iterator[Ticks]:
        yield ticks_at([0, 1])
        raise OSError("the disk is gone")

    writer = FakeWriter()
    positions = PositionFile.of(tmp_path, "x")
    with pytest.raises(OSError, match="the disk is gone"):
        await send(blocks(), writer, Plan(), FakeClock(), Sending(), positions)
    assert (writer.acknowledged, positions.load().ticks) == (2, 2)


async def test_a_dry_run_needs_nobody() -> None:
    sending = Sending()
    plan = Plan(close_ns=lambda high_ns: high_ns)
    await send([ticks_at([0, 1])], NullWriter(), plan, FakeClock(), sending)
    assert (sending.ticks, sending.finished) == (2, True)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"version":2,"ticks":1}', b"\xff"])
def test_a_damaged_position_is_said_to_be_so(tmp_path: Path, content: bytes) -> None:
    positions = PositionFile.of(tmp_path, "x")
    positions.path.parent.mkdir(parents=True)
    positions.path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no position of a replay"):
        positions.load()


def test_a_position_that_was_never_saved_is_the_beginning(tmp_path: Path) -> None:
    assert PositionFile.of(tmp_path, "x").load() == Position()
