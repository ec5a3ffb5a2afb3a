"""bytewax: a dataflow of one worker; in the JSON lane its own fold over tumbling windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing
from bytewax.run import cli_main

from bench.peers.common import (
    BARS,
    WINDOW_NS,
    Frames,
    Job,
    Meter,
    Tick,
    Window,
    add,
    bar,
    begin_window,
    read_job,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FRAMES_A_BATCH = 16
"""A sink flushes once a batch: the default of 1,000 messages is meant for small ones."""


def frames(flow: Dataflow, job: Job, meter: Meter) -> None:
    """Map a frame to its outputs, each with its topic."""
    work = Frames(meter).work

    def compute(raw: Any) -> list[KafkaSinkMessage[bytes, bytes]]:
        outputs = work(raw.partition, raw.offset, raw.timestamp[1], raw.headers, raw.value)
        return [KafkaSinkMessage(o.key, o.value, o.topic, o.headers) for o in outputs]

    source = KafkaSource([job.broker], [job.source], tail=False, batch_size=FRAMES_A_BATCH)
    computed = op.flat_map("compute", op.input("frames", flow, source), compute)
    op.output("outputs", computed, KafkaSink([job.broker], None))


def bars(flow: Dataflow, job: Job, meter: Meter) -> None:
    """Fold the ticks of a symbol into windows of event time."""

    def parse(raw: Any) -> tuple[str, Tick]:
        meter.count()
        tick: Tick = orjson.loads(raw.value)
        return tick["symbol"], tick

    def written(closed: tuple[str, tuple[int, Window]]) -> KafkaSinkMessage[bytes, bytes]:
        symbol, (number, window) = closed
        return KafkaSinkMessage(symbol.encode(), orjson.dumps(bar(symbol, number * WINDOW_NS, window)))

    # Recorded ticks: time is theirs alone, or windows would close by the wall clock before they are read.
    clock = windowing.EventClock(
        lambda tick: EPOCH + timedelta(microseconds=tick["ts_event_ns"] // 1_000),
        wait_for_system_duration=timedelta(0),
        now_getter=lambda: EPOCH,
        to_system_utc=lambda _: None,
    )
    windower = windowing.TumblingWindower(length=timedelta(seconds=1), align_to=EPOCH)
    source = KafkaSource([job.broker], [job.source], tail=False)
    ticks = op.map("parse", op.input("ticks", flow, source), parse)
    windows = windowing.fold_window("windows", ticks, clock, windower, begin_window, add, lambda a, b: a)
    op.output("bars", op.map("write", windows.down, written), KafkaSink([job.broker], BARS))


def main() -> None:
    """Run the lane of the job; the flow ends at the end of the topic."""
    job = read_job()
    flow, meter = Dataflow(job.lane), Meter(job.messages)
    (frames if job.lane == "frames" else bars)(flow, job, meter)
    cli_main(flow)
    meter.report()


if __name__ == "__main__":
    main()
