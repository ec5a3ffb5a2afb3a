"""Holds a worker's ticks while the memory of its device is low, as the memory guard asks on ``gpu.commands``.

Held means: nothing more is fetched, and what has been fetched waits where it is, in its order. Offsets are
checkpointed and committed as ever, partitions may come and go, and none of that resumes anything. A hold that
its guard renews no more ends by itself (:mod:`agents.measures`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from agents.allocators import held
from agents.measures import Measures
from agents.tasks.agent import on_cpu
from agents.tasks.measure import process_memory
from schemas import codec
from schemas.commands import AllocatorSample, CleanupAnswer, CleanupCommand, decode_command
from schemas.devices import cpu_pool_uuid
from schemas.errors import BrokerError, FrameError
from schemas.settings import Settings
from streams import topics
from streams.log_writer import LogWriter, log_writer
from streams.partition_tail import PartitionTail

log = logging.getLogger("tapestream.worker")

LOOK_S = 1.0
HOLDINGS_S = 0.9
"""Between two samples of the allocators at least; a little less than a look takes."""
AGAIN_S = 1.0


def device_uuid(device: str, host: str) -> str:
    """The ``gpu_uuid`` of what a worker computes on: a GPU's own, or that of its host's CPU.

    Parameters
    ----------
    device
        ``cpu``, ``cuda:N`` or a uuid: what the worker itself calls it.
    """
    if device.startswith(("GPU-", "MIG-")):
        return device
    if device.startswith("cuda"):
        from numba import cuda

        return str(cuda.current_context(int(device.partition(":")[2] or 0)).device.uuid)
    return cpu_pool_uuid(host)


class Backpressure:
    """Follows the commands for one device.

    Parameters
    ----------
    gpu_uuid
        Of the worker's device.
    worker
        Who it is in answers.
    hold
        Holds the ticks (True) or lets them go on.

    Attributes
    ----------
    held
        Whether they are held now.
    holds
        How often they were.
    """

    def __init__(
        self,
        settings: Settings,
        gpu_uuid: str,
        worker: str,
        hold: Callable[[bool], None],
        *,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.gpu_uuid = gpu_uuid
        self.held = False
        self.holds = 0
        self._settings, self._worker, self._hold = settings, worker, hold
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._measures = Measures()
        self._told_ns = 0

    async def run(self) -> None:
        """Follow until cancelled. Trouble with the topic is waited out, and no hold outlives it for long."""
        while True:
            try:
                await self._follow()
            except BrokerError as exc:
                log.warning("commands of the memory guard cannot be followed: %s", exc)
            await asyncio.sleep(AGAIN_S)
            self.look()

    async def _follow(self) -> None:
        woken = asyncio.Event()
        async with (
            log_writer(self._settings) as writer,
            PartitionTail(self._settings, topics.GPU_COMMANDS, woken=woken) as tail,
        ):
            while True:
                woken.clear()
                for got in tail.take():
                    answer = self.take(got.value or b"")
                    if answer is not None:
                        await _send(writer, answer)
                self.look()
                await self._tell_holdings(writer)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await woken.wait()

    def take(self, payload: bytes) -> CleanupAnswer | None:
        """Obey a message of the topic; the answer, when it was for us and something changed by it."""
        try:
            command = decode_command(payload)
        except FrameError:
            return None  # the orchestrator says so
        if not isinstance(command, CleanupCommand) or command.action != "pause_ticks":
            return None
        if command.gpu_uuid != self.gpu_uuid or not self._measures.take(command, self._monotonic_ns()):
            return None
        self._apply(f"memory of {self.gpu_uuid} is {command.level or 'well again'}")
        held = process_memory().rss_bytes if on_cpu((self.gpu_uuid,)) else None
        return CleanupAnswer(
            command_id=command.command_id,
            gpu_uuid=command.gpu_uuid,
            agent=self._worker,
            done=True,
            bytes_before=held,
            bytes_after=held,
            at_ns=self._now_ns(),
        )

    async def _tell_holdings(self, writer: LogWriter) -> None:
        """Say what the allocators of this process hold, where there are any."""
        now_ns = self._now_ns()
        if now_ns - self._told_ns < HOLDINGS_S * 1e9:
            return
        self._told_ns = now_ns
        for one in held():
            sample = AllocatorSample(
                gpu_uuid=self.gpu_uuid,
                kind=one.kind,
                holder=self._worker,
                used_bytes=one.used_bytes,
                limit_bytes=one.limit_bytes,
                at_ns=now_ns,
            )
            await _send(writer, sample)

    def look(self) -> None:
        """End a hold whose guard has gone silent."""
        if self._measures.lapse(self._monotonic_ns()):
            self._apply("the memory guard has gone silent")

    def _apply(self, why: str) -> None:
        held = "pause_ticks" in self._measures.on(self.gpu_uuid)
        if held != self.held:
            self.held = held
            self.holds += held
            log.warning("ticks are held: %s" if held else "ticks go on: %s", why)
            self._hold(held)


async def _send(writer: LogWriter, answer: CleanupAnswer | AllocatorSample) -> None:
    await writer.write(topics.GPU_COMMANDS, answer.gpu_uuid, [codec.dumps(answer)])
