"""What the peers' scripts share: the job, the clock, and the work itself.

Runs in the peers' environments: the standard library and orjson, and for the frames lane what
``agents.partition`` imports.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.outputs import Output

WINDOW_NS = 1_000_000_000
OUTPUTS = ("market.features", "market.bars", "market.signals", "market.quality", "dead.letters")
"""Where the frames lane writes; the JSON lane's bars go to :data:`BARS`."""
BARS = "market.bars"

Tick = dict[str, Any]
Window = list[float]


@dataclass(frozen=True, slots=True)
class Job:
    """What a script is to read, and until when."""

    lane: str
    broker: str
    messages: int
    group: str
    folder: str

    @property
    def source(self) -> str:
        """The topic of the lane."""
        return "market.ticks" if self.lane == "frames" else "market.ticks.json"


def read_job() -> Job:
    """The job as :mod:`bench.peers.measure` hands it over, one JSON object as the argument."""
    return Job(**json.loads(sys.argv[1]))


class Meter:
    """Seconds by the clock and of this process's CPU, from the first message to the last.

    Parameters
    ----------
    expected
        How many messages there are.
    at_end
        Called once, when the last one has been seen.
    """

    def __init__(self, expected: int, at_end: Callable[[], None] | None = None) -> None:
        self.seen = 0
        self._expected = expected
        self._at_end = at_end
        self._began = (0.0, 0.0)
        self._spent = (0.0, 0.0)

    @property
    def done(self) -> bool:
        """Whether all messages have been seen."""
        return self.seen >= self._expected

    def begin(self) -> None:
        """A message is about to be worked on."""
        if not self.seen:
            self._began = (time.perf_counter(), time.process_time())

    def end(self) -> None:
        """It has been."""
        self.seen += 1
        if self.seen == self._expected:
            self.stop()
            if self._at_end is not None:
                self._at_end()

    def count(self) -> None:
        """A message has come, where its work cannot be surrounded."""
        self.begin()
        self.end()

    def stop(self) -> None:
        """Take the time now; again, where outputs are written after the work."""
        self._spent = (time.perf_counter() - self._began[0], time.process_time() - self._began[1])

    def report(self) -> None:
        """Print the figures, as the last line that :mod:`bench.peers.measure` reads."""
        seconds, cpu_seconds = self._spent
        figures = {"seen": self.seen, "seconds": seconds, "cpu_seconds": cpu_seconds}
        # On a line of its own, and to the real output: Faust takes sys.stdout for its log, and spins there.
        print(f"\n{json.dumps(figures)}", file=sys.__stdout__, flush=True)

    def leave(self) -> None:
        """Report and end the process, for frameworks that end on a signal only; flush first."""
        self.report()
        os._exit(0)


class Frames:
    """The worker's computation with its default configuration, for any partition."""

    def __init__(self, meter: Meter) -> None:
        from agents.configuration import partition_config
        from agents.messages import Message
        from agents.partition import Partition, warm_up
        from schemas.settings import load_settings

        self.meter = meter
        self._message = Message
        self._partition = Partition
        self._config = partition_config(load_settings())
        self._held: dict[int, Partition] = {}
        warm_up(self._config(0))

    def work(
        self, partition: int, offset: int, timestamp_ms: int, headers: Any, value: bytes
    ) -> list[Output]:
        """All outputs of one frame."""
        self.meter.begin()
        state = self._held.get(partition)
        if state is None:
            state = self._held[partition] = self._partition(self._config(partition))
        outputs = state.process(
            self._message(offset, timestamp_ms, list(headers or ()), value), time.time_ns()
        )
        self.meter.end()
        return outputs


def opened(tick: Tick) -> int:
    """The open of the tick's window."""
    at_ns: int = tick["ts_event_ns"]
    return at_ns - at_ns % WINDOW_NS


def begin_window(tick: Tick | None = None) -> Window:
    """Open, high, low, close, volume, trades, signed volume, sum of spreads, quotes."""
    window = [0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0]
    return window if tick is None else add(window, tick)


def add(window: Window, tick: Tick) -> Window:
    """Take one tick into its window."""
    if tick["kind"] == "quote":
        window[7] += tick["ask_px"] - tick["bid_px"]
        window[8] += 1
        return window
    price, size = tick["trade_px"], tick["trade_sz"]
    if not window[5]:
        window[0:3] = price, price, price
    if price > window[1]:
        window[1] = price
    if price < window[2]:
        window[2] = price
    window[3] = price
    window[4] += size
    window[5] += 1
    window[6] += tick["aggressor"] * size
    return window


def bar(symbol: str, open_ns: int, window: Window) -> dict[str, Any]:
    """The window as it is written; a window without a trade has no prices and no imbalance."""
    traded = window[5] > 0
    return {
        "symbol": symbol,
        "open_ns": open_ns,
        "open": window[0] if traded else None,
        "high": window[1] if traded else None,
        "low": window[2] if traded else None,
        "close": window[3] if traded else None,
        "volume": window[4],
        "n_trades": int(window[5]),
        "imbalance": window[6] / window[4] if window[4] else None,
        "spread": window[7] / window[8] if window[8] else None,
    }


class Windows:
    """Tumbling windows in a dictionary, for frameworks whose own windows do not close by event time."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, Window]] = {}

    def add(self, tick: Tick) -> dict[str, Any] | None:
        """Take a tick in; the bar that it closes, if it is the first of a later window."""
        symbol, open_ns = tick["symbol"], opened(tick)
        before = self._open.get(symbol)
        if before is not None and before[0] == open_ns:
            add(before[1], tick)
            return None
        self._open[symbol] = (open_ns, begin_window(tick))
        return None if before is None else bar(symbol, *before)
