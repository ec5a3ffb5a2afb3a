"""How often to checkpoint: as often as asked, but never for more than a share of the time. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class CheckpointPacer:
    """Spreads the checkpoints of all partitions over a period that their cost allows.

    Parameters
    ----------
    interval_s
        Shortest time between two checkpoints of a partition.
    share
        Greatest share of the time that checkpoints may take.
    """

    interval_s: float
    share: float
    _cost_s: dict[int, float] = field(default_factory=dict)

    def record(self, partition: int, cost_s: float) -> None:
        """Remember what the last checkpoint of a partition cost; 0 means that none was needed."""
        if cost_s > 0.0:
            self._cost_s[partition] = cost_s

    def forget(self, partition: int) -> None:
        """The partition is no longer ours."""
        self._cost_s.pop(partition, None)

    @property
    def period_s(self) -> float:
        """Time in which each partition gets one checkpoint."""
        return max(self.interval_s, sum(self._cost_s.values()) / self.share)

    def pause_s(self, partitions: int) -> float:
        """Time to wait before the next partition's turn."""
        return self.period_s / max(1, partitions)
