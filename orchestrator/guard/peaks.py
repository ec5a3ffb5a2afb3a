"""How much memory a type of task takes at most: the conformal upper quantile of what its tasks took.

With tasks alike, the next one stays below it with the stated probability, whatever the distribution; with too
few of them there is no such number, and the estimate says "uncalibrated" instead of guessing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from orchestrator.guard.forecast import conformal_quantile
from schemas.allocations import Lane
from schemas.devices import CPU_PREFIX
from schemas.tasks import TaskResult

PEAK_COVERAGE = 0.95
KEPT_PEAKS = 1_000


@dataclass(frozen=True, slots=True)
class PeakEstimate:
    """What a task of a type takes at most.

    Attributes
    ----------
    peak_bytes
        None while uncalibrated.
    count
        Tasks that it rests on.
    """

    task_type: str
    lane: Lane
    peak_bytes: int | None
    count: int

    @property
    def calibration(self) -> str:
        """For people."""
        return f"{self.count} tasks" if self.peak_bytes is not None else f"uncalibrated ({self.count} tasks)"


class PeakMemory:
    """Peaks by type of task and kind of device, which measure differently; :data:`KEPT_PEAKS` of each.

    Parameters
    ----------
    coverage
        Share of tasks that stay at or below the estimate.
    """

    def __init__(self, coverage: float = PEAK_COVERAGE) -> None:
        self._coverage = coverage
        self._peaks: dict[tuple[str, Lane], deque[int]] = {}
        self._known: dict[tuple[str, Lane], PeakEstimate] = {}

    def add(self, task_type: str, lane: Lane, peak_bytes: int) -> None:
        """Take the measured peak of a task that ended."""
        self._peaks.setdefault((task_type, lane), deque(maxlen=KEPT_PEAKS)).append(peak_bytes)
        self._known.pop((task_type, lane), None)

    def learn(self, result: TaskResult) -> None:
        """Take a result's peak, if the task succeeded and it was measured."""
        if result.state == "SUCCEEDED" and result.peak_memory_bytes is not None and result.ran_on:
            lane: Lane = "cpu" if result.ran_on[0].startswith(CPU_PREFIX) else "gpu"
            self.add(result.task_type, lane, result.peak_memory_bytes)

    def estimate(self, task_type: str, lane: Lane) -> PeakEstimate:
        """What a task of this type will take at most on such a device."""
        key = (task_type, lane)
        if key not in self._known:
            peaks = self._peaks.get(key, deque())
            found = conformal_quantile(peaks, self._coverage)
            self._known[key] = PeakEstimate(
                task_type, lane, None if found is None else int(found), len(peaks)
            )
        return self._known[key]

    def all(self) -> list[PeakEstimate]:
        """Every type that was seen, by name."""
        return [self.estimate(*key) for key in sorted(self._peaks)]
