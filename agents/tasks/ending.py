"""Whether a process may be ended, and in which steps: pure, so that every refusal can be tested.

Only a child that we started is ever signalled, and only while the process of its pid is still that child:
same start time, same lease. A stranger's process is reported, never signalled. The order is fixed::

    intent on the log ──► asked to stop ──► SIGTERM ──► SIGKILL

with the identity looked at anew before each signal, since a pid may have passed on to somebody else. Whoever
executes a :class:`Signal` opens a pidfd, compares the start time again, and signals the pidfd.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from agents.tasks.assignment import ChildIdentity
from schemas.kill_switch import SWITCH

ASK_NS = 5_000_000_000
"""How long a child that was asked has until SIGTERM."""
TERM_NS = 5_000_000_000
"""And from SIGTERM until SIGKILL."""

SWITCHED_OFF = f"{SWITCH} is off"


@dataclass(frozen=True, slots=True)
class RecordIntent:
    """Write onto the log that this child is to be ended, and why, before anything is done."""

    child: ChildIdentity
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the child to stop, by a message."""

    child: ChildIdentity


@dataclass(frozen=True, slots=True)
class Signal:
    """Signal the child, unless its start time is another by now."""

    child: ChildIdentity
    name: Literal["SIGTERM", "SIGKILL"]


Instruction = RecordIntent | Ask | Signal

Stage = Literal["INTENDED", "ASKED", "TERMINATED", "KILLED", "ENDED", "REFUSED"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How far the ending of a child is.

    Attributes
    ----------
    since_ns
        When the stage began.
    why
        Of a refusal; else why the child is ended.
    """

    child: ChildIdentity
    stage: Stage
    since_ns: int
    why: str


def mismatch(child: ChildIdentity, seen: ChildIdentity) -> str:
    """Why a process is not the child; empty when it is."""
    if seen.pid != child.pid:
        return f"pid {seen.pid} is not {child.pid}"
    if seen.started_ticks != child.started_ticks:
        return f"pid {child.pid} belongs to another process by now"
    if seen.lease != child.lease:
        return f"pid {child.pid} is not of lease {child.lease} any more"
    return ""


def begin(
    child: ChildIdentity, seen: ChildIdentity | None, *, allowed: bool, reason: str, at_ns: int
) -> tuple[Ending, tuple[Instruction, ...]]:
    """Begin to end a child: at first only the intent is recorded.

    Parameters
    ----------
    seen
        The process of the child's pid now; None when there is none.
    allowed
        :func:`kill_allowed`.
    """
    if not allowed:
        return Ending(child, "REFUSED", at_ns, SWITCHED_OFF), ()
    if seen is None:
        return Ending(child, "ENDED", at_ns, reason), ()
    other = mismatch(child, seen)
    if other:
        return Ending(child, "REFUSED", at_ns, other), ()
    return Ending(child, "INTENDED", at_ns, reason), (RecordIntent(child, reason),)


def step(
    ending: Ending, seen: ChildIdentity | None, *, allowed: bool, intent_recorded: bool, at_ns: int
) -> tuple[Ending, tuple[Instruction, ...]]:
    """The next step, if its time has come.

    Parameters
    ----------
    seen
        The process of the child's pid now, looked at after the step before; None when there is none.
    intent_recorded
        Whether the log has acknowledged the intent; nothing happens before.
    """
    if ending.stage in ("ENDED", "REFUSED"):
        return ending, ()
    if not allowed:
        return replace(ending, stage="REFUSED", since_ns=at_ns, why=SWITCHED_OFF), ()
    if seen is None or mismatch(ending.child, seen):
        # The child is gone; whoever has its pid now is none of our business.
        return replace(ending, stage="ENDED", since_ns=at_ns), ()
    waited_ns = at_ns - ending.since_ns
    if ending.stage == "INTENDED" and intent_recorded:
        return replace(ending, stage="ASKED", since_ns=at_ns), (Ask(ending.child),)
    if ending.stage == "ASKED" and waited_ns >= ASK_NS:
        return replace(ending, stage="TERMINATED", since_ns=at_ns), (Signal(ending.child, "SIGTERM"),)
    if ending.stage == "TERMINATED" and waited_ns >= TERM_NS:
        return replace(ending, stage="KILLED", since_ns=at_ns), (Signal(ending.child, "SIGKILL"),)
    return ending, ()
