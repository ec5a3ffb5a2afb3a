"""Keeps the read model up to date: tails the topics, and goes on where it was when the broker was away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

from orchestrator.api.model import LATEST, TOPICS, Place, ReadModel
from orchestrator.api.model.decisions import KEPT
from orchestrator.ledger_bases import bases
from schemas.errors import TapestreamError
from schemas.settings import Settings
from streams import topics
from streams.admin import ensure_topics
from streams.clients import wait_for_broker
from streams.json_sender import JsonSender, json_sender
from streams.log_reader import LogReader
from streams.tail import tail

log = logging.getLogger("tapestream.api")

RETRY_S = 1.0
SEND_TIMEOUT_S = 5.0
LOOK_UP_TIMEOUT_S = 5.0
BROKER_WAIT_S = 86_400.0


class Link:
    """The API's connection to the log: a sender, and the read model that it keeps.

    Attributes
    ----------
    sender
        None while the broker is away.
    """

    def __init__(self, settings: Settings, model: ReadModel) -> None:
        self.settings = settings
        self.model = model
        self.sender: JsonSender | None = None
        self._lookup = asyncio.Lock()

    async def run(self) -> None:
        """Read until cancelled; trouble is logged and tried again."""
        said = ""
        while True:
            try:
                await self._session(log.warning)
            except TapestreamError as exc:
                if str(exc) != said:
                    log.warning("trying again: %s", exc)
                    said = str(exc)
            except Exception:
                log.exception("reading the topics failed; trying again")
            await asyncio.sleep(RETRY_S)

    async def _session(self, on_wait: Callable[[str], None]) -> None:
        await wait_for_broker(self.settings, timeout_s=BROKER_WAIT_S, on_wait=on_wait)
        await ensure_topics(self.settings, *TOPICS)
        async with AsyncExitStack() as stack:
            self.sender = await stack.enter_async_context(json_sender(self.settings, SEND_TIMEOUT_S))
            stack.callback(self._hang_up)
            if not self.model.has_begun:
                self.model.begin(await bases(self.settings, decisions=KEPT))
            reading = await stack.enter_async_context(
                tail(self.settings, TOPICS, self.model.positions, LATEST)
            )
            async for batch in reading.batches():
                self.model.fold(batch)
                await asyncio.sleep(0)  # a full batch is there at once, and requests wait meanwhile
                if reading.caught_up and not self.model.caught_up:
                    self.model.caught_up = True
                    log.info("the topics are read: %d tasks", len(self.model.tasks))

    def _hang_up(self) -> None:
        self.sender = None

    async def message(self, place: Place | None) -> bytes | None:
        """A message of the log, from memory or read again; None when the log no longer has it."""
        if place is None:
            return None
        found = self.model.tasks.payload(place)
        if found is not None:
            return found
        async with self._lookup, asyncio.timeout(LOOK_UP_TIMEOUT_S), LogReader(self.settings) as reader:
            name = topics.name(self.settings, place.base)
            begin, _ = await reader.bounds(name, place.partition)
            if place.offset < begin:
                return None
            async for record in reader.read(name, place.partition, place.offset, place.offset + 1):
                return bytes(record.value)
        return None
