"""How good the memory guard's forecasts are, by the guard's own fold over the reports of ``gpu.devices``.

The guard itself lives in the owner of a domain; the same samples give the same scores here, whoever owns it.
What the fold would say or ask for is dropped: only the owner speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.guard import MemoryGuard, sample_of
from orchestrator.guard.forecast import Score, SideScore
from orchestrator.guard.thresholds import THRESHOLDS
from schemas.alerts import AlertLevel, Crossing
from schemas.devices import DeviceReport

FORGET_AFTER_NS = 60_000_000_000
"""After so long a silence a forecast begins anew, as it does for the owner, to whom the device is lost then.

It also keeps the holes that compaction leaves in the topic out of the scores.
"""


@dataclass(frozen=True, slots=True)
class DeviceForecast:
    """What is expected of a device's memory, and how good that has been.

    Attributes
    ----------
    crossings
        When each level that is not reached yet is expected to be.
    scores
        By horizon, of the value itself.
    sides
        By level and horizon, of which side of its threshold the value is on.
    """

    gpu_uuid: str
    at_ns: int
    level: AlertLevel | None
    crossings: Sequence[Crossing]
    scores: Sequence[Score]
    sides: dict[AlertLevel, Sequence[SideScore]]


class Forecasts:
    """The forecasts of all devices."""

    def __init__(self) -> None:
        self._guard = MemoryGuard()
        self._looked_at: dict[str, DeviceForecast] = {}

    def take(self, report: DeviceReport) -> None:
        """One more report; one of a device that does not answer is no sample."""
        sample, last = sample_of(report), self._guard.last(report.gpu_uuid)
        if sample is None:
            return
        if last is not None and sample.at_ns - last.at_ns >= FORGET_AFTER_NS:
            self.forget(report.gpu_uuid)
        self._guard.take(sample)

    def forget(self, gpu_uuid: str) -> None:
        """The device is gone."""
        self._guard.forget(gpu_uuid, 0, "")
        self._looked_at.pop(gpu_uuid, None)

    def all(self) -> list[DeviceForecast]:
        """By device; those that have reported their memory."""
        return [self._of(gpu_uuid) for gpu_uuid in self._guard.devices]

    def _of(self, gpu_uuid: str) -> DeviceForecast:
        """Worked out once a sample, since many may ask between two."""
        guard, last = self._guard, self._guard.last(gpu_uuid)
        at_ns = last.at_ns if last else 0
        found = self._looked_at.get(gpu_uuid)
        if found is None or found.at_ns != at_ns:
            found = self._looked_at[gpu_uuid] = DeviceForecast(
                gpu_uuid,
                at_ns,
                guard.level(gpu_uuid),
                guard.crossings(gpu_uuid),
                guard.scores(gpu_uuid),
                {row.level: guard.side_scores(gpu_uuid, row.level) for row in THRESHOLDS},
            )
        return found
