"""What a task agent is told, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What the agent looks after.

    Parameters
    ----------
    domain
        Which ledger.
    slots
        Most attempts at once, whatever is granted; None for as many as are.
    may_end
        Whether the memory guard may have a child ended; :func:`schemas.kill_switch.kill_allowed`.
    """

    domain: str = "default"
    slots: int | None = None
    may_end: bool = False


@dataclass(slots=True)
class AgentCounts:
    """What this process has done."""

    started: int = 0
    ended: int = 0
    results: int = 0
    buried: int = 0
