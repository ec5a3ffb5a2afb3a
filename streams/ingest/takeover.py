"""Taking JSON partitions over: where to go on, and what the outputs already hold of what follows."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.settings import Settings
from streams import admin, topics
from streams.ingest.resume import AlreadyWritten, Note, tail_start
from streams.log_reader import LogReader

log = logging.getLogger("tapestream.ingest")


@dataclass(frozen=True, slots=True)
class Start:
    """Where to go on in a partition, and what of the messages from there on is written already."""

    offset: int
    written: AlreadyWritten | None


class TakeOver:
    """Asks the log; keeps nothing.

    Parameters
    ----------
    settings
        Where the log is.
    group
        Full name of the consumer group.
    consumer
        Its member, which has the partitions.
    """

    def __init__(self, settings: Settings, group: str, consumer: AIOKafkaConsumer) -> None:
        self._settings = settings
        self._group = group
        self._consumer = consumer
        self._source = topics.name(settings, topics.TICKS_JSON)
        self._ticks = topics.name(settings, topics.TICKS)
        self._dead = topics.name(settings, topics.DEAD_LETTERS)

    async def commit(self, offsets: dict[int, int]) -> None:
        """Commit next offsets by partition, and note where the outputs end. Nothing may be under way."""
        ticks = [TopicPartition(self._ticks, p) for p in range(self._settings.partitions)]
        dead = {p: TopicPartition(self._dead, p) for p in offsets}
        ends = await self._consumer.end_offsets([*ticks, *dead.values()])
        targets = tuple(ends[tp] for tp in ticks)
        notes = {p: Note(targets, ends[dead[p]]) for p in offsets}
        await self._consumer.commit(
            {TopicPartition(self._source, p): (offset, str(notes[p])) for p, offset in offsets.items()}
        )

    async def take_over(self, partitions: Iterable[int]) -> dict[int, Start]:
        """Where to go on in each partition.

        One without a usable note is committed at once with a new one, before anything is written, so that
        whoever comes after a crash knows from where to look.
        """
        tps = {p: TopicPartition(self._source, p) for p in partitions}
        begins = await self._consumer.beginning_offsets(list(tps.values()))
        ends = await self._consumer.end_offsets(list(tps.values()))
        async with admin.admin_client(self._settings) as client:
            commits = await client.list_consumer_group_offsets(self._group, partitions=list(tps.values()))
        offsets: dict[int, int] = {}
        notes: dict[int, Note] = {}
        for p, tp in tps.items():
            commit = commits.get(tp)
            offset = -1 if commit is None else commit.offset
            offsets[p] = offset if begins[tp] <= offset <= ends[tp] else begins[tp]
            if offset > ends[tp] or 0 <= offset < begins[tp]:
                log.warning(
                    "%s[%d]: committed %d, but the log holds %d to %d; going on at %d",
                    self._source, p, offset, begins[tp], ends[tp], offsets[p],
                )  # fmt: skip
            note = None if commit is None else Note.parse(commit.metadata, self._settings.partitions)
            if note is not None and 0 <= offset <= ends[tp]:
                notes[p] = note
        bases = {p: offset for p, offset in offsets.items() if p not in notes}
        if bases:
            await self.commit(bases)
        written = await self._read_tails(notes) if notes else {}
        return {
            p: Start(offset, written[p] if p in written and written[p].end > offset else None)
            for p, offset in offsets.items()
        }

    async def _read_tails(self, notes: dict[int, Note]) -> dict[int, AlreadyWritten]:
        known = {p: AlreadyWritten(p) for p in notes}
        ticks, dead = tail_start(notes)
        async with LogReader(self._settings) as reader:
            for target, start in enumerate(ticks):
                async for record in reader.rest(self._ticks, target, start):
                    for written in known.values():
                        written.note_frame(target, record.headers)
            for p, start in dead.items():
                async for record in reader.rest(self._dead, p, start):
                    known[p].note_dead_letter(record.headers)
        return known
