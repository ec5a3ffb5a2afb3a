"""How an orchestrator goes about its work, and what it counts of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OrchestratorOptions:
    """How the orchestrator goes about it.

    Parameters
    ----------
    domain
        Which ledger; all orchestrators and agents of a pipeline name the same one.
    owner_silence_s
        How long the owner may be silent before another claims the domain.
    tick_s
        How often the owner says what time it is, the sign that it lives.
    snapshot_every
        Records between two snapshots, at least; and four times the tasks that are remembered.
    intake_most
        Requests that are taken in at once.
    doubt_s
        How long a device is not granted again when a grant on it was not taken up.
    may_end
        Whether the memory guard may ask for the end of a process; :func:`schemas.kill_switch.kill_allowed`.
    """

    domain: str = "default"
    owner_silence_s: float = 5.0
    tick_s: float = 0.5
    snapshot_every: int = 10_000
    intake_most: int = 500
    doubt_s: float = 10.0
    may_end: bool = False


@dataclass(slots=True)
class Counts:
    """What this process has done."""

    rounds: int = 0
    decisions: int = 0
    taken_in: int = 0
    dead: int = 0
    results: int = 0
    claims: int = 0
    ignored: int = 0
