"""When a child that ended is started again: a pure rule."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STABLE_S = 30.0
"""A child that ran so long was well; its crash is counted as the first."""
ATTEMPTS = 5
"""So many quick crashes in a row, and it is no use."""


@dataclass(frozen=True, slots=True)
class Crashes:
    """How often a child crashed in a row without having been stable between."""

    count: int = 0

    def after(self, uptime_s: float) -> Crashes:
        """The count after another crash."""
        return Crashes(1 if uptime_s >= STABLE_S else self.count + 1)

    @property
    def hopeless(self) -> bool:
        """Whether to give up."""
        return self.count > ATTEMPTS

    @property
    def delay_s(self) -> float:
        """How long to wait before the next start."""
        return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** max(0, self.count - 1)))
