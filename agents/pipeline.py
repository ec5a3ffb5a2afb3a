"""The tick pipeline: feeds partitions with events, writes what they return, checkpoints, acknowledges.

The shell around :class:`agents.partition.Partition`. It knows the log (through ``streams``) and time, and
nothing of Faust: an event is anything with an offset, a value and an ``ack``. Its promise is DESIGN.md §3:
an event is acknowledged only after a checkpoint that holds it has been acknowledged, a checkpoint is
written only after every output up to it has been, and no exception gets out: what cannot be written stops
the worker before anything more is committed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from agents.pacing import CheckpointPacer
from agents.partition_config import PartitionConfig
from agents.partition_runner import LogEvent, PartitionRunner
from schemas.errors import TapestreamError
from schemas.settings import Settings
from streams import clients
from streams.output_log import OutputClient

log = logging.getLogger("tapestream.worker")

MakeConfig = Callable[[int], PartitionConfig]


class TickPipeline:
    """All partitions of one worker.

    Parameters
    ----------
    config
        The configuration of a partition, by number.
    on_failure
        Called once, with the reason, when the worker cannot go on; nothing is acknowledged after it.
    """

    def __init__(
        self, settings: Settings, config: MakeConfig, on_failure: Callable[[BaseException], None]
    ) -> None:
        self.settings = settings
        self.config = config
        self.runners: dict[int, PartitionRunner] = {}
        self.failure: BaseException | None = None
        self.checkpoint_s = 0.0
        self.checkpoints_written = 0
        self._first_s = 0.0
        self._last_s = 0.0
        self._on_failure = on_failure
        self._outputs: OutputClient | None = None
        self._producer: Any = None
        self._loading: asyncio.Task[None] | None = None
        self._assigned: set[int] = set()
        self._pacer = CheckpointPacer(settings.checkpoint_interval_s, settings.checkpoint_share)
        self._task: asyncio.Task[None] | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()

    def hold(self, held: bool) -> None:
        """Let events wait before they are computed, those of partitions to come too, until told otherwise."""
        if held:
            self._flowing.clear()
        else:
            self._flowing.set()

    @property
    def ready(self) -> bool:
        """Whether the group has given us our partitions and nothing has failed."""
        return self._task is not None and self.failure is None and self._loading is not None

    @property
    def outputs(self) -> OutputClient:
        """The client that outputs are sent by; there once the pipeline has started."""
        if self._outputs is None:
            raise RuntimeError("the pipeline has not been started")
        return self._outputs

    @property
    def producer(self) -> Any:
        """The producer of checkpoints and notices; there once the pipeline has started."""
        if self._producer is None:
            raise RuntimeError("the pipeline has not been started")
        return self._producer

    async def start(self) -> None:
        """Connect the producers and begin to checkpoint; call it in the loop that the events come in."""
        self._outputs = OutputClient(self.settings)
        self._producer = clients.producer(
            self.settings,
            client_id="tapestream-checkpoints",
            linger_ms=0,
            request_timeout_ms=int(clients.DELIVERY_TIMEOUT_S * 1e3),
        )
        await self._producer.start()
        self._task = asyncio.create_task(self._checkpoint_in_turn(), name="checkpoints")

    def assign(self, partitions: set[int]) -> None:
        """These partitions are ours from now on."""
        self._assigned = set(partitions)
        self._loading = asyncio.create_task(self._load(sorted(partitions)), name="loading")

    async def _load(self, partitions: list[int]) -> None:
        for partition in partitions:
            if partition in self._assigned:
                await self._guarded(self._runner(partition), lambda runner: runner.load())

    def _runner(self, partition: int) -> PartitionRunner:
        runner = self.runners.get(partition)
        if runner is None:
            runner = self.runners[partition] = PartitionRunner(self, partition)
        return runner

    async def _guarded(
        self, runner: PartitionRunner, work: Callable[[PartitionRunner], Awaitable[None]]
    ) -> None:
        """Do something with a partition; whatever goes wrong ends the worker, and never gets out."""
        try:
            await work(runner)
        except asyncio.CancelledError:
            runner.drop()  # outputs of the last event may be half written; the checkpoint knows better
            raise
        except Exception as exc:
            runner.drop()
            self.fail(exc)
            await _forever()

    async def accept(self, partition: int, event: LogEvent, more: bool = False) -> None:
        """Take one event. Returns when it is computed; never, when the worker has failed or is closing.

        Parameters
        ----------
        more
            Whether more events of the partition wait behind it.
        """
        await self._flowing.wait()
        if self.failure is not None:
            await _forever()
        if partition not in self._assigned:
            return  # of an assignment that is over; whoever owns it now gets it again
        await self._guarded(self._runner(partition), lambda runner: runner.accept(event, more))

    async def release(self, partitions: set[int], commit: Callable[[], Awaitable[object]]) -> None:
        """Checkpoint and acknowledge what we hold of these partitions, then forget them."""
        self._assigned -= partitions
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        held = [self.runners[number] for number in sorted(partitions) if number in self.runners]
        try:
            if self.failure is None:
                async with asyncio.timeout(self.settings.shutdown_timeout_s):
                    for runner in held:
                        await self._checkpoint(runner)
                    await commit()
        except TimeoutError:
            log.warning(
                "gave up draining after %g s; the checkpoints stand", self.settings.shutdown_timeout_s
            )
        except Exception as exc:
            self.fail(exc)
        finally:
            for runner in held:
                runner.drop()
                self._pacer.forget(runner.number)
                self.runners.pop(runner.number, None)

    async def close(self, commit: Callable[[], Awaitable[object]]) -> None:
        """Drain, checkpoint, commit and disconnect, within the time that the settings allow."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.release(set(self._assigned), commit)
        if self._producer is not None:
            await self._producer.stop()
        if self._outputs is not None:
            self._outputs.close()

    @property
    def flow_s(self) -> float:
        """Seconds between the first event and the last."""
        return self._last_s - self._first_s

    def note_event_in(self) -> None:
        """Remember when the first event came, for rates."""
        if not self._first_s:
            self._first_s = time.perf_counter()

    def note_event_out(self) -> None:
        """Remember when the last event was done, for rates."""
        self._last_s = time.perf_counter()

    def fail(self, reason: BaseException) -> None:
        """Stop for good: nothing is computed, written or acknowledged any more."""
        if self.failure is None:
            self.failure = reason
            log.error("the worker stops: %s", reason, exc_info=not isinstance(reason, TapestreamError))
            self._on_failure(reason)

    async def _checkpoint_in_turn(self) -> None:
        while self.failure is None:
            self.outputs.serve()  # an idle worker hears of a broker's troubles too
            if not self.runners:
                await asyncio.sleep(self._pacer.interval_s)
            for runner in list(self.runners.values()):
                await asyncio.sleep(self._pacer.pause_s(len(self.runners)))
                try:
                    await self._checkpoint(runner)
                except Exception as exc:
                    self.fail(exc)
                    return

    async def _checkpoint(self, runner: PartitionRunner) -> None:
        spent = await runner.checkpoint()
        if spent:
            self._pacer.record(runner.number, spent)
            self.checkpoint_s += spent
            self.checkpoints_written += 1


async def _forever() -> None:
    """Hold an agent where it is: returning would let Faust go on to the next event."""
    await asyncio.Event().wait()
