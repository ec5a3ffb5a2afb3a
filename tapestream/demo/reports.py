"""Asking the workers for their accounting, and the producer's log for what it sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from tapestream.demo.ledger import Report

PATIENCE_S = 2.0


class WorkerPages:
    """The pages of the workers, asked over HTTP; what a worker last said stands until it says more.

    Attributes
    ----------
    silent
        Names of the workers that did not answer when they were last asked for their accounting.
    """

    def __init__(self) -> None:
        self.silent: frozenset[str] = frozenset()
        self._session: aiohttp.ClientSession | None = None
        self._last: dict[str, Report] = {}

    async def __aenter__(self) -> WorkerPages:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def reports(self, pages: Mapping[str, str]) -> list[Report]:
        """The accounting of each worker, by the addresses of their pages."""
        answers = dict(await self._ask(pages, "/accounting"))
        for name, answer in answers.items():
            if answer is not None and "partitions" in answer:  # others have pages too
                self._last[name] = answer
        self.silent = frozenset(name for name in self._last if answers.get(name) is None)
        return list(self._last.values())

    async def ready(self, pages: Mapping[str, str]) -> bool:
        """Whether every worker is ready."""
        answers = await self._ask(pages, "/ready")
        return bool(answers) and all(answer is not None and answer["ready"] for _, answer in answers)

    async def _ask(self, pages: Mapping[str, str], path: str) -> list[tuple[str, Any]]:
        answers = await asyncio.gather(*(self._get(address + path) for address in pages.values()))
        return list(zip(pages, answers, strict=True))

    async def _get(self, url: str) -> Any:
        """The JSON that the page answers with; None when it does not."""
        assert self._session is not None
        try:
            async with self._session.get(url) as response:
                return await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None


def sent_of(log_file: Path) -> int | None:
    """How many ticks a producer says that it sent: in the last JSON object of its output."""
    if not log_file.is_file():
        return None
    for line in reversed(log_file.read_text(errors="replace").splitlines()):
        if not line.startswith("{"):
            continue
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said.get("ticks"), int):
            return int(said["ticks"])
    return None
