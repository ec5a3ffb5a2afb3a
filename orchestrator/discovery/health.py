"""The health of a device from its own readings, as a pure machine.

::

    UNKNOWN ──► HEALTHY ──► SUSPECT ──► HEALTHY          a doubt passes
                   │            │
                   └────────────┴──► QUARANTINED ──► PROBATION ──► HEALTHY
                                            ▲             │
                                            └─────────────┘
    any ──► LOST ──► PROBATION                            it came back

The table :data:`MOVES` is all of it: so many readings of one kind in a row lead to another state, everything
else stays. A device becomes HEALTHY only when CUDA has computed on it since it was last anything worse.
This machine classifies; who may use what is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.discovery.inventory import Device, Vitals
from schemas.devices import Health

Reading = Literal["good", "doubt", "bad", "silent", "lost"]
"""What one look says: nothing is wrong, something may be, something is; no answer; the driver gave it up."""


@dataclass(frozen=True, slots=True)
class Move:
    """After this many readings in a row, to that state."""

    after: int
    to: Health


MOVES: dict[tuple[Health, Reading], Move] = {
    ("UNKNOWN", "good"): Move(1, "HEALTHY"),
    ("UNKNOWN", "doubt"): Move(1, "SUSPECT"),
    ("UNKNOWN", "bad"): Move(1, "QUARANTINED"),
    ("UNKNOWN", "lost"): Move(1, "LOST"),
    # One slow clock is no illness; one silence is reason enough to send nothing more there.
    ("HEALTHY", "doubt"): Move(3, "SUSPECT"),
    ("HEALTHY", "silent"): Move(1, "SUSPECT"),
    ("HEALTHY", "bad"): Move(1, "QUARANTINED"),
    ("HEALTHY", "lost"): Move(1, "LOST"),
    ("SUSPECT", "good"): Move(10, "HEALTHY"),
    ("SUSPECT", "silent"): Move(5, "LOST"),
    ("SUSPECT", "bad"): Move(1, "QUARANTINED"),
    ("SUSPECT", "lost"): Move(1, "LOST"),
    ("QUARANTINED", "good"): Move(60, "PROBATION"),
    ("QUARANTINED", "silent"): Move(5, "LOST"),
    ("QUARANTINED", "lost"): Move(1, "LOST"),
    ("PROBATION", "good"): Move(30, "HEALTHY"),
    ("PROBATION", "doubt"): Move(1, "QUARANTINED"),
    ("PROBATION", "silent"): Move(1, "QUARANTINED"),
    ("PROBATION", "bad"): Move(1, "QUARANTINED"),
    ("PROBATION", "lost"): Move(1, "LOST"),
    ("LOST", "good"): Move(1, "PROBATION"),
    ("LOST", "doubt"): Move(1, "PROBATION"),
    ("LOST", "bad"): Move(1, "QUARANTINED"),
}

NEEDS_PROBE: frozenset[Health] = frozenset(("UNKNOWN", "PROBATION"))
"""States that end in HEALTHY only with a probe that succeeded in them."""

XIDS: dict[int, Reading] = {
    48: "bad",  # uncorrectable memory error
    62: "bad",  # internal micro-controller halted
    63: "doubt",  # a row or page is to be taken out of use
    64: "bad",  # and that failed
    74: "doubt",  # NVLink
    79: "lost",  # fallen off the bus
    92: "doubt",  # many corrected memory errors
    94: "doubt",  # contained memory error: one program has died of it
    95: "bad",  # uncontained memory error: any may
    119: "bad",  # the device's own processor does not answer
    120: "bad",  # or has crashed
}
"""The driver's errors that are about the device (NVIDIA's list of XIDs). Others, like 13, 31, 43 and 45, are
a program's own faults."""

SLOWED = ("hardware slowdown", "thermal slowdown (hardware)", "power brake")

