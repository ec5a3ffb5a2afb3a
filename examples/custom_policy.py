"""A policy of your own: small tasks first, and a maintenance window for one host.

Ask what it would have done with the decisions that are on the log:

    PYTHONPATH=examples tapestream replay-decisions --policy custom_policy:SmallestFirst

A package makes it known by name with an entry point:

    [project.entry-points."tapestream.policies"]
    smallest-first = "custom_policy:SmallestFirst"

A policy is a frozen object of pure methods. What a method returns may depend on its arguments and on the
policy's own fields alone: no clock, no randomness, no memory, or replaying the log would not give the
same decisions. Raise ``version`` whenever it decides differently than before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from orchestrator.ledger import Device, Task
from orchestrator.policies import Policy


@dataclass(frozen=True)
class SmallestFirst(Policy):
    """Within a priority band the task with the fewest bytes goes first.

    Tasks that are late by their class still go before all others, whatever the policy: nobody starves.

    Parameters
    ----------
    resting_host
        Takes no new tasks.
    """

    name: ClassVar[str] = "smallest-first"
    version: ClassVar[str] = "1"

    resting_host: str = ""

    def order(self, task: Task) -> tuple[Any, ...]:
        """Band, then bytes over all devices, then as the built-in policy does."""
        return (-task.priority, task.memory_bytes * task.devices, self.due_ns(task))

    def admissible_bytes(self, device: Device) -> int:
        """None on the resting host; elsewhere what the built-in policy says."""
        return -1 if device.host == self.resting_host else super().admissible_bytes(device)
