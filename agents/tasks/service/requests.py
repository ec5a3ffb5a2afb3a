"""The requests that grants are about: those that came by lately, and any other from the log."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from schemas import codec
from schemas.errors import FrameError, TaskError
from schemas.settings import Settings
from schemas.tasks import TaskRequest
from streams import topics
from streams.log_reader import LogReader
from streams.partition_tail import PartitionTail

KEPT = 20_000
KEPT_BYTES = 64 * 1_048_576
_ORIGIN = re.compile(r"(?P<topic>[^\[]+)\[(?P<partition>\d+)\]@(?P<offset>\d+)")

Place = tuple[int, int]
"""Partition and offset."""


class Requests:
    """Requests by where they lie on ``gpu.tasks``; an async context manager."""

    def __init__(self, settings: Settings, woken: asyncio.Event) -> None:
        self._settings = settings
        self._tail = PartitionTail(settings, topics.GPU_TASKS, woken=woken)
        self._reader = LogReader(settings)
        self._stack = AsyncExitStack()
        self._turn = asyncio.Lock()
        self._recent: OrderedDict[Place, bytes] = OrderedDict()
        self._bytes = 0

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._reader)
        await self._stack.enter_async_context(self._tail)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def take_in(self) -> None:
        """Remember what has arrived."""
        for message in self._tail.take():
            value = message.value or b""
            self._recent[message.partition, message.offset] = value
            self._bytes += len(value)
        while len(self._recent) > KEPT or self._bytes > KEPT_BYTES:
            _, value = self._recent.popitem(last=False)
            self._bytes -= len(value)

    async def get(self, task_id: str, origin: str) -> TaskRequest:
        """The request of a task.

        Parameters
        ----------
        origin
            Where it lies, as the ledger has it: ``gpu.tasks[3]@817``.

        Raises
        ------
        TaskError
            When the log does not keep it any more, or it cannot be read.
        """
        found = _ORIGIN.fullmatch(origin)
        if found is None:
            raise TaskError(f"the ledger does not say where its request lies: {origin!r}", code="TASK_ERROR")
        place = (int(found["partition"]), int(found["offset"]))
        value = self._recent.get(place)
        if value is None:
            value = await self._read(place)
        if value is None:
            raise TaskError(f"its request at {origin} is not kept any more", "submit it again", "TASK_ERROR")
        try:
            return codec.decode(TaskRequest, value).model_copy(update={"task_id": task_id})
        except (FrameError, ValidationError) as exc:
            raise TaskError(f"its request at {origin} cannot be read: {exc}", code="BAD_REQUEST") from exc

    async def _read(self, place: Place) -> bytes | None:
        name = topics.name(self._settings, topics.GPU_TASKS)
        async with self._turn:
            begin, end = await self._reader.bounds(name, place[0])
            if not begin <= place[1] < end:
                return None
            async for message in self._reader.read(name, place[0], place[1], place[1] + 1):
                value: bytes | None = message.value
                return value
        return None
