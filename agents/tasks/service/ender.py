"""Ends a child of our own for the memory that it holds, step by step, each written down before it is done.

Only when ``ALLOW_GPU_PROCESS_KILL`` is on. The steps and every refusal are :mod:`agents.tasks.ending`'s.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from agents.tasks.assignment import ChildIdentity
from agents.tasks.ending import Ask, Ending, Instruction, RecordIntent, Signal, begin, step
from agents.tasks.pool import Pool
from schemas.commands import CleanupCommand, EndingStage, ProcessEnding
from streams.clock import Clock
from streams.process_name import started_ticks

LOOK_S = 0.2
GIVE_UP_S = 60.0
"""A process that SIGKILL does not end in this time waits for the kernel; nobody can do more."""

Write = Callable[[ProcessEnding], Awaitable[None]]

STAGES: dict[type, EndingStage] = {RecordIntent: "intended", Ask: "asked"}


def signal_exactly(child: ChildIdentity, number: int) -> bool:
    """Signal the process of this pid and start time, and no other; False when it is gone.

    What a pidfd stands for cannot change, so whoever it is when it is looked at is who gets the signal.
    """
    try:
        pidfd = os.pidfd_open(child.pid)
    except ProcessLookupError:
        return False
    try:
        if started_ticks(child.pid) != child.started_ticks:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
            return True
        return False
    finally:
        os.close(pidfd)


class Ender:
    """Executes endings.

    Parameters
    ----------
    pool
        Whose children may be ended.
    agent
        Who we are on the log.
    write
        Puts a step onto the log; returns when it is acknowledged.
    allowed
        :func:`schemas.kill_switch.kill_allowed`.
    now_ns
        The wall clock, for messages.
    """

    def __init__(
        self, pool: Pool, agent: str, write: Write, *, allowed: bool, clock: Clock, now_ns: Callable[[], int]
    ) -> None:
        self._pool, self._agent, self._write = pool, agent, write
        self._allowed, self._clock, self._now_ns = allowed, clock, now_ns

    async def end(self, command: CleanupCommand) -> str:
        """End the child that works under the command's lease; why it was not, or nothing when it is gone."""
        child = self._pool.at_work(command.lease)
        if child is None:
            return f"no process of ours works under lease {command.lease}"
        reason = f"memory of {command.gpu_uuid} is {command.level}"
        give_up_s = self._clock.now() + GIVE_UP_S
        ending, instructions = begin(
            child, self._pool.look(child.pid), allowed=self._allowed, reason=reason, at_ns=self._now()
        )
        recorded = False
        while ending.stage not in ("ENDED", "REFUSED") and self._clock.now() < give_up_s:
            for instruction in instructions:
                await self._do(instruction, command, reason)
                recorded = True  # the first is always the intent, and it is acknowledged now
            await self._clock.sleep(LOOK_S)
            seen = self._pool.look(child.pid)
            ending, instructions = step(
                ending, seen, allowed=self._allowed, intent_recorded=recorded, at_ns=self._now()
            )
        return await self._close(ending, command, recorded=recorded)

    def _now(self) -> int:
        return int(self._clock.now() * 1e9)

    async def _do(self, instruction: Instruction, command: CleanupCommand, reason: str) -> None:
        child = instruction.child
        if isinstance(instruction, Signal):
            number = signal.Signals[instruction.name]
            stage: EndingStage = "killed" if number == signal.SIGKILL else "terminated"
            await self._tell(command, child, stage, reason)
            signal_exactly(child, number)
            return
        await self._tell(command, child, STAGES[type(instruction)], reason)
        if isinstance(instruction, Ask):
            await self._pool.ask_to_stop(child.lease)

    async def _close(self, ending: Ending, command: CleanupCommand, *, recorded: bool) -> str:
        if ending.stage == "ENDED":
            if recorded:
                await self._tell(command, ending.child, "ended", ending.why)
            return ""
        why = ending.why if ending.stage == "REFUSED" else f"it is still there after {GIVE_UP_S:g} s"
        if recorded:
            await self._tell(command, ending.child, "refused", why)
        return why

    async def _tell(
        self, command: CleanupCommand, child: ChildIdentity, stage: EndingStage, reason: str
    ) -> None:
        await self._write(
            ProcessEnding(
                command_id=command.command_id,
                gpu_uuid=command.gpu_uuid,
                agent=self._agent,
                stage=stage,
                pid=child.pid,
                started_ticks=child.started_ticks,
                lease=child.lease,
                reason=reason,
                at_ns=self._now_ns(),
            )
        )