_WORST: tuple[Reading, ...] = ("lost", "silent", "bad", "doubt", "good")


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that a look says of a device, and for people why it matters."""

    reading: Reading
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """Where a device stands.

    Attributes
    ----------
    reasons
        Why it is in that state; of a healthy device what its last look raised, mostly nothing.
    reading, streak
        The last reading, and how many of it came in a row since the state began.
    probed
        Whether CUDA has computed on it since the state began.
    vitals
        Of the last look that had any, which the next is compared with.
    """

    state: Health = "UNKNOWN"
    reasons: tuple[str, ...] = ("not looked at yet",)
    reading: Reading | None = None
    streak: int = 0
    probed: bool = False
    vitals: Vitals | None = None

    @property
    def wants_probe(self) -> bool:
        """Whether only a probe that succeeds keeps it from being healthy."""
        move = MOVES.get((self.state, "good"))
        return (
            self.state in NEEDS_PROBE
            and not self.probed
            and self.reading == "good"
            and move is not None
            and self.streak >= move.after
        )


def signs_of(device: Device, before: Vitals | None) -> tuple[Sign, ...]:
    """What a look at a device says of it; empty when all is well. A missing value says nothing.

    Parameters
    ----------
    before
        The vitals of the look before: counters matter when they grow, since old errors were dealt with.
    """
    if device.lost:
        return (Sign("lost", device.problem or "the driver has given it up"),)
    if device.problem:
        return (Sign("silent", device.problem),)
    now = device.vitals
    found = [Sign(XIDS[xid], f"XID {xid}") for xid in now.xids if xid in XIDS]
    if grown := _growth(now.ecc_volatile, before.ecc_volatile if before else None):
        found.append(Sign("bad", f"{grown} more uncorrected memory errors"))
    if now.remap_failure:
        found.append(Sign("bad", "no spare memory rows are left; the device needs replacing"))
    if now.remap_pending or now.retirement_pending:
        found.append(Sign("doubt", "memory waits to be taken out of use; reset the device"))
    slowed = [reason for reason in now.throttle or () if reason in SLOWED]
    if slowed:
        found.append(Sign("doubt", f"clocks are held back: {', '.join(slowed)}"))
    return tuple(found)


def observed(health: DeviceHealth, signs: Iterable[Sign], vitals: Vitals | None = None) -> DeviceHealth:
    """The health after one more look.

    Parameters
    ----------
    signs
        Of :func:`signs_of`; none for a good look.
    vitals
        The look's own.
    """
    signs = tuple(signs)
    readings: list[Reading] = [sign.reading for sign in signs]
    reading: Reading = min(readings, key=_WORST.index, default="good")
    streak = health.streak + 1 if reading == health.reading else 1
    seen = replace(health, reading=reading, streak=streak, vitals=vitals or health.vitals)
    if reading != "good" or health.state == "HEALTHY":
        seen = replace(seen, reasons=tuple(sign.reason for sign in signs))
    return _moved(seen)


def probed(health: DeviceHealth, problem: str = "") -> DeviceHealth:
    """The health after CUDA has computed on the device, or has failed to for the reason given."""
    if problem:
        failed = (f"CUDA cannot compute on it: {problem}",)
        return DeviceHealth("QUARANTINED", failed, vitals=health.vitals)
    return _moved(replace(health, probed=True))


def _moved(health: DeviceHealth) -> DeviceHealth:
    if health.reading is None:
        return health
    move = MOVES.get((health.state, health.reading))
    if move is None or health.streak < move.after:
        return health
    if move.to == "HEALTHY":
        if health.wants_probe:
            return replace(health, reasons=("waits for a probe by CUDA",))
        return DeviceHealth("HEALTHY", (), health.reading, 0, vitals=health.vitals)
    return DeviceHealth(move.to, health.reasons, health.reading, 0, vitals=health.vitals)


def _growth(now: int | None, before: int | None) -> int:
    # Without a look before, errors are those of somebody before us, and the device runs since.
    return 0 if now is None or before is None else max(0, now - before)
