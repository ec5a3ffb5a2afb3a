"""Lasting measures that the memory guard asks of us, and until when each holds; pure.

A measure begins with the first command that asks for it, begin or renewal: whoever started since then joins
in. It ends when told so, or by itself when its guard renews it no more, because it died or lost its domain.
So nothing is held back for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.commands import LAPSES_MS, Action, CleanupCommand

Measure = tuple[str, Action]
"""Device and action."""


@dataclass(slots=True)
class Measures:
    """What is in force."""

    _until_ns: dict[Measure, int] = field(default_factory=dict)

    def take(self, command: CleanupCommand, now_ns: int) -> bool:
        """Take a command in; whether its measure begins or ends by it.

        Parameters
        ----------
        now_ns
            Of a clock that only moves on.
        """
        measure = (command.gpu_uuid, command.action)
        if command.phase == "end":
            return self._until_ns.pop(measure, None) is not None
        if command.phase == "once":
            return False
        is_new = measure not in self._until_ns
        self._until_ns[measure] = now_ns + (command.lapses_ms or LAPSES_MS) * 1_000_000
        return is_new

    def lapse(self, now_ns: int) -> list[Measure]:
        """End those whose time is over; returns them."""
        over = [measure for measure, until_ns in self._until_ns.items() if until_ns <= now_ns]
        for measure in over:
            del self._until_ns[measure]
        return over

    def on(self, gpu_uuid: str) -> frozenset[Action]:
        """What is in force about a device."""
        return frozenset(action for uuid, action in self._until_ns if uuid == gpu_uuid)
