"""What a worker must know of the log before it computes a partition: state, gap, outputs already there."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.headers import get_origin
from schemas.settings import Settings
from streams import checkpoints, topics
from streams.checkpoints import Checkpoint
from streams.log_reader import LogReader

OUTPUT_TOPICS = (
    topics.FEATURES,
    topics.BARS,
    topics.INDICATORS,
    topics.SIGNALS,
    topics.QUALITY,
    topics.DEAD_LETTERS,
)
"""Where the tick worker writes."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How to go on with a partition of the ticks.

    Attributes
    ----------
    checkpoint
        The state to start from; None to start from nothing.
    next_offset
        The first offset to compute.
    lost
        Offsets that the state needs and the log no longer has: [first, last + 1), or None.
    emitted
        (offset, index) of the outputs at or above ``next_offset`` that are on the log already.
    positions
        Base name of each output topic to the end of its log now.
    """

    checkpoint: Checkpoint | None
    next_offset: int
    lost: tuple[int, int] | None
    emitted: frozenset[tuple[int, int]]
    positions: dict[str, int]


async def recover(settings: Settings, reader: LogReader, partition: int) -> Recovery:
    """Read the checkpoint of a partition, the bounds of its ticks, and the outputs since then.

    Raises
    ------
    BrokerError
        When the log cannot be read.
    """
    ticks = topics.name(settings, topics.TICKS)
    checkpoint = await checkpoints.load(settings, reader, partition)
    names = {base: topics.name(settings, base) for base in OUTPUT_TOPICS}
    bounds = await reader.all_bounds((name, partition) for name in (ticks, *names.values()))
    earliest, _ = bounds[ticks, partition]
    wanted = checkpoint.next_offset if checkpoint else earliest
    lost = (wanted, earliest) if earliest > wanted else None
    next_offset = max(wanted, earliest)
    emitted: set[tuple[int, int]] = set()
    ends: dict[str, int] = {}
    for base, name in names.items():
        begin, end = bounds[name, partition]
        start = max(begin, checkpoint.positions.get(base, 0)) if checkpoint else begin
        ends[base] = end
        async for record in reader.read(name, partition, start, end):
            origin = get_origin(record.headers)
            if origin and origin.topic == topics.TICKS and origin.partition == partition:
                emitted.add((origin.offset, origin.index))
    newer = frozenset(item for item in emitted if item[0] >= wanted)
    return Recovery(checkpoint, next_offset, lost, newer, ends)
