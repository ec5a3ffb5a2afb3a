"""quixstreams: a streaming dataframe; in the JSON lane its own tumbling window with a reducer."""

from __future__ import annotations

from typing import Any

import orjson
from quixstreams import Application, message_context
from quixstreams.models import Serializer

from agents.outputs import Output
from bench.peers.common import BARS, OUTPUTS, Frames, Job, Meter, add, bar, begin_window, read_job

MILLION = 1_000_000


class OutputValue(Serializer):  # type: ignore[misc]
    """The payload of one of our outputs."""

    def __call__(self, value: Output, ctx: Any) -> bytes:
        """Its bytes, as they are."""
        return value.value


def frames(app: Application, job: Job, meter: Meter) -> None:
    """Expand a frame into its outputs, and send each to its topic."""
    work = Frames(meter).work
    topics = {base: app.topic(base, value_serializer=OutputValue()) for base in OUTPUTS}

    def compute(value: bytes, key: bytes, timestamp: int, headers: Any) -> list[Output]:
        where = message_context()
        return work(where.partition, where.offset, timestamp, headers, value)

    sdf = app.dataframe(app.topic(job.source, value_deserializer="bytes"))
    sdf = sdf.apply(compute, expand=True, metadata=True)
    sdf = sdf.set_headers(lambda output, *_: output.headers)
    sdf.to_topic(lambda output, *_: topics[output.topic], key=lambda output: output.key)


def bars(app: Application, job: Job, meter: Meter) -> None:
    """A tumbling window a symbol, written when it is final."""
    source = app.topic(
        job.source,
        key_deserializer="str",
        value_deserializer="json",
        timestamp_extractor=lambda tick, *_: tick["ts_event_ns"] // MILLION,
    )
    out = app.topic(BARS, key_serializer="str", value_serializer="bytes")
    sdf = app.dataframe(source).update(lambda tick: meter.count())
    sdf = sdf.tumbling_window(1_000).reduce(reducer=add, initializer=begin_window).final()
    sdf = sdf.apply(
        lambda closed, symbol, *_: orjson.dumps(bar(symbol, closed["start"] * MILLION, closed["value"])),
        metadata=True,
    )
    sdf.to_topic(out)


def main() -> None:
    """Run the lane of the job; the application stops itself at the last message."""
    job = read_job()
    app = Application(
        broker_address=job.broker,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        state_dir=job.folder,
        producer_extra_config={"linger.ms": 20, "queue.buffering.max.messages": 1_000_000},
        consumer_extra_config={"queued.max.messages.kbytes": 262_144, "fetch.max.bytes": 52_428_800},
        loglevel="WARNING",
    )
    meter = Meter(job.messages, at_end=app.stop)
    (frames if job.lane == "frames" else bars)(app, job, meter)
    app.run()
    meter.report()


if __name__ == "__main__":
    main()
