"""Exact accounting of a partition: every tick that came in is in exactly one class."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(slots=True)
class Accounting:
    """Counters of one partition since its log began; they travel in its checkpoints.

    ``ticks_in = processed + late + duplicate + dead + held`` after every message. A message that is
    no tick frame counts as one dead tick, since nobody knows how many it held. ``held`` are ticks that
    wait for their turn, which only an allowed lateness above 0 brings about.
    """

    messages: int = 0
    heartbeats: int = 0
    ticks_in: int = 0
    processed: int = 0
    late: int = 0
    duplicate: int = 0
    dead: int = 0
    held: int = 0
    gap: int = 0
    crossed: int = 0
    sequence_reset: int = 0
    misrouted: int = 0
    feature_rows: int = 0
    bars: int = 0
    signals: int = 0
    promotions: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every tick is in exactly one class."""
        return self.ticks_in == self.processed + self.late + self.duplicate + self.dead + self.held

    def as_dict(self) -> dict[str, int]:
        """The counters by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, int]) -> Accounting:
        """Counters from a checkpoint; those that it does not know are 0."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
