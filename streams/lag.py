"""How far a consumer group is behind, in messages and in seconds, for any group and any topics.

Seconds are the age of the oldest record that the group has not committed, by the record's own timestamp:
0 when it has read everything, and growing when it stands still, even if nothing new arrives.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BrokerUnavailable, TapestreamError
from schemas.settings import Settings
from streams import admin, clients, topics

PEEK_S = 5.0
"""How long to wait for the oldest uncommitted records; those that do not come in time have no age."""


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """Where a group stands in one partition.

    Parameters
    ----------
    committed
        The next offset to read that the group has committed, None before its first commit.
    start, end
        The first offset that the log still has, and the offset that the next record will get.
    messages
        Offsets between the committed one and the end; more than the records there are if the topic is
        compacted.
    seconds
        Age of the oldest uncommitted record; None when it could not be read.
    lost
        Offsets that the log dropped before the group committed them.
    """

    topic: str
    partition: int
    committed: int | None
    start: int
    end: int
    messages: int
    seconds: float | None
    lost: int = 0


def lag_of(
    topic: str, partition: int, committed: int | None, start: int, end: int, oldest_ms: int | None, at_ms: int
) -> PartitionLag:
    """The lag of one partition from what the broker says, at the time ``at_ms``."""
    position = start if committed is None else committed
    lost = max(0, start - position)
    # A topic that was made anew ends before the offset that was committed on the old one.
    messages = max(0, end - max(position, start))
    seconds: float | None = 0.0
    if messages:
        seconds = None if oldest_ms is None else max(0, at_ms - oldest_ms) / 1_000
    return PartitionLag(topic, partition, committed, start, end, messages, seconds, lost)


async def group_lag(
    settings: Settings, group: str, *names: str, at_ms: int | None = None
) -> list[PartitionLag]:
    """The lag of every partition that matters to a group.

    Parameters
    ----------
    settings
        Where the broker is.
    group
        The group's full name, as :func:`streams.topics.group` gives it.
    names
        Full names of topics; the ones that the group has committed on when none is given.
    at_ms
        The time to which ages are counted; now when absent.

    Raises
    ------
    TapestreamError
        When no topic is named and the group has committed nothing.
    BrokerUnavailable
        When the broker does not answer.
    """
    async with admin.admin_client(settings) as client:
        committed = await admin.committed_offsets(client, group)
        if not committed and not names:
            known = sorted(name for name, *_ in await client.list_consumer_groups())
            raise TapestreamError(
                f"{group}: this group has committed nothing",
                f"groups of this Kafka: {', '.join(known) or 'none'}; choose with --group",
            )
        wanted = list(names) or sorted({partition.topic for partition in committed})
        described = await client.describe_topics(wanted)
        partitions = [
            TopicPartition(topic["topic"], part["partition"])
            for topic in described
            for part in sorted(topic["partitions"], key=lambda part: int(part["partition"]))
        ]
    return await _measure(settings, partitions, committed, at_ms)


async def _measure(
    settings: Settings, partitions: list[Any], committed: Mapping[Any, int], at_ms: int | None
) -> list[PartitionLag]:
    if not partitions:
        return []
    # One record of each partition is wanted, and a fetch brings at least one batch whatever its size.
    reader = clients.consumer(settings, max_partition_fetch_bytes=1, fetch_max_wait_ms=50)
    try:
        await reader.start()
        reader.assign(partitions)
        starts = await reader.beginning_offsets(partitions)
        ends = await reader.end_offsets(partitions)
        positions = {part: max(committed.get(part, 0), starts[part]) for part in partitions}
        behind = {part: at for part, at in positions.items() if ends[part] > at}
        oldest_ms = await _timestamps(reader, behind)
    except (KafkaError, TimeoutError) as exc:
        raise BrokerUnavailable(f"Kafka at {settings.broker}: {exc}", clients.START_BROKER) from exc
    finally:
        await reader.stop()
    now_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    return [
        lag_of(
            part.topic,
            part.partition,
            committed.get(part),
            starts[part],
            ends[part],
            oldest_ms.get(part),
            now_ms,
        )
        for part in partitions
    ]


async def _timestamps(reader: Any, positions: Mapping[Any, int]) -> dict[Any, int]:
    """The timestamp of the first record at or after each position."""
    found: dict[Any, int] = {}
    if not positions:
        return found
    reader.assign(list(positions))
    for part, offset in positions.items():
        reader.seek(part, offset)
    deadline = time.monotonic() + PEEK_S
    while len(found) < len(positions) and time.monotonic() < deadline:
        missing = [part for part in positions if part not in found]
        for part, records in (
            await reader.getmany(*missing, timeout_ms=500, max_records=len(missing))
        ).items():
            found[part] = records[0].timestamp
            reader.pause(part)
    return found


def worst(lags: Iterable[PartitionLag]) -> tuple[int, float | None]:
    """Messages behind in all, and the greatest age; None for the age when one of them is not known."""
    rows = list(lags)
    ages = [row.seconds for row in rows]
    known = [age for age in ages if age is not None]
    return sum(row.messages for row in rows), None if len(known) < len(ages) else max(known, default=0.0)


def of_workers(settings: Settings) -> tuple[str, str]:
    """The group of the workers and the topic that it reads, by their full names."""
    return topics.group(settings), topics.name(settings, topics.TICKS)
