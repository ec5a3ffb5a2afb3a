"""The allocation log as it grows, folded: what orchestrators and agents know, and how they add to it.

A record counts when it has come back from the log and the fold has accepted it; so whoever writes waits
with :attr:`LedgerLog.in_flight` for its own records before it goes on. Reading begins after the newest usable
snapshot, else at the log's start (:mod:`orchestrator.ledger_bases`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self

from orchestrator.ledger import ACCEPTED, State, Verdict
from orchestrator.ledger_bases import PARTITION, bases
from schemas import allocations
from schemas.allocations import Record
from schemas.errors import LedgerError
from schemas.settings import Settings
from streams import topics
from streams.log_writer import LogWriter
from streams.partition_tail import PartitionTail

log = logging.getLogger(__name__)

FOLD_AT_ONCE = 2_000


class Entry(NamedTuple):
    """A record of the log and whether it counts."""

    offset: int
    record: Record
    verdict: Verdict

    @property
    def counts(self) -> bool:
        """Whether the fold accepted it."""
        return self.verdict is ACCEPTED


class LedgerLog:
    """One domain's log, followed; an async context manager.

    Parameters
    ----------
    woken
        Set when records have arrived.

    Attributes
    ----------
    state
        The fold of everything up to ``folded``. Never changed but by :meth:`fold`.
    folded
        The offset of the last record that was folded; -1 before any.
    """

    def __init__(
        self, settings: Settings, domain: str, writer: LogWriter, woken: asyncio.Event | None = None
    ) -> None:
        self.domain = domain
        self.state = State(domain)
        self.folded = -1
        self.unreadable = 0
        self._settings = settings
        self._writer = writer
        self._woken = woken or asyncio.Event()
        self._written = -1
        self._stack = AsyncExitStack()
        self._tail: PartitionTail

    async def __aenter__(self) -> Self:
        known = await bases(self._settings, self.domain)
        if self.domain in known:
            self.state, self.folded = known[self.domain]
        starts = {PARTITION: self.folded + 1}
        self._tail = PartitionTail(self._settings, topics.ALLOCATIONS, starts=starts, woken=self._woken)
        await self._stack.enter_async_context(self._tail)
        self.folded = max(self.folded, self._tail.starts[PARTITION] - 1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def caught_up(self) -> bool:
        """Whether all that was on the log on entering has been folded."""
        return self.folded >= self._tail.ends[PARTITION] - 1

    @property
    def in_flight(self) -> bool:
        """Whether something that we wrote has not come back yet."""
        return self._written > self.folded

    def fold(self) -> list[Entry]:
        """Take in what has arrived, a bounded part of it at once."""
        entries = []
        for message in self._tail.take(FOLD_AT_ONCE):
            self.folded = message.offset
            try:
                record = allocations.decode(message.value or b"")
            except LedgerError as exc:
                self.unreadable += 1
                log.warning("%s@%d is passed over: %s", topics.ALLOCATIONS, message.offset, exc.problem)
                continue
            entries.append(Entry(message.offset, record, self.state.apply(record)))
        return entries

    async def write(self, records: Sequence[Record]) -> None:
        """Propose records, in their order; they count only as the fold says once they are back.

        Raises
        ------
        DeliveryError
            When the broker does not take them all.
        """
        if not records:
            return
        payloads = [allocations.encode(record) for record in records]
        last = await self._writer.write(topics.ALLOCATIONS, self.domain, payloads, partition=PARTITION)
        self._written = max(self._written, last)
