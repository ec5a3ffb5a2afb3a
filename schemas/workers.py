"""What a tick worker says of itself on ``streams.workers``, once a second."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.messages import Message


class PartitionReport(Message):
    """One partition of ``market.ticks`` as its worker has it; counts since the log began."""

    partition: int
    ticks_in: int
    processed: int
    late: int
    duplicate: int
    dead: int
    held: Annotated[int, Field(description="that wait for their turn")]
    bars: int
    signals: int
    symbols: int
    lag_messages: Annotated[int | None, Field(description="frames not yet read; null while unknown")] = None
    lag_seconds: Annotated[
        float | None, Field(description="since the last frame that was read was written; 0 when none waits")
    ] = None
    watermark_ns: Annotated[int | None, Field(description="event time up to which everything was seen")] = (
        None
    )


class WorkerReport(Message):
    """A look at one worker process."""

    worker: Annotated[str, Field(min_length=1, description="its name")]
    host: str
    device: Annotated[str, Field(description="what it computes on, like cpu or cuda:0")]
    page: Annotated[str, Field(description="the address of its own pages")]
    at_ns: Annotated[int, Field(description="when it was, ns since 1970-01-01 UTC")]
    capacity: Annotated[float, Field(gt=0, description="its share of the partitions beside the others'")]
    ready: Annotated[bool, Field(description="whether it has its partitions and their state")]
    held_by_guard: Annotated[
        bool, Field(description="whether its ticks wait, since memory on its device is low")
    ] = False
    cpu_seconds: Annotated[float, Field(ge=0, description="that its process has used")]
    partitions: list[PartitionReport]
