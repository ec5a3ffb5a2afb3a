"""What the tests of ingest share: sending JSON, and reading everything that came of it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.structs import ConsumerRecord

from schemas import codec
from schemas.frame import decode_frame
from schemas.settings import Settings
from streams import clients, topics
from streams.ingest import Ingest
from streams.log_reader import LogReader
from tests.kafka import ROOT
from tests.waiting import until

SYMBOLS = tuple(f"S{number}" for number in range(12))
Row = tuple[str, int]
"""Symbol and sequence of a tick: its identity here."""


def tick(symbol: str, sequence: int, **more: Any) -> dict[str, Any]:
    """A trade."""
    return {
        "symbol": symbol,
        "ts_event_ns": 1_700_000_000_000_000_000 + sequence,
        "kind": "trade",
        "trade_px": "100.25",
        "trade_sz": 1,
        "sequence": sequence,
    } | more


def some_ticks(first: int, last: int) -> list[dict[str, Any]]:
    """Ticks of all symbols by turns, with the sequences ``first <= sequence < last``."""
    return [tick(SYMBOLS[k % len(SYMBOLS)], k) for k in range(first, last)]


async def send_json(
    settings: Settings,
    values: Iterable[Any],
    partition: int | None = None,
    headers: Sequence[tuple[str, bytes]] | None = None,
) -> None:
    """Send messages to ``market.ticks.json``; bytes as they are, by symbol unless a partition is given."""
    name = topics.name(settings, topics.TICKS_JSON)
    async with clients.started(settings, clients.producer(settings)) as producer:
        futures = []
        for value in values:
            target = partition
            if target is None:
                first = value[0] if isinstance(value, list) else value
                target = clients.partition_of(first["symbol"], settings.partitions)
            payload = value if isinstance(value, bytes) else codec.dumps(value)
            futures.append(await producer.send(name, payload, None, target, headers=headers))
        await asyncio.gather(*futures)


async def read_topic(settings: Settings, base: str) -> list[ConsumerRecord]:
    """All records of a topic, partition by partition."""
    found: list[ConsumerRecord] = []
    async with LogReader(settings) as reader:
        for partition in range(settings.partitions):
            name = topics.name(settings, base)
            found += [record async for record in reader.rest(name, partition)]
    return found


async def read_ticks(settings: Settings) -> dict[int, list[Row]]:
    """The ticks of ``market.ticks`` by partition, in order."""
    rows: dict[int, list[Row]] = {}
    for record in await read_topic(settings, topics.TICKS):
        ticks = decode_frame(record.value)
        symbols = [ticks.symbols[code] for code in ticks.columns["symbol"].tolist()]
        found = list(zip(symbols, ticks.columns["sequence"].tolist(), strict=True))
        rows.setdefault(record.partition, []).extend(found)
    return {partition: found for partition, found in rows.items() if found}


def by_partition(ticks: Iterable[dict[str, Any]], partitions: int) -> dict[int, list[Row]]:
    """Where ticks belong."""
    rows: dict[int, list[Row]] = {}
    for value in ticks:
        target = clients.partition_of(value["symbol"], partitions)
        rows.setdefault(target, []).append((value["symbol"], value["sequence"]))
    return rows


def repeats(rows: dict[int, list[Row]]) -> dict[Row, int]:
    """The ticks that are there more than once."""
    counts = Counter(row for found in rows.values() for row in found)
    return {row: count for row, count in counts.items() if count > 1}


@asynccontextmanager
async def ingesting(settings: Settings, **options: Any) -> AsyncIterator[Ingest]:
    """An ingest that runs while the block does, and ends in good order."""
    stop = asyncio.Event()
    ingest = Ingest(settings, **options)
    running = asyncio.create_task(ingest.run(stop))
    await until(lambda: ingest.ready or running.done())
    try:
        yield ingest
    finally:
        stop.set()
        await running


async def ingest_all(settings: Settings, messages: int, **options: Any) -> Ingest:
    """Run an ingest until it has read so many messages."""
    async with ingesting(settings, **options) as ingest:
        await until(lambda: ingest.totals.messages >= messages)
    return ingest


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as a command takes them."""
    return {
        "TAPESTREAM_BROKER": settings.broker,
        "TAPESTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "TAPESTREAM_PARTITIONS": str(settings.partitions),
        "TAPESTREAM_DATA_DIR": str(settings.data_dir),
    }


async def command(settings: Settings, *words: str) -> asyncio.subprocess.Process:
    """Start the command line."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tapestream.cli", *words,
        cwd=ROOT,
        env=os.environ | environment_of(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
