"""Plain Faust: an agent with default settings, without our consumer, checkpoints or batches."""

from __future__ import annotations

from typing import Any

import faust

from bench.peers.common import BARS, OUTPUTS, Frames, Job, Meter, Windows, read_job


def frames(app: faust.App, job: Job) -> None:
    """An agent that computes frames and sends each output."""
    meter = Meter(job.messages)
    work = Frames(meter).work
    topics = {base: app.topic(base, key_serializer="raw", value_serializer="raw") for base in OUTPUTS}
    source = app.topic(job.source, key_serializer="raw", value_serializer="raw")

    @app.agent(source, name="frames")  # type: ignore[untyped-decorator]
    async def compute(stream: Any) -> None:
        async for event in stream.events():
            raw = event.message
            timestamp_ms = int(raw.timestamp * 1000)
            for output in work(raw.partition, raw.offset, timestamp_ms, raw.headers, raw.value):
                await topics[output.topic].send(
                    key=output.key, value=output.value, headers=output.headers, partition=raw.partition
                )
            await _leave_at_the_end(app, meter)


def bars(app: faust.App, job: Job) -> None:
    """An agent that keeps windows in a dictionary: a Faust table would cost it a record a tick."""
    meter, windows = Meter(job.messages), Windows()
    out = app.topic(BARS, key_serializer="raw", value_serializer="json")
    source = app.topic(job.source, key_serializer="raw", value_serializer="json")

    @app.agent(source, name="bars")  # type: ignore[untyped-decorator]
    async def compute(stream: Any) -> None:
        async for tick in stream:
            meter.begin()
            closed = windows.add(tick)
            if closed is not None:
                await out.send(key=tick["symbol"].encode(), value=closed)
            meter.end()
            await _leave_at_the_end(app, meter)


async def _leave_at_the_end(app: faust.App, meter: Meter) -> None:
    if meter.done:
        await app.producer.flush()
        meter.leave()


def main() -> None:
    """Run the lane of the job."""
    job = read_job()
    app = faust.App(
        job.group,
        broker=f"kafka://{job.broker}",
        datadir=job.folder,
        web_enabled=False,
        autodiscover=False,
    )
    (frames if job.lane == "frames" else bars)(app, job)
    app.Worker(loglevel="WARNING", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
