"""The course of a demo: workers, then a producer, then the end and the balance."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from schemas import codec
from schemas.errors import BrokerError, ChildError, FrameError
from schemas.messages import Signal
from schemas.settings import Settings
from streams import topics
from streams.follow import follow
from tapestream.demo.ledger import Summary, add_up
from tapestream.demo.reports import WorkerPages, sent_of
from tapestream.demo.view import Screen
from tapestream.up.child import Plan
from tapestream.up.family import Family
from tapestream.up.pipeline import PRODUCERS, BrokerWatch

LOOK_S = 0.25
READY_PATIENCE_S = 300.0
"""The first worker on a machine compiles its kernels."""
QUIET_S = 0.5
STALLED_S = 15.0
"""Counts that do not move for so long will not: a worker that was killed is back sooner."""

MARKET = "market"

Show = Callable[[Screen], None]


@dataclass(slots=True)
class Demo:
    """One demo.

    Parameters
    ----------
    settings
        With the broker that runs.
    family
        Its children.
    watch
        Keeps the broker up.
    producer
        Arguments of the command that sends the ticks.
    seconds
        End so long after the first tick; None to go on until told, or until the producer ends.
    """

    settings: Settings
    family: Family
    watch: BrokerWatch
    producer: Sequence[str]
    seconds: float | None
    told: asyncio.Event

    async def start(self, workers: Sequence[Plan], waiting: Callable[[float], None]) -> dict[str, str]:
        """Start the workers and return the addresses of their pages once all are ready.

        Parameters
        ----------
        waiting
            Told now and then for how many seconds it has been waiting.

        Raises
        ------
        ChildError
            When they are not ready in time.
        KeyboardInterrupt
            When it is told to end before that.
        """
        self.family.start(workers)
        began = time.monotonic()
        async with WorkerPages() as asked:
            while True:
                self.family.look()
                pages = self.family.pages()
                if len(pages) == len(workers) and await asked.ready(pages):
                    return pages
                if self.told.is_set():
                    raise KeyboardInterrupt
                waited = time.monotonic() - began
                if waited > READY_PATIENCE_S:
                    raise ChildError(
                        f"the workers are not ready after {waited:.0f} s",
                        f"see {self.family.log_file(workers[0].name)}",
                    )
                waiting(waited)
                await asyncio.sleep(LOOK_S)

    async def run(self, screen: Screen, show: Show) -> Summary:
        """Send ticks and show what becomes of them, until it is to end; then let all of them come in."""
        async with WorkerPages() as asked, self._signals(screen):
            began, first = time.monotonic(), None
            self.family.start([Plan(MARKET, tuple(self.producer), PRODUCERS, restart=False)])
            while self._goes_on(0.0 if first is None else time.monotonic() - first):
                self.family.look()
                self.watch.look()
                screen.update(add_up(await asked.reports(self.family.pages())))
                if first is None and (screen.totals.ticks_in or time.monotonic() - began > READY_PATIENCE_S):
                    first = time.monotonic()  # a slow machine may take a while to start the producer
                show(screen)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.told.wait(), LOOK_S)
            self.family.look()  # before it is asked to end: then an end in error is its own
            await asyncio.to_thread(self.family.stop_stage, PRODUCERS)
            ended = time.monotonic()
            sent = sent_of(self.family.log_file(MARKET))
            came_in = await self._drained(asked, screen, show, sent)
            lag_s = None if came_in is None else max(0.0, came_in - ended)
            seconds = (came_in or ended) - (first or began)
        return Summary(seconds, sent, screen.totals, screen.board.total, lag_s)

    def _goes_on(self, seconds: float) -> bool:
        if self.told.is_set() or not self.family.running(MARKET):
            return False
        return self.seconds is None or seconds < self.seconds

    async def _drained(
        self, asked: WorkerPages, screen: Screen, show: Show, sent: int | None
    ) -> float | None:
        """When the last tick was in; None when the counts stood still before that.

        Returns once nothing moves any more: the closing heartbeat may make signals after the last tick.
        """
        came_in, moved_s = None, time.monotonic()
        while True:
            self.family.look()
            self.watch.look()
            before = screen.totals, screen.board.total
            screen.update(add_up(await asked.reports(self.family.pages())))
            show(screen)
            now = time.monotonic()
            if (screen.totals, screen.board.total) != before:
                moved_s = now
            if came_in is None and sent is not None and screen.totals.ticks_in >= sent:
                came_in = now
            complete = came_in is not None and screen.board.total >= screen.totals.signals
            if now - moved_s >= (QUIET_S if complete else STALLED_S):
                return came_in
            await asyncio.sleep(LOOK_S / 5)

    @asynccontextmanager
    async def _signals(self, screen: Screen) -> AsyncIterator[None]:
        """Read the signals meanwhile."""

        async def read() -> None:
            async with follow(self.settings, topics.SIGNALS, from_beginning=True) as batches:
                async for batch in batches:
                    for record in batch:
                        with suppress(FrameError):
                            screen.add_signal(codec.decode(Signal, record.value))

        reading = asyncio.create_task(read())
        try:
            yield
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, BrokerError):
                await reading


@asynccontextmanager
async def until_told(hurry: Callable[[], None]) -> AsyncIterator[asyncio.Event]:
    """An event that Ctrl-C, SIGTERM or a closed terminal sets; the next one hurries."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()

    def tell() -> None:
        if told.is_set():
            hurry()
        told.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, tell)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
