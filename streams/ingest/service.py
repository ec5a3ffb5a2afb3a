"""The ingest process: a plain batch consumer between two topics.

Invariants

- A commit follows the acknowledgement of every frame and dead letter up to it, never precedes it.
- ``ticks = framed + dead + repeated``.
- Ticks of a JSON partition reach each partition of ``market.ticks`` in order.
- One thing at a time: polls, commits and rebalances take turns under one lock.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from math import inf
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, KafkaTimeoutError
from aiokafka.structs import ConsumerRecord
from prometheus_client import CollectorRegistry

from schemas.errors import BrokerUnavailable, DeliveryError, TapestreamError
from schemas.settings import Settings
from streams import admin, clients, topics
from streams.ingest.dead import DeadLetterWriter, split_versions
from streams.ingest.metrics import IngestMetrics, Totals
from streams.ingest.resume import AlreadyWritten
from streams.ingest.takeover import TakeOver
from streams.json_lane import Block, JsonBlocks
from streams.writer import SourceRows, TickWriter

log = logging.getLogger("tapestream.ingest")

GROUP = "tapestream-ingest"
POLL_MS = 200
RETRY_S = 0.5


class Ingest(ConsumerRebalanceListener):  # type: ignore[misc]
    """Packs JSON ticks until told to stop.

    Parameters
    ----------
    settings
        Where the log is; topics and their partition counts must be as the table says.
    commit_interval_s
        How often to commit; each commit sends what waits.
    max_records
        Messages a poll, the block that is checked at once.
    max_ticks, max_age_ms
        See :class:`streams.writer.TickWriter`.
    heartbeat_ms
        After how long without ticks a partition is told the event time; None for never.
    group
        The consumer group, without the prefix.
    registry
        Where to put the metrics.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        commit_interval_s: float = 1.0,
        max_records: int = 8_192,
        max_ticks: int = 4_096,
        max_age_ms: float = 20,
        heartbeat_ms: float | None = 1_000,
        group: str = GROUP,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.totals = Totals()
        self.writer: TickWriter | None = None
        self._settings = settings
        self._commit_interval_s = commit_interval_s
        self._max_records = max_records
        self._heartbeat_s = inf if heartbeat_ms is None else heartbeat_ms / 1e3
        self._limits: dict[str, Any] = {"max_ticks": max_ticks, "max_age_ms": max_age_ms}
        self._source = topics.name(settings, topics.TICKS_JSON)
        self._group = topics.group(settings, group)
        self._turn = asyncio.Lock()
        self._fresh: set[int] = set()
        self._next: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._written: dict[int, AlreadyWritten] = {}
        self._blocks = JsonBlocks()
        self._scattered = False
        self._last_commit_s = self._last_beat_s = 0.0
        self._consumer: AIOKafkaConsumer
        self._take_over: TakeOver
        self._dead: DeadLetterWriter
        if registry is not None:
            IngestMetrics(self.totals, self._frames_and_bytes, self.lags, registry)

    @property
    def ready(self) -> bool:
        """Whether partitions are ours and taken over."""
        return bool(self._next) and not self._fresh

    def lags(self) -> dict[int, int]:
        """By partition of ours, how many messages are not yet read; only those whose end is known."""
        ends = {p: self._consumer.highwater(TopicPartition(self._source, p)) for p in self._owned()}
        return {p: max(end - self._next[p], 0) for p, end in ends.items() if end is not None}

    async def run(self, stop: asyncio.Event) -> Totals:
        """Ingest until ``stop`` is set; then flush, commit and leave the group.

        Raises
        ------
        DeliveryError
            When the broker did not take a frame in time. Nothing that it concerns is committed.
        TopicError
            When a topic is absent or has another number of partitions.
        BrokerUnavailable
            When the log cannot be read.
        """
        await admin.ensure_topics(self._settings, topics.TICKS, topics.TICKS_JSON, topics.DEAD_LETTERS)
        producer = clients.producer(self._settings, request_timeout_ms=int(clients.DELIVERY_TIMEOUT_S * 1e3))
        self._consumer = clients.consumer(self._settings, group_id=self._group)
        self._take_over = TakeOver(self._settings, self._group, self._consumer)
        self._dead = DeadLetterWriter(self._settings, producer, clients.DELIVERY_TIMEOUT_S)
        async with TickWriter(
            self._settings,
            heartbeat_ms=None,  # ours know whether more is to be read
            delivery_timeout_s=clients.DELIVERY_TIMEOUT_S,
            producer=producer,
            **self._limits,
        ) as self.writer:
            self._consumer.subscribe([self._source], listener=self)
            try:
                await self._consumer.start()
                await self._until_stopped(stop)
            except KafkaError as exc:
                raise BrokerUnavailable(f"{self._source}: {exc!r}", clients.START_BROKER) from exc
            finally:
                with suppress(KafkaError, TimeoutError):
                    await asyncio.wait_for(self._consumer.stop(), self._settings.shutdown_timeout_s)
        return self.totals

    async def _until_stopped(self, stop: asyncio.Event) -> None:
        """Ingest; once told to stop, whatever is under way has the time to shut down and no more."""
        ingesting = asyncio.create_task(self._ingest(stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({ingesting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait_for(ingesting, self._settings.shutdown_timeout_s)
        except TimeoutError:
            raise DeliveryError(
                f"{self._source}: no acknowledgement within {self._settings.shutdown_timeout_s:g} s",
                "start ingest again: it goes on from its last commit and repeats nothing",
            ) from None
        finally:
            stopping.cancel()
            ingesting.cancel()
            await asyncio.wait({ingesting, stopping})

    async def _ingest(self, stop: asyncio.Event) -> None:
        now_s = asyncio.get_running_loop().time
        self._last_commit_s = self._last_beat_s = now_s()
        while not stop.is_set():
            batch = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=self._max_records)
            async with self._turn:
                if self._fresh:
                    await self._take_over_fresh()
                    continue  # what was polled lies before the place to go on; it is read again
                for tp, records in batch.items():
                    if tp.partition in self._next:
                        await self._take_in(tp.partition, records)
                if now_s() - self._last_commit_s >= self._commit_interval_s:
                    await self._commit()
                    self._last_commit_s = now_s()
                if now_s() - self._last_beat_s >= self._heartbeat_s:
                    await self._beat()
                    self._last_beat_s = now_s()
        async with self._turn:
            await self._commit()

    async def _take_in(self, partition: int, records: list[ConsumerRecord]) -> None:
        """Check, pack and account for some messages of one partition."""
        assert self.writer is not None
        records, foreign = split_versions(records)
        block = self._blocks.read([record.value for record in records])
        offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
        origins = offsets[block.messages]
        ticks, elements = block.ticks, block.elements
        found = len(ticks)
        known = self._written.get(partition)
        if known is not None:
            codes = ticks.columns["symbol"]
            missing = known.missing(ticks.symbols, codes, origins, elements, self._settings.partitions)
            ticks, origins, elements = ticks.take(missing), origins[missing], elements[missing]
        self._scattered = self._scattered or self._strays(block, partition)
        await self.writer.write(ticks, SourceRows(partition, origins, elements))
        buried = await self._bury(partition, records, block, foreign, known)
        dead = len(block.bad) + len(foreign)
        self.totals.messages += len(records) + len(foreign)
        self.totals.ticks += found + dead
        self.totals.framed += len(ticks)
        self.totals.dead += buried
        self.totals.repeated += found - len(ticks) + dead - buried
        last = max(part[-1].offset for part in (records, [record for record, _ in foreign]) if part)
        self._next[partition] = last + 1
        if known is not None and last + 1 >= known.end:
            del self._written[partition]  # from here on everything is new

    async def _bury(
        self,
        partition: int,
        records: list[ConsumerRecord],
        block: Block,
        foreign: list[tuple[ConsumerRecord, Any]],
        known: AlreadyWritten | None,
    ) -> int:
        """Dead-letter what is bad and not yet there; how many that were."""
        bad: list[tuple[ConsumerRecord, int | None, TapestreamError, bytes | None]]
        bad = [(record, None, error, record.value) for record, error in foreign]
        bad += [(records[tick.message], tick.element, tick.error, tick.payload) for tick in block.bad]
        buried = 0
        for record, element, error, payload in bad:
            if known is not None and (record.offset, element or 0) in known.dead:
                continue
            await self._dead.send(record, element, error, payload)
            buried += 1
        return buried

    def _strays(self, block: Block, partition: int) -> bool:
        """Whether ticks are keyed so that they change partition on the way."""
        symbols = block.ticks.symbols
        used = np.unique(block.ticks.columns["symbol"]).tolist() if len(block.ticks) else []
        count = self._settings.partitions
        return any(clients.partition_of(symbols[code], count) != partition for code in used)

    async def _beat(self) -> None:
        """Tell idle partitions the event time, if nothing that is still to be read could be older.

        Where symbols change partition on the way, other instances may still have older ticks for ours.
        """
        assert self.writer is not None
        owned = self._owned()
        alone = len(owned) == self._settings.partitions
        lags = self.lags()
        caught_up = len(lags) == len(owned) and not any(lags.values())
        if self.writer.high_ns is not None and caught_up and (alone or not self._scattered):
            await self.writer.heartbeat(self.writer.high_ns, owned)

    async def _commit(self) -> None:
        """Have everything acknowledged, then say so to the group."""
        assert self.writer is not None
        await self.writer.flush()
        await self._dead.flush()
        moved = {p: end for p, end in self._next.items() if self._committed.get(p) != end}
        if not moved:
            return
        try:
            await self._take_over.commit(moved)
        except (CommitFailedError, IllegalStateError) as exc:
            log.warning(
                "%s: the group has moved on and will read on from its last commit: %s", self._group, exc
            )
        except KafkaError as exc:
            if not (exc.retriable or isinstance(exc, KafkaTimeoutError)):
                raise
            log.warning("%s: not committed yet: %r", self._group, exc)
        else:
            self._committed |= moved
            self.totals.commits += 1

    async def _take_over_fresh(self) -> None:
        """Find out how far the new partitions were brought, and go on from there."""
        fresh = self._fresh & self._owned_now()
        try:
            starts = await self._take_over.take_over(sorted(fresh))
            for partition, start in starts.items():
                self._consumer.seek(TopicPartition(self._source, partition), start.offset)
        except (CommitFailedError, IllegalStateError, BrokerUnavailable) as exc:
            log.warning("%s: trying again to take over partitions %s: %s", self._group, sorted(fresh), exc)
            await asyncio.sleep(RETRY_S)
            return
        for partition, start in starts.items():
            self._next[partition] = self._committed[partition] = start.offset
            if start.written is not None:
                self._written[partition] = start.written
        self._fresh -= fresh
        self._fresh &= self._owned_now()
        log.info("%s: reading partitions %s", self._group, sorted(self._next))

    def _owned_now(self) -> set[int]:
        return {tp.partition for tp in self._consumer.assignment()}

    def _owned(self) -> list[int]:
        return sorted(self._owned_now() & self._next.keys()) if self._next else []

    def _frames_and_bytes(self) -> tuple[int, int]:
        return (self.writer.frames, self.writer.bytes) if self.writer else (0, 0)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Bring what is under way to its end before another process may take over."""
        async with self._turn:
            await self._commit()
            for tp in revoked:
                self._next.pop(tp.partition, None)
                self._committed.pop(tp.partition, None)
                self._written.pop(tp.partition, None)
                self._fresh.discard(tp.partition)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Mark the partitions; the loop takes them over before it reads from them."""
        self._fresh |= {tp.partition for tp in assigned}
