"""The allocation log as the API shows it: each domain's fold, and the latest decisions and verdicts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.ledger import Device, Ignored, Lease, State
from orchestrator.ledger_bases import PULSE, Base
from schemas import allocations
from schemas.allocations import Head

KEPT = 2_000
"""Decisions that are kept for the list."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A record of the log, as it came, and what the fold said of it.

    Parameters
    ----------
    ignored
        The name of the check that it failed; None when it counts.
    """

    offset: int
    payload: bytes
    ignored: str | None


class Decisions:
    """The folds of all domains, each the same as in every orchestrator and agent."""

    def __init__(self, kept: int = KEPT) -> None:
        self.domains: dict[str, State] = {}
        self._bases: dict[str, int] = {}
        self.latest: deque[Decision] = deque(maxlen=kept)

    def begin(self, bases: Mapping[str, Base]) -> None:
        """Go on from these states; what they stand for is passed over."""
        for domain, base in bases.items():
            self.domains[domain], self._bases[domain] = base

    def apply(self, offset: int, payload: bytes) -> tuple[Head, State, bool]:
        """Take the next record in; returns it, its domain and whether it counts now.

        Raises
        ------
        LedgerError
            When it is no record.
        """
        record = allocations.decode(payload)
        state = self.domains.setdefault(record.domain, State(record.domain))
        if offset <= self._bases.get(record.domain, -1):
            return record, state, False
        verdict = state.apply(record)
        ignored = verdict.reason if isinstance(verdict, Ignored) else None
        if not isinstance(record, PULSE):
            self.latest.append(Decision(offset, payload, ignored))
        return record, state, ignored is None

    def before(self, offset: int | None) -> Iterator[Decision]:
        """The decisions below an offset, or all, from the newest on."""
        return (seen for seen in reversed(self.latest) if offset is None or seen.offset < offset)

    def leases(self) -> list[tuple[str, Lease]]:
        """All leases that hold bytes, with their domains."""
        return [(name, lease) for name, state in self.domains.items() for lease in state.leases.values()]

    def device(self, gpu_uuid: str) -> Device | None:
        """What the ledger has promised of a device."""
        for state in self.domains.values():
            if gpu_uuid in state.devices:
                return state.devices[gpu_uuid]
        return None
