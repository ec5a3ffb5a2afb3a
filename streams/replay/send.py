"""Sending a stream of ticks at its pace: the loop of a replay, its position, its report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from schemas.settings import Settings
from schemas.ticks import Ticks
from streams.clock import Clock
from streams.replay.pacing import PacingError, Schedule
from streams.replay.resume import Position, PositionFile

FLUSH_TICKS = 1_048_576
"""At full speed the position is taken at multiples of this, so that going on cuts the same frames again."""
SAVE_S = 2.0
"""At a pace the position is taken this often."""


class Writer(Protocol):
    """What a replay needs of :class:`streams.writer.TickWriter`."""

    async def write(self, ticks: Ticks) -> None:
        """Take in ticks."""

    async def flush(self) -> None:
        """Return when all are acknowledged."""

    async def heartbeat(self, ts_event_ns: int) -> None:
        """Tell that event time has come so far."""


class NullWriter:
    """Takes ticks and drops them: a dry run."""

    async def write(self, ticks: Ticks) -> None:
        """Drop them."""

    async def flush(self) -> None:
        """Nothing waits."""

    async def heartbeat(self, ts_event_ns: int) -> None:
        """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to send.

    Parameters
    ----------
    speed
        Seconds of event time in a second; None for as fast as it goes.
    max_gap_s
        See :class:`~streams.replay.pacing.Schedule`.
    close_ns
        From the highest event time sent to the event time at which everything is over; None to leave the
        last windows open.
    """

    speed: float | None = None
    max_gap_s: float | None = None
    close_ns: Callable[[int], int] | None = None


@dataclass(slots=True)
class Sending:
    """What has been sent so far, and how well."""

    start: Position = field(default_factory=Position)
    ticks: int = 0
    high_ns: int = 0
    seconds: float = 0.0
    error: PacingError = field(default_factory=PacingError)
    finished: bool = False

    @property
    def position(self) -> Position:
        """Where going on would begin."""
        return Position(self.start.ticks + self.ticks, self.high_ns, self.finished)


def closing_ns(settings: Settings) -> Callable[[int], int]:
    """From the last event time to the one that closes all windows, late ticks allowed for."""
    windows = [window * 1_000_000 for window in settings.windows_ms]
    lateness = settings.allowed_lateness_ms * 1_000_000

    def close(high_ns: int) -> int:
        return max((high_ns // window + 1) * window for window in windows) + lateness

    return close


async def send(
    blocks: Iterable[Ticks],
    writer: Writer,
    plan: Plan,
    clock: Clock,
    sending: Sending,
    positions: PositionFile | None = None,
    on_progress: Callable[[Sending], None] = lambda sending: None,
) -> None:
    """Send all blocks, keeping ``sending`` up to date.

    When it is cancelled, what was written is still flushed and the position saved.
    """
    started_s = clock.now()
    saved = _Saver(writer, sending, positions, clock)
    sending.high_ns = sending.start.ts_event_ns
    pace: Schedule | None = None

    async def sent() -> None:
        sending.seconds = clock.now() - started_s
        on_progress(sending)
        await saved.when_due(paced=plan.speed is not None)

    try:
        async for block in _ahead(iter(blocks)):
            if plan.speed is None:
                await _at_once(block, writer, sending, sent)
            else:
                pace = pace or Schedule(plan.speed, clock.now(), plan.max_gap_s)
                await _paced(block, pace, writer, clock, sending, sent)
        await writer.flush()
        if plan.close_ns is not None and sending.ticks:
            await writer.heartbeat(plan.close_ns(sending.high_ns))
            await writer.flush()
        sending.finished = True
    finally:
        sending.seconds = clock.now() - started_s
        if not sending.finished:
            await asyncio.shield(saved.now())
        elif positions is not None:
            positions.save(sending.position)


async def _at_once(
    ticks: Ticks, writer: Writer, sending: Sending, sent: Callable[[], Awaitable[None]]
) -> None:
    """In pieces that end where the position is taken."""
    done = 0
    while done < len(ticks):
        n = FLUSH_TICKS - sending.position.ticks % FLUSH_TICKS
        await _write(writer, ticks.take(slice(done, done + n)), sending)
        await sent()
        await asyncio.sleep(0)
        done += n


async def _paced(
    ticks: Ticks,
    pace: Schedule,
    writer: Writer,
    clock: Clock,
    sending: Sending,
    sent: Callable[[], Awaitable[None]],
) -> None:
    """Each tick as soon as it is due, together with those that are due by then."""
    due = pace.due_s(ticks)
    done = 0
    while done < len(ticks):
        now = clock.now()
        ready = int(np.searchsorted(due, now, side="right"))
        if ready <= done:
            await clock.sleep(float(due[done]) - now)
            continue
        await _write(writer, ticks.take(slice(done, ready)), sending)
        sending.error.add(clock.now() - due[done:ready])
        await sent()
        done = ready


async def _write(writer: Writer, ticks: Ticks, sending: Sending) -> None:
    writing = asyncio.ensure_future(writer.write(ticks))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        # A write that was begun is finished, so that the position and what was sent agree.
        await writing
        raise
    finally:
        if writing.done() and not writing.cancelled() and writing.exception() is None:
            sending.ticks += len(ticks)
            sending.high_ns = max(sending.high_ns, int(ticks.columns["ts_event_ns"].max()))


class _Saver:
    """Takes the position now and then: flush first, save after."""

    def __init__(
        self, writer: Writer, sending: Sending, positions: PositionFile | None, clock: Clock
    ) -> None:
        self._writer = writer
        self._sending = sending
        self._positions = positions
        self._clock = clock
        self._last_s = clock.now()

    async def when_due(self, *, paced: bool) -> None:
        if self._positions is None:
            return
        if paced:
            due = self._clock.now() - self._last_s >= SAVE_S
        else:
            due = self._sending.position.ticks % FLUSH_TICKS == 0
        if due:
            await self.now()

    async def now(self) -> None:
        """Flush and save; the flush may fail, and then nothing is saved."""
        position = self._sending.position
        await self._writer.flush()
        self._last_s = self._clock.now()
        if self._positions is not None:
            self._positions.save(position)


async def _ahead(blocks: Iterator[Ticks]) -> AsyncIterator[Ticks]:
    """Blocks; the next is read in a thread meanwhile, since reading must not hold up the pace."""
    upcoming = asyncio.ensure_future(asyncio.to_thread(next, blocks, None))
    try:
        while (block := await upcoming) is not None:
            upcoming = asyncio.ensure_future(asyncio.to_thread(next, blocks, None))
            yield block
    finally:
        if not upcoming.done():
            upcoming.cancel()
