"""The children of a runner: those that wait, those at work, and what the memory guard asks of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agents.tasks.agent import on_cpu
from agents.tasks.assignment import ChildIdentity
from agents.tasks.holdings import Sum, summed
from agents.tasks.process import Child
from agents.tasks.protocol import Stop, Tend, Tended
from schemas.commands import Action, AllocatorKind
from streams.process_name import started_ticks

TEND_S = 10.0
"""How long a child that waits may take to give memory back."""


@dataclass(slots=True, eq=False)
class Warm:
    """A child, how often it was used, and under which lease it works; empty while it waits."""

    child: Child
    tasks: int = 0
    lease: str = ""


class Pool:
    """The children.

    Parameters
    ----------
    term_s
        How long one may take to end by itself.

    Attributes
    ----------
    given_up
        Leases whose tasks were asked to stop for the device's sake.
    closed
        Whether none is kept any more.
    """

    def __init__(self, term_s: float) -> None:
        self.given_up: set[str] = set()
        self.closed = False
        self._term_s = term_s
        self._idle: list[Warm] = []
        self._tended: list[Warm] = []
        self._working: dict[int, Warm | None] = {}
        self._lasting: dict[str, frozenset[Action]] = {}

    @property
    def children(self) -> list[ChildIdentity]:
        """Those that live now, idle or at work."""
        return [replace(warm.child.identity, lease=warm.lease) for warm in self._all() if warm.child.alive]

    def _all(self) -> Iterable[Warm]:
        return (*self._idle, *self._tended, *(warm for warm in self._working.values() if warm is not None))

    def take_slot(self) -> int:
        """The lowest number of a slot that is free; it is not any more."""
        slot = next(number for number in range(len(self._working) + 1) if number not in self._working)
        self._working[slot] = None
        return slot

    def leave_slot(self, slot: int) -> None:
        """Nobody works there now."""
        del self._working[slot]

    def set_to_work(self, slot: int, warm: Warm, lease: str) -> None:
        """A child works in a slot, under a lease."""
        self._working[slot] = warm
        warm.lease = lease

    def waiting_for(self, devices: Sequence[str]) -> Warm | None:
        """A child that lives and waits for tasks on these devices; it does not any more."""
        for warm in [warm for warm in self._idle if warm.child.devices == tuple(devices)]:
            self._idle.remove(warm)
            if warm.child.alive:
                return warm
        return None

    async def keep_or_end(self, warm: Warm, *, keep: bool) -> bool:
        """Let a child wait for its next task, if it lives and may; else end it."""
        if keep and warm.child.alive and not self.closed:
            self._idle.append(warm)
            return True
        await warm.child.close(self._term_s)
        return False

    async def close(self) -> None:
        """End all of them; none is kept from now on."""
        self.closed = True
        children = [warm.child for warm in self._all()]
        self._idle.clear()
        await asyncio.gather(*(child.close(self._term_s) for child in children))

    # For the memory guard.

    def holdings(self) -> dict[tuple[str, AllocatorKind], Sum]:
        """What the allocators of all children hold, by device."""
        return summed((warm.child.devices, warm.child.held) for warm in self._all() if warm.child.alive)

    def hold(self, gpu_uuid: str, lasting: frozenset[Action]) -> None:
        """From now on these measures are in force on a device."""
        self._lasting[gpu_uuid] = lasting

    def in_force(self, devices: Iterable[str]) -> frozenset[Action]:
        """The measures on any of these devices."""
        return frozenset().union(*(self._lasting.get(uuid, frozenset()) for uuid in devices))

    async def tend(self, gpu_uuid: str, *, end: bool = False) -> list[Tended]:
        """Have the children that wait for tasks on a device give back what they keep.

        Parameters
        ----------
        end
            Whether they are ended then; what nobody can give back, such as CUDA's context, goes with them.
        """
        waiting = [warm for warm in self._idle if gpu_uuid in warm.child.devices]
        self._idle = [warm for warm in self._idle if warm not in waiting]
        self._tended += waiting
        found = await asyncio.gather(*(self._tend(warm, end=end) for warm in waiting))
        return [tended for tended in found if tended is not None]

    async def _tend(self, warm: Warm, *, end: bool) -> Tended | None:
        devices = warm.child.devices
        asked = Tend(on_cpu=on_cpu(devices), spill="spill_cudf" in self.in_force(devices))
        frame = None
        try:
            await warm.child.tell(asked)
            async with asyncio.timeout(TEND_S):
                frame = await warm.child.hear()
        except TimeoutError:
            pass
        finally:
            self._tended.remove(warm)
            await self.keep_or_end(warm, keep=frame is not None and not end)
        if frame is None or not isinstance(frame[0], Tended):
            return None
        return frame[0].model_copy(update={"bytes_after": 0}) if end else frame[0]

    def at_work(self, lease: str) -> ChildIdentity | None:
        """The child that works under a lease."""
        return next((child for child in self.children if lease and child.lease == lease), None)

    def look(self, pid: int) -> ChildIdentity | None:
        """The process of that pid as the system has it now, and the lease that we have for it, if any."""
        ticks = started_ticks(pid)
        if ticks is None:
            return None
        lease = next((child.lease for child in self.children if child.pid == pid), "")
        return ChildIdentity(pid, ticks, lease)

    async def ask_to_stop(self, lease: str) -> None:
        """Ask the task under a lease to end, and no more; it then counts as lost, and is tried again."""
        self.given_up.add(lease)
        for warm in self._all():
            if warm.lease == lease:
                await warm.child.tell(Stop())
