"""What ingest counts: for the exit line, for ``--json`` and for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(slots=True)
class Totals:
    """Since the start; always ``ticks = framed + dead + repeated``.

    Attributes
    ----------
    messages
        JSON messages read.
    ticks
        Ticks in them; what is no JSON counts as one.
    framed
        Written to ``market.ticks``.
    dead
        Written to ``dead.letters``.
    repeated
        Found there already, after a crash.
    commits
        Of the consumer group.
    """

    messages: int = 0
    ticks: int = 0
    framed: int = 0
    dead: int = 0
    repeated: int = 0
    commits: int = 0


class IngestMetrics(Collector):
    """The totals and the lag as Prometheus metrics, read when they are asked for."""

    def __init__(
        self,
        totals: Totals,
        written: Callable[[], tuple[int, int]],
        lags: Callable[[], dict[int, int]],
        registry: CollectorRegistry,
    ) -> None:
        self._totals, self._written, self._lags = totals, written, lags
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        totals = self._totals
        frames, size = self._written()
        yield CounterMetricFamily("tapestream_ingest_messages", "JSON messages read.", totals.messages)
        ticks = CounterMetricFamily(
            "tapestream_ingest_ticks", "Ticks read, by what became of them.", labels=["outcome"]
        )
        for outcome in ("framed", "dead", "repeated"):
            ticks.add_metric([outcome], getattr(totals, outcome))
        yield ticks
        yield CounterMetricFamily("tapestream_ingest_frames", "Frames acknowledged by the broker.", frames)
        yield CounterMetricFamily("tapestream_ingest_frame_bytes", "Bytes of those frames.", size)
        yield CounterMetricFamily(
            "tapestream_ingest_commits", "Commits of the consumer group.", totals.commits
        )
        lag = GaugeMetricFamily(
            "tapestream_ingest_lag_messages", "JSON messages not yet read.", labels=["partition"]
        )
        for partition, messages in sorted(self._lags().items()):
            lag.add_metric([str(partition)], messages)
        yield lag
