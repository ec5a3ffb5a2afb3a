"""The course of a demo: workers, then a producer, then the end and the balance."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from schemas import codec
from schemas.errors import BrokerError, ChildError, FrameError
from schemas.messages import Signal
from schemas.settings import Settings
from streams import topics
from streams.follow import follow
from tapestream.demo.ledger import Summary, add_up
from tapestream.demo.past import ModelTraining, Past
from tapestream.demo.reports import WorkerPages, sent_of
from tapestream.demo.tasks import FIRST, LATER, DemoTasks, analysis, some_symbol
from tapestream.demo.view import Screen
from tapestream.up.child import Plan
from tapestream.up.family import Family, Say
from tapestream.up.pipeline import PRODUCERS, BrokerWatch

LOOK_S = 0.25
READY_PATIENCE_S = 600.0
"""The first worker on a machine compiles its kernels: half a minute of a core that it may have to share."""
QUIET_S = 0.5
STALLED_S = 15.0
"""Counts that do not move for so long will not: a worker that was killed is back sooner."""
SILENT_S = 60.0
"""A worker that does not answer may yet be counting, on a machine that has other things to do."""

MARKET = "market"
ANALYSE_AFTER_S = 4.0

Show = Callable[[Screen], None]
Waiting = Callable[[float, float | None], None]


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
    told
        Set when it is to end.
    say
        Told what it waits for at its end, a line at a time.
    past
        Of the simulated market, which a model is trained on while the workers start; None for no model.
    """

    settings: Settings
    family: Family
    watch: BrokerWatch
    producer: Sequence[str]
    seconds: float | None
    told: asyncio.Event
    say: Say
    past: Past | None = None

    async def start(self, plans: Sequence[Plan], waiting: Waiting) -> dict[str, str]:
        """Start the children; the addresses of workers and API, once the workers have what they need.

        Parameters
        ----------
        waiting
            Told now and then for how many seconds it has been waiting, and the training's share that is done.

        Raises
        ------
        ChildError
            When they are not ready in time.
        KeyboardInterrupt
            When it is told to end before that.
        """
        self.family.start(plans)
        workers = {plan.name for plan in plans if plan.arguments[0] == "worker"}
        names = workers | {plan.name for plan in plans if plan.arguments[0] == "api"}
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            asked = await stack.enter_async_context(WorkerPages())
            training = None
            if self.past is not None:
                training = await stack.enter_async_context(ModelTraining(self.past, self.settings.data_dir))
            while True:
                self.family.look()
                pages = {name: page for name, page in self.family.pages().items() if name in names}
                asked_pages = {name: page for name, page in pages.items() if name in workers}
                if (
                    len(pages) == len(names)
                    and await asked.ready(asked_pages)
                    and await self._has_model(training, asked, asked_pages)
                ):
                    return pages
                if self.told.is_set():
                    raise KeyboardInterrupt
                waited = time.monotonic() - began
                if waited > READY_PATIENCE_S:
                    raise ChildError(
                        f"the workers are not ready after {waited:.0f} s",
                        f"see {self.family.log_file(plans[0].name)}",
                    )
                waiting(waited, None if training is None else training.share)
                await asyncio.sleep(LOOK_S)

    async def _has_model(
        self, training: ModelTraining | None, asked: WorkerPages, pages: Mapping[str, str]
    ) -> bool:
        """Whether every partition scores with the model that was trained, so that no tick comes before it."""
        if training is None:
            return True
        if training.version is None:
            return False
        reports = await asked.reports(pages)
        models = [row["model"] for report in reports for row in report["partitions"]]
        return models == [f"lstm/{training.version}"] * self.settings.partitions

    async def run(self, screen: Screen, show: Show) -> Summary:
        """Send ticks and show what becomes of them, until it is to end; then let all of them come in."""
        async with WorkerPages() as asked, self._signals(screen), DemoTasks(self.settings) as tasks:
            sending: asyncio.Task[None] | None = None
            alive = asyncio.Event()
            began, first = time.monotonic(), None
            self.family.start([Plan(MARKET, tuple(self.producer), PRODUCERS, restart=False)])
            while self._goes_on(0.0 if first is None else time.monotonic() - first):
                self.family.look()
                self.watch.look()
                screen.update(add_up(await asked.reports(self.family.pages())))
                if first is None and (screen.totals.ticks_in or time.monotonic() - began > READY_PATIENCE_S):
                    first = time.monotonic()  # a slow machine may take a while to start the producer
                    sending = asyncio.create_task(_send_tasks(tasks, alive))
                if screen.totals.signals:
                    alive.set()
                show(screen)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.told.wait(), LOOK_S)
            self.family.look()  # before it is asked to end: then an end in error is its own
            await asyncio.to_thread(self.family.stop_stage, PRODUCERS)
            ended = time.monotonic()
            sent = sent_of(self.family.log_file(MARKET))
            came_in = await self._drained(asked, screen, show, sent)
            if sending is not None:
                if self.told.is_set():
                    sending.cancel()
                alive.set()  # or there is nothing to wait for any more
                with suppress(asyncio.CancelledError):
                    await sending
            await self._ended(tasks)
            by_hand, outcomes = self.told.is_set(), tasks.outcomes()
            lag_s = None if came_in is None else max(0.0, came_in - ended)
            seconds = (came_in or ended) - (first or began)
        return Summary(seconds, sent, screen.totals, screen.board.total, lag_s, outcomes, by_hand)

    async def _ended(self, tasks: DemoTasks) -> None:
        """Wait for the tasks to end, with a line that says so, until told that nobody waits any more."""
        left = tasks.open()
        if not left or self.told.is_set():
            return
        self.say(f"waiting for tasks to end: {', '.join(left)}; Ctrl-C waits no longer")
        waiting = {asyncio.ensure_future(each) for each in (tasks.ended(), self.told.wait())}
        done, undone = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in undone:
            each.cancel()
        for each in done:
            each.result()

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
            patience_s = QUIET_S if complete else SILENT_S if asked.silent else STALLED_S
            if now - moved_s >= patience_s:
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


async def _send_tasks(tasks: DemoTasks, alive: asyncio.Event) -> None:
    """Some at once, one about the ticks when there are some, the heavy ones once there are signals."""
    await tasks.send(*FIRST)
    await asyncio.sleep(ANALYSE_AFTER_S)
    symbol = await some_symbol(tasks.settings)
    if symbol is not None:
        await tasks.send(analysis(symbol))
    await alive.wait()
    await tasks.send(*LATER)


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
