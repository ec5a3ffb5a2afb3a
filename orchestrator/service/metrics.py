"""What ``/metrics`` shows of an orchestrator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.guard import PeakEstimate
from orchestrator.guard.thresholds import RANK
from orchestrator.service.memory_desk import MemoryDesk
from orchestrator.service.service import Orchestrator


class OrchestratorMetrics(Collector):
    """Read from the orchestrator whenever somebody asks."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked at registration, when there is no state yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Tasks by state, bytes by device, what was done."""
        orchestrator = self._orchestrator
        yield GaugeMetricFamily(
            "tapestream_orchestrator_owner", "1 while this process decides.", value=float(orchestrator.owns)
        )
        done = CounterMetricFamily(
            "tapestream_orchestrator_done", "What this process has done.", labels=["what"]
        )
        for what in orchestrator.counts.__dataclass_fields__:
            done.add_metric([what], getattr(orchestrator.counts, what))
        yield done
        if not orchestrator.ready:
            return
        tasks = GaugeMetricFamily("tapestream_tasks", "Tasks that the ledger knows.", labels=["state"])
        for state, count in Counter(task.state for task in orchestrator.state.tasks.values()).items():
            tasks.add_metric([state], count)
        yield tasks
        held = GaugeMetricFamily(
            "tapestream_device_bytes", "Bytes of a device by who has them.", labels=["gpu_uuid", "part"]
        )
        for device in orchestrator.state.devices.values():
            held.add_metric([device.gpu_uuid, "free"], device.free_bytes)
            held.add_metric([device.gpu_uuid, "leased"], device.leased_bytes)
            held.add_metric([device.gpu_uuid, "reclaiming"], device.reclaiming_bytes)
        yield held
        if orchestrator.memory is not None:
            yield from _of_the_guard(orchestrator.memory)
            yield _of_peaks(orchestrator.peaks)


def _of_the_guard(memory: MemoryDesk) -> Iterator[Metric]:
    """Levels, what was said, and how good the forecasts were."""
    guard = memory.guard
    levels = GaugeMetricFamily(
        "tapestream_memory_level", "0 well, 1 WARN, 2 HIGH, 3 CRITICAL.", labels=["gpu_uuid"]
    )
    errors = GaugeMetricFamily(
        "tapestream_memory_forecast_error",
        "Mean absolute error, as a share of the capacity; by=persistence is of saying that nothing changes.",
        labels=["gpu_uuid", "seconds", "by"],
    )
    for uuid in guard.devices:
        levels.add_metric([uuid], RANK[guard.level(uuid)])
        for score in guard.scores(uuid):
            for by, error in (("forecast", score.mean_error), ("persistence", score.persistence_error)):
                if error is not None:
                    errors.add_metric([uuid, str(score.steps), by], error)
    yield levels
    yield errors
    said = CounterMetricFamily(
        "tapestream_memory_guard", "Alerts by event, commands, and answers to them.", labels=["what"]
    )
    for what, count in sorted(memory.said.items()):
        said.add_metric([what], count)
    yield said
    yield CounterMetricFamily(
        "tapestream_memory_freed_bytes", "By clean-ups, as their owners say.", memory.freed_bytes
    )


def _of_peaks(peaks: Iterable[PeakEstimate]) -> Metric:
    found = GaugeMetricFamily(
        "tapestream_task_peak_bytes",
        "What 95 % of a type's tasks stay below; absent while uncalibrated.",
        labels=["task_type", "lane"],
    )
    for peak in peaks:
        if peak.peak_bytes is not None:
            found.add_metric([peak.task_type, peak.lane], peak.peak_bytes)
    return found
