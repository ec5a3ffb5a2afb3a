"""A stream reader that copies what it reads once instead of three times.

The Kafka client reads answers of several megabytes through asyncio's StreamReader, which adds every piece
of 256 KB to a growing buffer and copies the whole out again at the end, with the interpreter's lock held:
a third of what a worker that is behind can do. Here the pieces are kept as they came and joined once.

The client offers no place to choose its reader, so :func:`install` puts this one where the client looks for
asyncio's. Only workers do so; everything else, the bare consumer of the benchmarks above all, runs the
client as it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import ModuleType
from typing import Any

import aiokafka.conn

MOST_BYTES = 64 * 1_048_576
"""Bytes kept before the socket is told to pause; more than an answer has."""


class ChunkReader(asyncio.StreamReader):
    """Reads exact numbers of bytes, which is all that the Kafka client asks for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._chunks: deque[bytes] = deque()
        self._held = 0

    def feed_data(self, data: Any) -> None:
        """Keep a piece; the transport hands over bytes that nobody else has."""
        if not data:
            return
        self._chunks.append(data)
        self._held += len(data)
        asyncio_reader: Any = self  # its attributes are private, and asyncio's own protocol relies on them
        asyncio_reader._wakeup_waiter()
        transport = asyncio_reader._transport
        if transport is not None and not asyncio_reader._paused and self._held > MOST_BYTES:
            transport.pause_reading()
            asyncio_reader._paused = True

    def at_eof(self) -> bool:
        """Whether the other side has closed and everything is read."""
        return bool(self._eof) and not self._held  # type: ignore[attr-defined]

    async def readexactly(self, n: int) -> bytes:
        """The next ``n`` bytes; IncompleteReadError when the other side closes before."""
        failed = self.exception()
        if failed is not None:
            raise failed
        while self._held < n:
            if self._eof:  # type: ignore[attr-defined]
                rest = self._take(self._held)
                raise asyncio.IncompleteReadError(rest, n)
            await self._wait_for_data("readexactly")  # type: ignore[attr-defined]
        return self._take(n)

    def _take(self, n: int) -> bytes:
        self._held -= n
        pieces: list[bytes] = []
        while n:
            piece = self._chunks.popleft()
            if len(piece) > n:
                self._chunks.appendleft(piece[n:])
                piece = piece[:n]
            pieces.append(piece)
            n -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _AsyncioWithChunkReader(ModuleType):
    """The asyncio module, but for its stream reader."""

    StreamReader = ChunkReader

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


def install() -> None:
    """Let every Kafka connection made from now on read through a :class:`ChunkReader`."""
    aiokafka.conn.asyncio = _AsyncioWithChunkReader("asyncio")
