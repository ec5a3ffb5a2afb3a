"""Sending JSON messages one by one, each acknowledged: for the slow topics that people read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schemas import codec
from schemas.messages import Message
from schemas.settings import Settings
from streams.log_writer import LogWriter, log_writer


class JsonSender:
    """Sends messages; made by :func:`json_sender`."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    async def send(self, base: str, key: str, *messages: Message) -> None:
        """Send messages of one key and return when the broker has them all.

        Parameters
        ----------
        base
            The topic's name in the table of topics.

        Raises
        ------
        DeliveryError
            When the broker refuses one, or does not answer in time.
        """
        await self._writer.write(base, key, [codec.dumps(message) for message in messages])


@asynccontextmanager
async def json_sender(settings: Settings, request_timeout_s: float = 40.0) -> AsyncIterator[JsonSender]:
    """A sender, until the block ends.

    Raises
    ------
    BrokerUnavailable
        When nobody answers.
    """
    async with log_writer(settings, request_timeout_s) as writer:
        yield JsonSender(writer)
