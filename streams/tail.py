"""Several topics read from their beginnings and then as they grow, outside of any consumer group.

For read models: what is kept of a topic is read once at the start, and a reader that lost the broker goes on
where it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BrokerUnavailable
from schemas.settings import Settings
from streams import clients
from streams.placed import Placed, placed

POLL_MS = 250
"""How long a batch waits for records; an empty one then tells the reader that the log is quiet."""

MAX_RECORDS = 100
"""Records a batch, so that whoever folds them leaves the event loop to others every few milliseconds."""


class Entry(NamedTuple):
    """A record of a topic of ours, with the topic's name in the table."""

    base: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


Positions = Mapping[tuple[str, int], int]
"""(topic's name in the table, partition) to the next offset to read."""


class Tail:
    """Batches of records, in order within each partition; made by :func:`tail`.

    Knows when all records have been handed out that were there when it began.
    """

    def __init__(self, placed: Placed) -> None:
        self._consumer, self._bases = placed.consumer, placed.bases
        self._missing = {part: end for part, end in placed.ends.items() if placed.starts[part] < end}

    @property
    def caught_up(self) -> bool:
        """Whether what was there at the beginning has been read."""
        return not self._missing

    async def batches(self) -> AsyncIterator[list[Entry]]:
        """Records as they come; an empty batch when there are none for a while.

        Raises
        ------
        BrokerUnavailable
            When the client gives up.
        """
        try:
            while True:
                found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
                batch = [
                    Entry(
                        self._bases[part.topic],
                        part.partition,
                        record.offset,
                        record.timestamp,
                        record.key,
                        record.value,
                    )
                    for part, records in found.items()
                    for record in records
                ]
                await self._check_off()
                yield batch
        except KafkaError as exc:
            raise BrokerUnavailable(f"reading stopped: {exc}", clients.START_BROKER) from exc

    async def _check_off(self) -> None:
        for part in [part for part, end in self._missing.items() if await self._position(part) >= end]:
            del self._missing[part]

    async def _position(self, part: TopicPartition) -> int:
        return int(await self._consumer.position(part))


@asynccontextmanager
async def tail(
    settings: Settings,
    bases: tuple[str, ...],
    start_at: Positions | None = None,
    latest: Mapping[str, int] | None = None,
) -> AsyncIterator[Tail]:
    """Read topics from their beginnings, or from ``start_at`` where that is still on the log.

    Parameters
    ----------
    latest
        Topics of which only so many of each partition's last records matter.

    Raises
    ------
    TopicError
        When a topic is absent.
    BrokerUnavailable
        When no broker answers.
    """

    def begin(base: str, partition: int, first: int, end: int) -> int:
        wanted = _start((start_at or {}).get((base, partition)), first, end)
        return max(wanted, end - latest[base]) if latest and base in latest else wanted

    async with placed(settings, bases, begin) as found:
        yield Tail(found)


def _start(wanted: int | None, first: int, end: int) -> int:
    """Where to begin; a topic that was made anew is shorter than what was read of the old one."""
    return first if wanted is None or not first <= wanted <= end else wanted
