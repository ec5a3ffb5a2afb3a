"""Pathway, reading what the topic holds (``static``): it calls functions out of order within a batch.

Its engine is Rust and shows no first message, so it is timed from the start of its run to the end.
"""

from __future__ import annotations

from typing import Any

import orjson
import pathway as pw

from bench.peers.common import BARS, WINDOW_NS, Frames, Job, Meter, bar, read_job

NEVER = 2**62


class Tick(pw.Schema):  # type: ignore[misc]
    """A JSON tick; quotes have no trade and trades no quote."""

    symbol: str
    ts_event_ns: int
    kind: str
    bid_px: float = pw.column_definition(default_value=0.0)
    ask_px: float = pw.column_definition(default_value=0.0)
    trade_px: float = pw.column_definition(default_value=0.0)
    trade_sz: float = pw.column_definition(default_value=0.0)
    aggressor: int = pw.column_definition(default_value=0)


def frames(job: Job, meter: Meter, kafka: dict[str, str]) -> None:
    """A stateful reducer a partition, which puts its frames in order; then a message an output."""
    work = Frames(Meter(job.messages)).work

    @pw.reducers.stateful_many  # type: ignore[untyped-decorator]
    def compute(_: Any, rows: list[tuple[list[Any], int]]) -> tuple[Any, ...]:
        made: list[Any] = []
        for (partition, offset, value), _count in sorted(rows, key=lambda row: row[0][1]):
            meter.seen += 1
            outputs = work(partition, offset, 0, (), value)
            made.extend((output.topic, output.key, output.value) for output in outputs)
        return tuple(made)

    read = pw.io.kafka.read(
        kafka, job.source, format="raw", mode="static", with_metadata=True, autogenerate_key=True
    )
    placed = read.select(
        partition=pw.this._metadata["partition"].as_int(),
        offset=pw.this._metadata["offset"].as_int(),
        value=pw.this.data,
    )
    made = placed.groupby(placed.partition).reduce(
        outputs=compute(placed.partition, placed.offset, placed.value)
    )
    out = made.flatten(made.outputs).select(
        topic=pw.apply_with_type(lambda output: output[0], str, pw.this.outputs),
        key=pw.apply_with_type(lambda output: output[1], bytes, pw.this.outputs),
        value=pw.apply_with_type(lambda output: output[2], bytes, pw.this.outputs),
    )
    pw.io.kafka.write(out, kafka, out.topic, format="raw", key=out.key, value=out.value)


def bars(job: Job, meter: Meter, kafka: dict[str, str]) -> None:
    """Its own tumbling windows and reducers; JSON is read by its connector."""

    def written(symbol: str, open_ns: int, *parts: Any) -> str:
        first, high, low, last, volume, trades, signed, spreads, ticks = parts
        meter.seen += ticks
        window = [first[1], high, low, last[1], volume, trades, signed, spreads, ticks - trades]
        return orjson.dumps(bar(symbol, open_ns, window)).decode()

    ticks = pw.io.kafka.read(kafka, job.source, format="json", schema=Tick, mode="static")
    traded = ticks.kind == "trade"
    ticks = ticks.with_columns(
        trade=pw.cast(int, traded),
        first=pw.make_tuple(pw.if_else(traded, ticks.ts_event_ns, NEVER), ticks.trade_px),
        last=pw.make_tuple(pw.if_else(traded, ticks.ts_event_ns, -1), ticks.trade_px),
        low=pw.if_else(traded, ticks.trade_px, float("inf")),
    )
    this = pw.this
    windows = ticks.windowby(
        ticks.ts_event_ns, window=pw.temporal.tumbling(duration=WINDOW_NS), instance=ticks.symbol
    ).reduce(
        symbol=this._pw_instance,
        open_ns=this._pw_window_start,
        first=pw.reducers.min(this.first),
        high=pw.reducers.max(this.trade_px),
        low=pw.reducers.min(this.low),
        last=pw.reducers.max(this.last),
        volume=pw.reducers.sum(this.trade_sz),
        trades=pw.reducers.sum(this.trade),
        signed=pw.reducers.sum(this.aggressor * this.trade_sz),
        spreads=pw.reducers.sum(this.ask_px - this.bid_px),
        ticks=pw.reducers.count(),
    )
    columns = [windows[name] for name in windows.column_names()]
    out = windows.select(key=windows.symbol, value=pw.apply_with_type(written, str, *columns))
    pw.io.kafka.write(out, kafka, BARS, format="plaintext", key=out.key, value=out.value)


def main() -> None:
    """Run the lane of the job; it ends when the topic is read."""
    job = read_job()
    meter = Meter(job.messages)
    kafka = {"bootstrap.servers": job.broker, "group.id": job.group, "auto.offset.reset": "earliest"}
    (frames if job.lane == "frames" else bars)(job, meter, kafka)
    meter.begin()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    meter.stop()
    meter.report()


if __name__ == "__main__":
    main()
