"""Faust's consumer, without two waits that stop a worker which is behind."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

FETCH_WAIT_MS = 20


class PromptThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """Fetches that come back soon, also when there is nothing new.

    A broker gets one fetch at a time. One for partitions that are read to their end waits there for
    something new, in Faust for 1.5 s, and the partitions that have more to read wait behind it.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class PromptConsumer(Consumer):  # type: ignore[misc]
    """Waits for room in a buffer instead of for a second.

    When every partition's buffer is full Faust's fetcher sleeps for a second, whatever happens meanwhile.
    With frames the buffers run empty within 50 ms, and a worker that is behind would stand idle for most of
    its time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = asyncio.Event()

    def _new_consumer_thread(self) -> PromptThread:
        return PromptThread(self, loop=self.loop, beacon=self.beacon)

    def on_buffer_drop(self, tp: Any) -> None:
        """There is room again."""
        super().on_buffer_drop(tp)
        self._room.set()

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        if self.flow_active and self._buffered_partitions and not self._get_active_partitions():
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._room.wait()
        return await super()._wait_next_records(timeout)  # type: ignore[no-any-return]


def use_prompt_consumer(app: faust.App) -> None:
    """Let the application make its consumer of this class; call it before the application starts."""
    app.transport.Consumer = PromptConsumer
