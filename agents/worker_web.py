"""Pages of a worker beside Faust's own: accounting, health, metrics. Thin: it shows what others know."""

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import faust
from faust.types import TP
from faust.web import Request, Response, View
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from agents.backpressure import Backpressure
from agents.partition_runner import PartitionRunner
from agents.pipeline import TickPipeline
from streams import topics

PAGE = files("agents").joinpath("worker_page.html").read_text()


class Accounts:
    """The accounting of every partition that this worker holds, with lag."""

    def __init__(self, app: faust.App, pipeline: TickPipeline, backpressure: Backpressure, name: str) -> None:
        self._app = app
        self._pipeline = pipeline
        self.backpressure = backpressure
        self._name = name
        self._topic = topics.name(pipeline.settings, topics.TICKS)

    def rows(self) -> list[dict[str, Any]]:
        """One row a partition, ascending."""
        runners = sorted(self._pipeline.runners.values(), key=lambda runner: runner.number)
        return [self._row(runner) for runner in runners if runner.state is not None]

    def _row(self, runner: PartitionRunner) -> dict[str, Any]:
        assert runner.state is not None
        book = runner.state.accounting
        counts = book.as_dict()
        return {
            "partition": runner.number,
            "in": counts.pop("ticks_in"),
            **counts,
            "balanced": book.balanced,
            "next_offset": runner.cursor.next_offset,
            "saved_offset": runner.saved_offset,
            "read_ms": runner.read_ms,
            "end_offset": self._end_offset(runner.number),
            "watermark_ns": runner.state.watermark_ns,
            "symbols": len(runner.state.symbols),
            "model": runner.state.model.name,
            "checkpoint_bytes": runner.checkpoint_bytes,
            "recovery_seconds": round(runner.recovery_s, 6),
        }

    def _end_offset(self, partition: int) -> int | None:
        return self._app.monitor.tp_end_offsets.get(TP(self._topic, partition))  # type: ignore[no-any-return]

    def summary(self) -> dict[str, Any]:
        """What the ``/accounting`` page returns."""
        pipeline = self._pipeline
        return {
            "worker": self._name,
            "ready": pipeline.ready,
            "failure": str(pipeline.failure) if pipeline.failure else None,
            "device": self.backpressure.gpu_uuid,
            "held_by_guard": self.backpressure.held,
            "checkpoints": pipeline.checkpoints_written,
            "checkpoint_seconds": round(pipeline.checkpoint_s, 6),
            "flow_seconds": round(pipeline.flow_s, 6),
            "cpu_seconds": round(time.process_time(), 3),
            "partitions": self.rows(),
        }


class AccountsCollector(Collector):
    """The accounting as Prometheus metrics."""

    _COUNTERS = (
        ("in", "ticks that came in"),
        ("processed", "ticks that entered the features"),
        ("late", "ticks after their window had closed"),
        ("duplicate", "ticks that were there before"),
        ("dead", "ticks that could not be used"),
        ("gap", "sequence numbers that never came"),
        ("crossed", "quotes with the bid above the ask"),
        ("messages", "messages read"),
        ("feature_rows", "feature rows written"),
        ("bars", "bars written"),
        ("signals", "signals written"),
    )
    _GAUGES = (
        ("held", "ticks that wait for their turn"),
        ("next_offset", "first offset not in the state"),
        ("end_offset", "end of the log, as last seen"),
        ("symbols", "symbols known"),
        ("checkpoint_bytes", "size of the last checkpoint"),
    )

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def collect(self) -> Iterable[Metric]:
        """Metrics as they are now."""
        rows = self._accounts.rows()
        for name, text in self._COUNTERS:
            counter = CounterMetricFamily(f"tapestream_ticks_{name}", text, labels=["partition"])
            for row in rows:
                counter.add_metric([str(row["partition"])], row[name])
            yield counter
        for name, text in self._GAUGES:
            gauge = GaugeMetricFamily(f"tapestream_ticks_{name}", text, labels=["partition"])
            for row in rows:
                if row[name] is not None:
                    gauge.add_metric([str(row["partition"])], row[name])
            yield gauge
        held = self._accounts.backpressure
        yield GaugeMetricFamily(
            "tapestream_ticks_held_by_guard", "1 while memory on the device is low.", value=float(held.held)
        )
        yield CounterMetricFamily(
            "tapestream_ticks_holds", "How often the memory guard held the ticks.", value=held.holds
        )


def add_pages(app: faust.App, pipeline: TickPipeline, accounts: Accounts) -> None:
    """Put ``/accounting``, ``/pipeline``, ``/live``, ``/ready`` and ``/metrics`` on the worker's port."""
    registry = CollectorRegistry()
    registry.register(AccountsCollector(accounts))

    @app.page("/accounting")
    async def accounting(view: View, request: Request) -> Response:
        return view.json(accounts.summary())

    @app.page("/pipeline")
    async def pipeline_page(view: View, request: Request) -> Response:
        return view.html(PAGE)

    @app.page("/live")
    async def live(view: View, request: Request) -> Response:
        return view.json({"live": pipeline.failure is None}, status=200 if pipeline.failure is None else 503)

    @app.page("/ready")
    async def ready(view: View, request: Request) -> Response:
        return view.json({"ready": pipeline.ready}, status=200 if pipeline.ready else 503)

    @app.page("/metrics")
    async def metrics(view: View, request: Request) -> Response:
        return view.bytes(generate_latest(registry), content_type=CONTENT_TYPE_LATEST.split(";")[0])
