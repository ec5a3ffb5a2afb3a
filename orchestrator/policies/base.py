"""What a policy decides: who goes first, what fits where, how long anyone waits.

A policy is a frozen object of pure methods: no clock, no randomness, no I/O, and no memory of its own. It
never sees the log; the scheduler asks it about one task or one device at a time, keeps what it says in
sorted structures, and calls it again only when that task or device changed. So an answer may depend on
its argument and on the policy's fields, and on nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from orchestrator.ledger.state import Device, Task

SECOND_NS = 1_000_000_000
MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class WaitClass:
    """Tasks of ``from_priority`` and up, down from the next class.

    After ``longest_wait_ns`` in the queue a task goes before all that are not yet so late, and to the CPU
    where it may; after ``give_up_ns`` it is refused. So no task waits longer than that.
    """

    name: str
    from_priority: int
    longest_wait_ns: int
    give_up_ns: int


CLASSES = (
    WaitClass("urgent", 8, 5 * SECOND_NS, 120 * SECOND_NS),
    WaitClass("normal", 4, 60 * SECOND_NS, 3_600 * SECOND_NS),
    WaitClass("batch", 0, 900 * SECOND_NS, 86_400 * SECOND_NS),
)
"""Highest first; the last one takes every priority that is left."""


@dataclass(frozen=True)
class Policy:
    """The built-in policy, and the base of others: override what shall be different.

    Parameters
    ----------
    classes
        Bounds of waiting, highest priority first.
    lease_ns
        How long an attempt may be silent.
    headroom_bytes
        Left free of what was measured, for what nobody accounts for.
    backfill
        How many tasks that do not fit may be passed over in a decision, in favour of later ones that do.
    reservations
        For how many late tasks that do not fit a device is kept from others until it has room.
    preemption
        Whether a task may be taken off for one of higher priority: the lowest, then the newest, and only
        after ``min_run_ns``; its agent has ``grace_ns`` to stop it.
    """

    name: ClassVar[str] = "default"
    version: ClassVar[str] = "1"
    packs: ClassVar[bool] = True
    """Best fit: the device with the fewest bytes that suffice; False for the emptiest one."""

    classes: tuple[WaitClass, ...] = CLASSES
    lease_ns: int = 15 * SECOND_NS
    headroom_bytes: int = 256 * MIB
    backfill: int = 64
    reservations: int = 8
    preemption: bool = False
    min_run_ns: int = 60 * SECOND_NS
    grace_ns: int = 10 * SECOND_NS

    @property
    def label(self) -> str:
        """``name/version``, as records have it."""
        return f"{self.name}/{self.version}"

    def wait_class(self, task: Task) -> WaitClass:
        """The bounds of a task's waiting."""
        for known in self.classes:
            if task.priority >= known.from_priority:
                return known
        return self.classes[-1]

    def due_ns(self, task: Task) -> int:
        """When it should have begun: its deadline, or submission and its class's longest wait."""
        due = task.submitted_ns + self.wait_class(task).longest_wait_ns
        return min(task.deadline_ns, due) if task.deadline_ns else due

    def order(self, task: Task) -> tuple[Any, ...]:
        """Sort key among waiting tasks, smallest first; equal ones go in the order of acceptance."""
        return (-task.priority, self.due_ns(task))

    def admissible_bytes(self, device: Device) -> int:
        """What a new task may ask of a device: the least of what the ledger and the driver say is free.

        Of the measured free bytes, those are promised already that we charged and nobody uses yet.
        """
        if device.measured_free_bytes is None:
            return device.free_bytes
        unused = 0 if device.own_bytes is None else max(0, device.charged_bytes - device.own_bytes)
        return min(device.free_bytes, device.measured_free_bytes - self.headroom_bytes - unused)

    def most_bytes(self, device: Device) -> int:
        """What a task may ask of a device on which nothing runs; more is too large for it."""
        measured = device.measured_free_bytes is not None
        return device.capacity_bytes - (self.headroom_bytes if measured else 0)

    def preference(self, device: Device) -> tuple[Any, ...]:
        """Sort key among devices with as many admissible bytes, smallest first; the uuid decides last."""
        return (device.warnings, device.used_slots / device.slots)
