"""Workers as processes, for tests that kill them, and what to wait for before the outputs are judged."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from schemas.settings import Settings
from schemas.ticks import Ticks
from streams import checkpoints, topics
from streams.log_reader import LogReader
from streams.writer import TickWriter
from tests.kafka import ROOT

TAPESTREAM = [sys.executable, "-m", "tapestream.cli"]


class WorkerProcess:
    """``tapestream worker`` on a free port, with its log in a file."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        folder: Path,
        *more: str,
        program: Sequence[str] = TAPESTREAM,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._port_file = folder / f"{name}.port"
        self._port_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *program,
                    "worker",
                    "--name",
                    name,
                    "--web-port",
                    "0",
                    "--port-file",
                    str(self._port_file),
                    *more,
                ],
                env=settings.environment(os.environ),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def get(self, page: str) -> Any:
        """A JSON page of the worker, or None when it does not answer."""
        if not self._port_file.exists():
            return None
        url = f"http://127.0.0.1:{self._port_file.read_text()}/{page}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return json.loads(response.read())
        except (OSError, urllib.error.URLError):
            return None

    @property
    def partitions(self) -> dict[int, dict[str, Any]]:
        """The accounting by partition."""
        page = self.get("accounting")
        return {row["partition"]: row for row in page["partitions"]} if page else {}

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=20)

    def stop(self) -> int:
        """Ask it to drain and leave; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def end(self) -> None:
        """See that nothing is left."""
        if self.process.poll() is None:
            self.kill()


async def eventually(
    holds: Callable[[], Awaitable[object] | object], what: str, timeout_s: float = 90.0
) -> None:
    """Return when the condition holds; fail, naming it, when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = holds()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        assert time.monotonic() < deadline, f"still not so after {timeout_s:g} s: {what}"
        await asyncio.sleep(0.05)


async def all_saved(settings: Settings) -> bool:
    """Whether a checkpoint holds everything that is on every partition of the ticks."""
    async with LogReader(settings) as reader:
        for partition in range(settings.partitions):
            _, end = await reader.bounds(topics.name(settings, topics.TICKS), partition)
            checkpoint = await checkpoints.load(settings, reader, partition)
            if end and (checkpoint is None or checkpoint.next_offset != end):
                return False
    return True


class Load:
    """Writes frames one after the other until it is told to stop; remembers how much it wrote."""

    def __init__(self, settings: Settings, blocks: Callable[[int], Ticks], pause_s: float = 0.02) -> None:
        self._settings = settings
        self._blocks = blocks
        self._pause_s = pause_s
        self._stop = asyncio.Event()
        self.written = 0

    async def _run(self) -> None:
        number = 0
        async with TickWriter(self._settings, max_age_ms=20) as writer:
            while not self._stop.is_set():
                block = self._blocks(number)
                await writer.write(block)
                self.written += len(block)
                number += 1
                await asyncio.sleep(self._pause_s)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Load while the block runs; everything is acknowledged when it ends."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            self._stop.set()
            await task
