"""csp: one graph in real time; bursts of Kafka messages in, a node that works, messages out by key.

Its Kafka adapter writes no headers, and raw bytes under keys that the graph knows beforehand: outputs go
without our headers, under the number of their partition.
"""

from datetime import timedelta

import csp
import orjson
from csp.adapters.kafka import (
    JSONTextMessageMapper,
    KafkaAdapterManager,
    KafkaStartOffset,
    RawBytesMessageMapper,
)
from csp.utils.datetime import utc_now

from bench.peers.common import BARS, OUTPUTS, Frames, Meter, Windows, read_job

JOB = read_job()
METER = Meter(JOB.messages)
KAFKA = KafkaAdapterManager(
    broker=JOB.broker,
    start_offset=KafkaStartOffset.EARLIEST,
    poll_timeout=timedelta(milliseconds=10),
    rd_kafka_producer_conf_options={"linger.ms": "20"},
)
PARTITIONS = 4
DRAIN_S = 3.0


class Message(csp.Struct):  # type: ignore[misc]
    """A message of Kafka and where it stands."""

    value: bytes
    partition: int
    offset: int


class Out(csp.Struct):  # type: ignore[misc]
    """A message to write; the route is its topic and key."""

    route: str
    value: bytes


class Bar(csp.Struct):  # type: ignore[misc]
    """A bar; what it has no value for stays unset."""

    symbol: str
    open_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    n_trades: int
    imbalance: float
    spread: float


@csp.node  # type: ignore[untyped-decorator]
def frames(burst: csp.ts[[Message]], work: object) -> csp.ts[[Out]]:
    """Compute the frames of a burst."""
    if csp.ticked(burst):
        outs = []  # type: ignore[var-annotated]
        for raw in burst:
            outputs = work(raw.partition, raw.offset, 0, (), raw.value)  # type: ignore[operator]
            outs.extend(Out(route=f"{o.topic}|{raw.partition}", value=o.value) for o in outputs)
        return outs


@csp.node  # type: ignore[untyped-decorator]
def bars(burst: csp.ts[[Message]], windows: object) -> csp.ts[[Bar]]:
    """Close windows by event time: a subscription to all keys runs in wall-clock time only."""
    if csp.ticked(burst):
        outs = []
        for raw in burst:
            METER.begin()
            closed = windows.add(orjson.loads(raw.value))  # type: ignore[attr-defined]
            if closed is not None:
                outs.append(Bar(**{name: value for name, value in closed.items() if value is not None}))
            METER.end()
        return outs


@csp.node  # type: ignore[untyped-decorator]
def stop_when_written(worked: csp.ts[object]) -> None:
    """End the engine a while after the last message: the adapter flushes nothing."""
    with csp.alarms():
        over = csp.alarm(bool)
    if csp.ticked(worked) and METER.done:
        csp.schedule_alarm(over, timedelta(seconds=DRAIN_S), True)
    if csp.ticked(over):
        csp.stop_engine()


@csp.graph  # type: ignore[untyped-decorator]
def flow() -> None:
    """The lane of the job."""
    burst = KAFKA.subscribe(
        Message,
        RawBytesMessageMapper(),
        JOB.source,
        field_map={"": "value"},
        meta_field_map={"partition": "partition", "offset": "offset"},
        push_mode=csp.PushMode.BURST,
    )
    if JOB.lane == "json":
        closed = bars(burst, Windows())
        stop_when_written(closed)
        KAFKA.publish(JSONTextMessageMapper(), BARS, ["symbol"], csp.unroll(closed))
        return
    outputs = frames(burst, Frames(METER).work)
    stop_when_written(outputs)
    out = csp.unroll(outputs)
    routes = [f"{base}|{partition}" for base in OUTPUTS for partition in range(PARTITIONS)]
    for route, routed in csp.demultiplex(out, out.route, routes).items():
        topic, key = route.split("|")
        KAFKA.publish(RawBytesMessageMapper(), topic, key, routed.value)


if __name__ == "__main__":
    csp.run(flow, starttime=utc_now(), endtime=timedelta(minutes=10), realtime=True)
    METER.report()
