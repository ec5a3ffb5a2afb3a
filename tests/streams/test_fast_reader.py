"""The chunk reader against asyncio's own: the same bytes, the same ends, and the client really uses it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.settings import Settings
from streams.fast_reader import MOST_BYTES, ChunkReader
from tests.kafka import ROOT


async def read_all(reader: asyncio.StreamReader, pieces: list[bytes], sizes: list[int]) -> list[object]:
    """Feed the pieces while reading; what came, and how it ended."""

    async def feed() -> None:
        for piece in pieces:
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.create_task(feed())
    seen: list[object] = []
    try:
        for size in sizes:
            seen.append(await reader.readexactly(size))  # noqa: PERF401 - what came before the end counts
    except asyncio.IncompleteReadError as exc:
        seen.append(("cut", exc.partial, exc.expected))
    await feeding
    return [*seen, reader.at_eof()]


@given(st.lists(st.binary(max_size=12), max_size=12), st.lists(st.integers(0, 20), max_size=12))
@settings(max_examples=300, deadline=None)
def test_it_reads_what_asyncio_reads(pieces: list[bytes], sizes: list[int]) -> None:
    async def both() -> tuple[list[object], list[object]]:
        return (
            await read_all(asyncio.StreamReader(), pieces, sizes),
            await read_all(ChunkReader(), pieces, sizes),
        )

    expected, found = asyncio.run(both())
    assert found == expected


async def test_a_broken_connection_is_raised_to_whoever_reads() -> None:
    reader = ChunkReader()
    reader.set_exception(ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError, match="gone"):
        await reader.readexactly(1)


async def test_it_tells_the_socket_to_pause_when_it_holds_too_much_and_to_go_on_when_it_waits() -> None:
    calls: list[str] = []

    class Socket(asyncio.Transport):
        def pause_reading(self) -> None:
            calls.append("pause")

        def resume_reading(self) -> None:
            calls.append("resume")

    reader = ChunkReader()
    reader.set_transport(Socket())
    reader.feed_data(bytes(MOST_BYTES + 1))
    waiting = asyncio.create_task(reader.readexactly(MOST_BYTES + 2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reader.feed_data(b"x")
    assert len(await waiting) == MOST_BYTES + 2
    assert calls[:2] == ["pause", "resume"]


PROGRAM = """
import asyncio
from schemas.settings import load_settings
from streams import clients, topics
from streams.fast_reader import ChunkReader, install

install()

async def main():
    settings = load_settings()
    name = topics.name(settings, topics.FEATURES)
    async with clients.started(settings, clients.producer(settings)) as producer:
        for size in (1, 300_000, 900_000):
            await producer.send_and_wait(name, b"x" * size, partition=0)
    async with clients.started(settings, clients.consumer(settings, name)) as consumer:
        sizes = []
        while len(sizes) < 3:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                sizes += [len(record.value) for record in records]
        readers = {type(conn._reader) for conn in consumer._client._conns.values()}
    print(sizes, readers == {ChunkReader})

asyncio.run(main())
"""


@pytest.mark.kafka
@pytest.mark.usefixtures("topics_ready")
def test_the_client_reads_through_it_once_it_is_installed(settings: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=settings.environment(os.environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.strip(), done.returncode) == ("[1, 300000, 900000] True", 0), done.stderr
