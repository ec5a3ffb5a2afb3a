"""What the API counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.api.model import ReadModel

METHODS = frozenset(("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"))


class RequestMetrics:
    """Requests by route, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route")
        self._requests = Counter(
            "tapestream_api_requests", "Requests answered.", (*labels, "status"), registry=registry
        )
        self._seconds = Histogram(
            "tapestream_api_request_seconds",
            "Time to the end of the answer.",
            labels,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
            registry=registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Take an answered request in; labels that a client could invent are not taken over."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


class ModelMetrics(Collector):
    """The read model, looked at when it is asked for."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        model = self._model
        states = GaugeMetricFamily("tapestream_tasks", "Tasks remembered, by state.", labels=["state"])
        for state, count in sorted(model.tasks.states.items()):
            states.add_metric([state], count)
        yield states
        yield CounterMetricFamily("tapestream_tasks_seen", "Tasks seen.", model.tasks.submitted)
        yield CounterMetricFamily("tapestream_tasks_ended", "Tasks seen to end.", model.tasks.ended)
        yield GaugeMetricFamily("tapestream_devices", "Devices that have reported.", len(model.devices))
        yield GaugeMetricFamily("tapestream_memory_alerts_open", "Open alerts.", len(model.open_alerts))
        yield GaugeMetricFamily("tapestream_api_caught_up", "1 when the topics are read.", model.caught_up)
        passed = CounterMetricFamily(
            "tapestream_api_passed_over", "Messages that could not be decoded.", labels=["topic"]
        )
        for topic, count in sorted(model.passed_over.items()):
            passed.add_metric([topic], count)
        yield passed


def registry_of(model: ReadModel) -> CollectorRegistry:
    """A registry with the process's and the model's own metrics."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(ModelMetrics(model))
    return registry
