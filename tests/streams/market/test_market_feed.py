"""The feed keeps its pace by the clock it is given, and sends the market's own stream whatever the pace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemas.ticks import Ticks, concat_ticks
from streams.market.config import MarketConfig
from streams.market.fault_plan import FaultPlan
from streams.market.feed import CHUNK_TICKS, feed, pass_over
from streams.market.market import SimulatedMarket
from tests.streams.market.series import SECOND_NS, same_ticks

CONFIG = MarketConfig(symbols=4, seed=2, rate_per_s=200.0)


class SteppedClock:
    """Passes as much time as is slept, and a little at each look."""

    def __init__(self, look_s: float = 0.0) -> None:
        self.time_s, self.look_s = 100.0, look_s
        self.slept: list[float] = []

    def now(self) -> float:
        self.time_s += self.look_s
        return self.time_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time_s += seconds


class ListSink:
    """Keeps ticks with the clock at which they came, and heartbeats."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.parts: list[tuple[float, Ticks]] = []
        self.beats: list[int] = []

    async def write(self, ticks: Ticks) -> None:
        self.parts.append((self.clock.time_s, ticks))

    async def heartbeat(self, ts_event_ns: int) -> None:
        self.beats.append(ts_event_ns)

    @property
    def ticks(self) -> Ticks:
        return concat_ticks([ticks for _, ticks in self.parts])


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_a_paced_feed_sends_each_tick_within_a_slice_after_its_time(speed: float) -> None:
    clock = SteppedClock()
    sink = ListSink(clock)
    until_ns = CONFIG.start_ns + 20 * SECOND_NS
    fed = await feed(SimulatedMarket(CONFIG), sink, clock, speed=speed, until_ns=until_ns)
    for at_s, ticks in sink.parts:
        due_s = 100.0 + (ticks.columns["ts_event_ns"] - CONFIG.start_ns) / 1e9 / speed
        assert due_s.max() <= at_s
        assert at_s - due_s.min() <= 0.02 + 1e-6
    assert same_ticks(sink.ticks, SimulatedMarket(CONFIG).block(until_ns=until_ns))
    assert (fed.ticks, fed.end_ns, fed.behind_s) == (len(sink.ticks), until_ns, 0.0)
    assert fed.wall_s == pytest.approx(20 / speed, abs=0.03)


async def test_an_unpaced_feed_sends_the_same_stream_without_waiting() -> None:
    clock = SteppedClock()
    sink = ListSink(clock)
    fed = await feed(SimulatedMarket(CONFIG), sink, clock, speed=None, n_ticks=200_000)
    assert same_ticks(sink.ticks, SimulatedMarket(CONFIG).block(n_ticks=200_000))
    assert fed.ticks == 200_000
    assert sum(clock.slept) == 0.0
    assert max(len(ticks) for _, ticks in sink.parts) == CHUNK_TICKS


async def test_the_first_of_both_ends_ends_it() -> None:
    for n_ticks, until_s, is_count in ((500, 60, True), (10**6, 1, False)):
        market, clock = SimulatedMarket(CONFIG), SteppedClock()
        sink = ListSink(clock)
        until_ns = CONFIG.start_ns + until_s * SECOND_NS
        await feed(market, sink, clock, speed=5.0, n_ticks=n_ticks, until_ns=until_ns)
        assert (len(sink.ticks) == n_ticks) == is_count
        assert (sink.beats[-1] == until_ns) != is_count


async def test_a_feed_that_is_slower_than_its_clock_says_how_far_it_fell_behind() -> None:
    clock = SteppedClock(
        look_s=2.0
    )  # each look at the clock costs two seconds: 2 s of ticks are never enough
    config = MarketConfig(symbols=200, seed=2, rate_per_s=1_000.0)
    fed = await feed(SimulatedMarket(config), ListSink(clock), clock, speed=1.0, n_ticks=10 * CHUNK_TICKS)
    assert fed.behind_s > 1.0


async def test_heartbeats_tell_each_second_of_event_time_and_the_end() -> None:
    clock = SteppedClock()
    sink = ListSink(clock)
    until_ns = CONFIG.start_ns + 5 * SECOND_NS
    quiet = FaultPlan(outage=1.0, stall_ms=60_000)
    market = SimulatedMarket(MarketConfig(symbols=2, seed=1, faults=quiet))
    await feed(market, sink, clock, speed=1.0, until_ns=until_ns)
    assert not sink.parts
    steps = [(later - CONFIG.start_ns) / 1e9 for later in sink.beats]
    assert steps == pytest.approx([1, 2, 3, 4, 5], abs=0.1)
    assert sink.beats[-1] == until_ns


def stops_after(looks: int) -> Callable[[], bool]:
    left = iter(range(looks))
    return lambda: next(left, None) is None


async def test_a_stopped_feed_ends_cleanly_with_what_faults_held_back() -> None:
    config = MarketConfig(symbols=4, seed=2, faults=FaultPlan(late=0.05, late_ms=60_000, seed=1))
    clock = SteppedClock()
    sink = ListSink(clock)
    market = SimulatedMarket(config)
    fed = await feed(market, sink, clock, speed=1.0, stopped=stops_after(100))
    assert fed.end_ns == sink.beats[-1] < config.start_ns + 3 * SECOND_NS
    assert len(sink.ticks) == fed.ticks == market.generated  # nothing lost, nothing twice
    assert {fault.certain for fault in market.truth.faults} == {False}


async def test_what_is_before_the_pace_begins_is_sent_at_once_and_what_is_passed_over_never() -> None:
    market, clock = SimulatedMarket(CONFIG), SteppedClock()
    sink = ListSink(clock)
    begin_ns, now_ns, until_ns = (CONFIG.start_ns + s * SECOND_NS for s in (30, 50, 52))
    pass_over(market, begin_ns)
    fed = await feed(market, sink, clock, speed=1.0, until_ns=until_ns, paced_from_ns=now_ns)
    whole = SimulatedMarket(CONFIG)
    whole.block(until_ns=begin_ns)
    assert same_ticks(sink.ticks, whole.block(until_ns=until_ns))
    at_once = sum(len(ticks) for at_s, ticks in sink.parts if at_s == 100.0)
    assert at_once == int((sink.ticks.columns["ts_event_ns"] < now_ns).sum())
    assert (fed.start_ns, fed.behind_s) == (int(sink.ticks.columns["ts_event_ns"][0]), 0.0)
    assert fed.wall_s == pytest.approx(2.0, abs=0.03)
