"""Ticks for a task, as the messages that the stream's own machine takes: from the topic or from a file.

A file is cut into the messages that replaying it would make, by partition and in the same order, with the
closing heartbeat at the end; so the outputs are those that the stream would give.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.messages import Message
from agents.outputs import frame_of_rows
from agents.partition import Partition
from schemas.errors import CheckpointError
from schemas.headers import H_WATERMARK, VERSION_HEADER
from schemas.settings import Settings
from schemas.ticks import Ticks
from streams import checkpoints, topics
from streams.clients import partition_of
from streams.log_reader import LogReader
from streams.replay.send import closing_ns
from streams.replay.source import Source, SourceSpec


@dataclass(frozen=True, slots=True)
class Placed:
    """A message, its partition, and what share of the source has been read with it."""

    partition: int
    message: Message
    share: float


def file_messages(path: Path, settings: Settings, wanted: frozenset[int]) -> Iterator[Placed]:
    """The messages of a Parquet file of ticks, for the wanted partitions.

    Raises
    ------
    SourceError
        When it cannot be read as ticks.
    """
    source = Source(SourceSpec((path,), format="parquet"))
    high_ns, number = 0, 0
    for number, block in enumerate(source.blocks(), start=1):
        high_ns = max(high_ns, int(block.columns["ts_event_ns"].max()))
        share = source.files[0].bad.share
        for partition, frame in _by_partition(block, settings.partitions, wanted):
            yield Placed(partition, Message(number - 1, 0, [VERSION_HEADER], frame), share)
    if not high_ns:
        return
    close = [VERSION_HEADER, (H_WATERMARK, str(closing_ns(settings)(high_ns)).encode())]
    for partition in sorted(wanted):
        yield Placed(partition, Message(number, 0, close, b""), 1.0)


def _by_partition(block: Ticks, partitions: int, wanted: frozenset[int]) -> Iterator[tuple[int, bytes]]:
    homes = np.array([partition_of(symbol, partitions) for symbol in block.symbols], np.int64)
    of_rows = homes[block.columns["symbol"]]
    for partition in sorted(wanted):
        rows = np.flatnonzero(of_rows == partition)
        if len(rows):
            yield partition, frame_of_rows(block, rows)


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets of a partition to compute: ``first <= offset < end``.

    Attributes
    ----------
    whole_history
        Whether the state before ``first`` is the stream's own: a checkpoint's, or that of an empty log.
    """

    partition: int
    first: int
    end: int
    whole_history: bool


async def begin(
    settings: Settings,
    reader: LogReader,
    state: Partition,
    bounds: tuple[int | None, int | None],
    from_ns: int | None,
) -> Range:
    """Bring a new partition's state as near to the beginning as a checkpoint allows; say what is to be read.

    Parameters
    ----------
    bounds
        First and last offset wanted; None for the log's own. With a first one the state begins empty there.
    from_ns
        Event time from which on windows are wanted; a checkpoint beyond it is of no use.
    """
    number = state.config.partition
    log_first, log_end = await reader.bounds(topics.name(settings, topics.TICKS), number)
    first, last = bounds
    end = log_end if last is None else min(log_end, last + 1)
    if first is not None:
        return Range(number, max(first, log_first), end, whole_history=max(first, log_first) == 0)
    if from_ns is not None:
        checkpoint = await checkpoints.load(settings, reader, number)
        if checkpoint is not None and checkpoint.next_offset <= end:
            ahead = Partition(state.config)
            try:
                ahead.restore(checkpoint.state)
            except CheckpointError:
                pass  # of other windows or signals than these
            else:
                if ahead.watermark_ns is not None and ahead.watermark_ns <= from_ns:
                    state.restore(checkpoint.state)
                    return Range(number, checkpoint.next_offset, end, whole_history=True)
    return Range(number, log_first, end, whole_history=log_first == 0)


async def topic_messages(settings: Settings, reader: LogReader, wanted: Range) -> AsyncIterator[Placed]:
    """The messages of a range, as the log has them."""
    name = topics.name(settings, topics.TICKS)
    length = max(wanted.end - wanted.first, 1)
    async for record in reader.read(name, wanted.partition, wanted.first, wanted.end):
        message = Message(record.offset, record.timestamp, list(record.headers), record.value)
        yield Placed(wanted.partition, message, (record.offset + 1 - wanted.first) / length)
