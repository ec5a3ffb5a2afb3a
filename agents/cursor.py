"""Where a partition is in its log: which events to compute, to skip, or to fetch first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """What to do with an event."""

    COMPUTE = "compute"
    SKIP = "skip"
    FILL = "fill"


@dataclass(slots=True)
class Cursor:
    """The first offset that is not in the state.

    The consumer group may hand us events that the state already has (it commits after the checkpoint),
    or start above what the state needs (after a rebalance, or when the committed offset outlived the
    checkpoint). The first are skipped; before the second, the missing range is read from the log itself,
    which tells a real hole (compaction, a transaction's marker) from a missed message for certain.
    """

    next_offset: int

    def see(self, offset: int) -> Step:
        """Decide; moves nothing."""
        if offset < self.next_offset:
            return Step.SKIP
        return Step.COMPUTE if offset == self.next_offset else Step.FILL

    def missing(self, offset: int) -> tuple[int, int]:
        """The range to read before an event above the next one: [first, last + 1)."""
        return self.next_offset, offset

    def advance(self, offset: int) -> None:
        """``offset`` is in the state now."""
        if offset < self.next_offset:
            raise ValueError(f"offset {offset} is in the state already, next is {self.next_offset}")
        self.next_offset = offset + 1
