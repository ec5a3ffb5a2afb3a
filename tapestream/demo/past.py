"""The past of the demo's market, in memory: a small LSTM learns from it and is promoted.

The market of a seed and an opening is the same ticks whoever makes them. So nobody needs to have recorded the
past: it is made anew, faster than it passed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.ticks import Ticks
from streams.market.config import MarketConfig
from streams.market.market import SimulatedMarket

NS = 1_000_000_000
BARS = 180
"""Bars a symbol that the model learns from …"""
HISTORY_BARS = 60
"""… and those after them, up to now, that the log begins with, so that symbols can be scored at once."""
MOST_TICKS = 5_000_000.0
"""A longer past would take more than some seconds to make."""
WINDOW, HORIZON, HIDDEN, EPOCHS = 10, 5, 16, 4
_CHUNK = 65_536
_SHARE_OF_TICKS = 0.3
"""Of the whole work, what making the ticks takes."""

Progress = Callable[[float], None]
"""Told which share is done; may raise to end it."""


class _Ended(Exception):
    """Nobody waits for the training any more."""


class ModelTraining:
    """The training in a thread, beside whatever else goes on; an async context manager, which ends it.

    Attributes
    ----------
    share
        Which part of it is done.
    """

    def __init__(self, past: Past, data_dir: Path) -> None:
        self._past, self._data_dir = past, data_dir
        self._left = threading.Event()
        self._task: asyncio.Task[str] | None = None
        self.share = 0.0

    @property
    def version(self) -> str | None:
        """The model that came out; None while there is none. Raises what the training raised."""
        return self._task.result() if self._task is not None and self._task.done() else None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(
            asyncio.to_thread(self._past.train, self._data_dir, self._note), name="training"
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _note(self, share: float) -> None:
        self.share = share
        if self._left.is_set():
            raise _Ended


@dataclass(frozen=True, slots=True)
class Past:
    """A market that opened a while ago.

    Parameters
    ----------
    market
        Its configuration; it opened when that says.
    bar_ms
        Length of the bars to learn from.
    """

    market: MarketConfig
    bar_ms: int

    @classmethod
    def until(cls, now_ns: int, bar_ms: int, symbols: int, rate_per_s: float, seed: int) -> Past | None:
        """One with :data:`BARS` and :data:`HISTORY_BARS` bars behind it; None if those are too much."""
        if symbols * rate_per_s * (BARS + HISTORY_BARS) * bar_ms / 1e3 > MOST_TICKS:
            return None
        opening_ns = now_ns // NS * NS - (BARS + HISTORY_BARS) * bar_ms * 1_000_000
        return cls(
            MarketConfig(symbols=symbols, seed=seed, start_ns=opening_ns, rate_per_s=rate_per_s), bar_ms
        )

    @property
    def market_options(self) -> tuple[str, ...]:
        """Options of ``tapestream market`` that make the same market, and send the last of its past first."""
        opened = datetime.fromtimestamp(self.market.start_ns // NS, UTC).isoformat()
        return ("--opened", opened, "--history", str(HISTORY_BARS * self.bar_ms / 1e3))

    def train(self, data_dir: Path, progress: Progress) -> str:
        """Learn, register, promote; the model's version."""
        from agents.models.evaluation import Plan, train_untested
        from agents.models.registry import Registry
        from agents.models.tick_bars import bars_of_ticks
        from agents.models.training import Training

        end_ns = self.market.start_ns + BARS * self.bar_ms * 1_000_000
        series = bars_of_ticks(self._ticks(end_ns, progress), self.bar_ms * 1_000_000, end_ns)
        training = Training(hidden=HIDDEN, max_epochs=EPOCHS, learning_rate=1e-2)
        plan = Plan(WINDOW, HORIZON, folds=0, seeds=(1,), training=training)

        def step(_name: str, _done: int, epoch: int, _loss: float) -> None:
            progress(_SHARE_OF_TICKS + (1.0 - _SHARE_OF_TICKS) * epoch / EPOCHS)

        model, report = train_untested(series, plan, step)
        registry = Registry(data_dir)
        version = registry.save(model, report, made_ns=time.time_ns())
        registry.promote(version)
        return version

    def _ticks(self, end_ns: int, progress: Progress) -> Iterator[Ticks]:
        market = SimulatedMarket(self.market)
        begin_ns = self.market.start_ns
        while market.next_ns < end_ns:
            progress(_SHARE_OF_TICKS * (market.next_ns - begin_ns) / (end_ns - begin_ns))
            yield market.block(n_ticks=_CHUNK, until_ns=end_ns)
