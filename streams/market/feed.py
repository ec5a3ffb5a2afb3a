"""Carries the simulated market to a sink, at the pace of a clock or as fast as the sink takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.ticks import Ticks
from streams.clock import Clock
from streams.market.market import SimulatedMarket

SLICE_S = 0.02
"""How often a paced market sends."""
CHUNK_TICKS = 65_536
_SECOND_NS = 1_000_000_000


class Sink(Protocol):
    """Where ticks go: a :class:`~streams.writer.TickWriter`, a file."""

    async def write(self, ticks: Ticks) -> None:
        """Take ticks."""

    async def heartbeat(self, ts_event_ns: int) -> None:
        """Take notice that no earlier tick follows."""


@dataclass(frozen=True, slots=True)
class Fed:
    """What a feed sent.

    Attributes
    ----------
    ticks
        Ticks sent, after faults.
    start_ns, end_ns
        Event time at which it began and up to which it came.
    wall_s
        How long it took.
    behind_s
        The longest that a paced feed was behind its clock, beyond its slice.
    """

    ticks: int
    start_ns: int
    end_ns: int
    wall_s: float
    behind_s: float


async def feed(
    market: SimulatedMarket,
    sink: Sink,
    clock: Clock,
    *,
    speed: float | None,
    n_ticks: int | None = None,
    until_ns: int | None = None,
    paced_from_ns: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Fed:
    """Send the market from where it is.

    Parameters
    ----------
    speed
        Seconds of event time a second of the clock; None for no pacing.
    n_ticks, until_ns
        End after so many ticks made, or before that event time, whichever is first; without either it goes
        on until stopped.
    paced_from_ns
        Event time at which the pace begins; what comes before is sent at once. The opening when absent.
    stopped
        Asked between blocks; when true the feed ends as if it had reached its end.
    """
    began_s, start_ns = clock.now(), market.config.start_ns
    if market.generated:
        start_ns = market.next_ns
    paced_ns = start_ns if paced_from_ns is None else paced_from_ns
    made_before, sent, behind_s = market.generated, 0, 0.0
    now_ns, beat_ns = start_ns, start_ns
    while not stopped():
        left = None if n_ticks is None else n_ticks - (market.generated - made_before)
        target_ns = until_ns
        if speed is not None:
            passed_ns = paced_ns + int((clock.now() - began_s) * speed * 1e9)
            target_ns = passed_ns if until_ns is None else min(passed_ns, until_ns)
        room = CHUNK_TICKS if left is None else min(left, CHUNK_TICKS)
        made = market.generated
        ticks = market.block(n_ticks=room, until_ns=target_ns)
        is_full = market.generated - made == room
        if len(ticks):
            await sink.write(ticks)
            sent += len(ticks)
        now_ns = market.next_ns if is_full or target_ns is None else target_ns
        if now_ns - beat_ns >= _SECOND_NS:
            # Should all be silent, windows close nevertheless.
            beat_ns = now_ns
            await sink.heartbeat(now_ns)
        if (left is not None and market.generated - made == left) or (
            until_ns is not None and not is_full and target_ns == until_ns
        ):
            break
        if speed is not None and is_full and now_ns >= paced_ns:
            behind_s = max(behind_s, clock.now() - began_s - (now_ns - paced_ns) / speed * 1e-9 - SLICE_S)
        await clock.sleep(0.0 if speed is None or is_full else SLICE_S)
    held = market.finish()
    if held is not None:
        await sink.write(held)
        sent += len(held)
    await sink.heartbeat(now_ns)
    return Fed(sent, start_ns, now_ns, clock.now() - began_s, behind_s)


def pass_over(market: SimulatedMarket, until_ns: int) -> None:
    """Let the market trade up to an event time without anybody being told."""
    while market.next_ns < until_ns:
        market.block(n_ticks=CHUNK_TICKS, until_ns=until_ns)
