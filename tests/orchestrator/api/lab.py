"""An API whose log is in memory: what it sends comes back to it as it would from Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from orchestrator.api.app import Api, make_api
from orchestrator.api.connections import PatientToAPoint
from orchestrator.api.gate import Limits
from orchestrator.api.server import served
from schemas import codec
from schemas.errors import DeliveryError
from schemas.messages import Message
from schemas.settings import Settings
from streams.tail import Entry

TOKEN = "a-token-of-the-tests"
NOW_MS = 1_700_000_000_000


class Log:
    """A log in memory; a small true implementation of the sender and the tail."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.entries: list[Entry] = []
        self.delivers = True
        self.echoes = True

    async def send(self, base: str, key: str, *messages: Message) -> None:
        if not self.delivers:
            raise DeliveryError(f"{base}: {key} was not delivered")
        for message in messages:
            self.put(base, codec.dumps(message), key)

    def put(self, base: str, payload: bytes, key: str = "k", *, partition: int = 0) -> Entry:
        offset = sum((entry.base, entry.partition) == (base, partition) for entry in self.entries)
        entry = Entry(base, partition, offset, NOW_MS + len(self.entries), key.encode(), payload)
        self.entries.append(entry)
        if self.echoes:
            self._api.model.fold([entry])
        return entry


@dataclass
class Client:
    """Somebody who has the token."""

    api: Api
    log: Log
    address: str
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, **options: object) -> tuple[int, object]:
        async with self.session.request(method, self.address + path, **options) as reply:  # type: ignore[arg-type]
            return reply.status, await reply.json(content_type=None)


def offline_settings(**more: object) -> Settings:
    """Settings of an API that never finds its broker."""
    return Settings(broker="127.0.0.1:1", api_token=TOKEN, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def running(
    limits: Limits | None = None, connections: type[PatientToAPoint] = PatientToAPoint
) -> AsyncIterator[Client]:
    """An API that listens on a free port and has read its empty log."""
    api = make_api(offline_settings(), limits)
    log = Log(api)
    api.link.sender = log  # type: ignore[assignment]
    api.model.caught_up = True
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        served(api, "127.0.0.1", 0, connections) as address,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        yield Client(api, log, address, session)
