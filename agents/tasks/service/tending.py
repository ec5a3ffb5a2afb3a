"""What the memory guard asks of an agent's children, from ``gpu.commands``, and the answers.

Only of devices on this host; a command about another one is another agent's. What is asked once is done by
the children that wait; what lasts is in force for tasks that begin from now on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress

from agents.measures import Measures
from agents.tasks.holdings import Sum
from agents.tasks.pool import Pool
from agents.tasks.protocol import Tended
from agents.tasks.service.ender import Ender
from schemas import codec
from schemas.commands import (
    Action,
    AllocatorKind,
    AllocatorSample,
    CleanupAnswer,
    CleanupCommand,
    ProcessEnding,
    decode_command,
)
from schemas.errors import FrameError
from schemas.settings import Settings
from streams import topics
from streams.clock import MonotonicClock
from streams.log_writer import Writer
from streams.partition_tail import PartitionTail

log = logging.getLogger("tapestream.agent")

OURS: frozenset[Action] = frozenset(
    (
        "empty_idle_caches",
        "recycle_idle",
        "recycle_after_drain",
        "clean_at_task_boundary",
        "spill_cudf",
        "cut_batches",
        "end_process",
    )
)
"""What agents do; pausing ticks is the workers' to do, admission and preemption the orchestrator's."""

LOOK_S = 1.0
HOLDINGS_S = 0.9
"""Between two samples of the allocators at least; a little less than a look takes."""


class Tending:
    """Does what is asked, in the order in which it is asked.

    Parameters
    ----------
    pool
        The children.
    agent
        Who we are in answers.
    devices
        The devices of this host.
    may_end
        :func:`schemas.kill_switch.kill_allowed`.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        writer: Writer,
        agent: str,
        devices: Callable[[], Collection[str]],
        *,
        may_end: bool,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.measures = Measures()
        self._settings, self._pool, self._writer, self._agent = settings, pool, writer, agent
        self._devices, self._now_ns = devices, now_ns
        self._ender = Ender(pool, agent, self._send, allowed=may_end, clock=MonotonicClock(), now_ns=now_ns)
        self._endings: set[asyncio.Task[None]] = set()
        self._holding: dict[tuple[str, AllocatorKind], Sum] = {}
        self._told_ns = 0

    async def run(self) -> None:
        """Follow the commands until cancelled.

        Raises
        ------
        BrokerError
            When the topic cannot be read or written.
        """
        woken = asyncio.Event()
        try:
            async with PartitionTail(self._settings, topics.GPU_COMMANDS, woken=woken) as tail:
                while True:
                    woken.clear()
                    for got in tail.take():
                        await self.obey(got.value or b"")
                    for uuid, action in self.measures.lapse(time.monotonic_ns()):
                        log.warning("%s on %s lapses: its guard has gone silent", action, uuid)
                        self._pool.hold(uuid, self.measures.on(uuid))
                    await self.tell_holdings()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S):
                            await woken.wait()
        finally:
            for ending in self._endings:
                ending.cancel()

    async def tell_holdings(self) -> None:
        """Say what the children's allocators hold, and once more when they hold nothing any more."""
        now_ns = self._now_ns()
        if now_ns - self._told_ns < HOLDINGS_S * 1e9:
            return
        self._told_ns = now_ns
        found = self._pool.holdings()
        gone = {key: (0, limit) for key, (_, limit) in self._holding.items() if key not in found}
        for (uuid, kind), (used, limit) in {**found, **gone}.items():
            await self._send(
                AllocatorSample(
                    gpu_uuid=uuid,
                    kind=kind,
                    holder=self._agent,
                    used_bytes=used,
                    limit_bytes=limit,
                    at_ns=now_ns,
                )
            )
        self._holding = found

    async def obey(self, payload: bytes) -> None:
        """Do what a message of the topic asks, if it is for us, and answer."""
        try:
            command = decode_command(payload)
        except FrameError as exc:
            log.warning("%s: passed over: %s", topics.GPU_COMMANDS, exc.problem)
            return
        if not isinstance(command, CleanupCommand) or command.action not in OURS:
            return
        if command.gpu_uuid not in self._devices():
            return
        if command.action == "end_process":
            ending = asyncio.create_task(self._end(command), name=command.command_id)
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
        elif command.phase == "once":
            found = await self._pool.tend(command.gpu_uuid, end=command.action == "recycle_idle")
            await self._answer(command, found)
        elif self.measures.take(command, time.monotonic_ns()):
            await self._begin_or_end(command)

    async def _begin_or_end(self, command: CleanupCommand) -> None:
        uuid, begins = command.gpu_uuid, command.phase != "end"
        self._pool.hold(uuid, self.measures.on(uuid))
        found: list[Tended] = []
        if command.action == "spill_cudf" or (begins and command.action == "recycle_after_drain"):
            found = await self._pool.tend(uuid, end=command.action == "recycle_after_drain")
        problem = ""
        if command.action == "spill_cudf" and begins and not any(tended.has_cudf for tended in found):
            problem = "cuDF is not loaded in any process that waits; tasks that load it will spill"
        await self._answer(command, found, problem)

    async def _end(self, command: CleanupCommand) -> None:
        problem = await self._ender.end(command)
        log.warning("end_process of %s: %s", command.lease, problem or "it is gone")
        await self._answer(command, (), problem)

    async def _answer(self, command: CleanupCommand, found: Sequence[Tended], problem: str = "") -> None:
        before, after = _sum(t.bytes_before for t in found), _sum(t.bytes_after for t in found)
        answer = CleanupAnswer(
            command_id=command.command_id,
            gpu_uuid=command.gpu_uuid,
            agent=self._agent,
            done=not problem,
            bytes_before=before,
            bytes_after=after,
            problem=problem,
            at_ns=self._now_ns(),
        )
        log.info(
            "%s %s on %s: %s to %s bytes", command.phase, command.action, command.gpu_uuid, before, after
        )
        await self._send(answer)

    async def _send(self, message: CleanupAnswer | ProcessEnding | AllocatorSample) -> None:
        await self._writer.write(topics.GPU_COMMANDS, message.gpu_uuid, [codec.dumps(message)])


def _sum(parts: Iterable[int | None]) -> int | None:
    """None when nothing is known; of what is known the sum."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
