"""How fast ``tapestream ingest`` packs one-tick JSON messages, beside a bare consumer of the same messages.

Both read the same topic with the same client and settings, by turns in one process; the figures are messages
a second of the process's own CPU time, so that the broker on the same machine does not count.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from typing import Any

import numpy as np

from bench.lab import lab
from schemas import codec
from schemas.settings import Settings
from streams import admin, clients, topics
from streams.ingest import Ingest

SYMBOLS = tuple(f"SYM{number:03d}" for number in range(200))
START_NS = 1_700_000_000_000_000_000


def run(messages: int = 400_000, rounds: int = 5, seed: int = 7, partitions: int = 4) -> dict[str, Any]:
    """Measure; starts a broker of its own.

    Parameters
    ----------
    messages
        JSON messages of one tick each.
    rounds
        How often each of the two reads them all; medians are reported.
    seed
        Of the ticks.
    partitions
        Of the topics.

    Returns
    -------
    dict
        Rates in messages a second: ``messages_per_cpu_s`` and ``bare_messages_per_cpu_s`` by CPU time,
        ``messages_per_s`` and ``bare_messages_per_s`` by the clock, and ``ratio`` of the CPU rates.
    """
    gc.set_threshold(50_000, 20, 20)  # as the command does
    with lab(partitions=partitions) as settings:
        figures: dict[str, Any] = asyncio.run(_measure(settings, messages, rounds, seed))
        return figures


async def _measure(settings: Settings, messages: int, rounds: int, seed: int) -> dict[str, Any]:
    await clients.wait_for_broker(settings)
    await admin.ensure_topics(settings, topics.TICKS, topics.TICKS_JSON, topics.DEAD_LETTERS)
    ticks = ticks_json(messages, seed)
    await send_ticks(settings, ticks)
    size = sum(len(payload) for _, payload in ticks)
    ours: list[tuple[float, float]] = []
    bare: list[tuple[float, float]] = []
    for number in range(rounds):
        bare.append(await _bare(settings, messages))
        ours.append(await _ours(settings, messages, f"bench-{number}"))
    rates = [
        statistics.median(messages / times[k] for times in runs) for runs in (ours, bare) for k in (0, 1)
    ]
    return {
        "messages": messages,
        "bytes_a_message": round(size / messages, 1),
        "rounds": rounds,
        "messages_per_cpu_s": round(rates[0]),
        "messages_per_s": round(rates[1]),
        "bare_messages_per_cpu_s": round(rates[2]),
        "bare_messages_per_s": round(rates[3]),
        "ratio": round(rates[0] / rates[2], 3),
    }


def ticks_json(messages: int, seed: int, step_ns: int = 1_000) -> list[tuple[str, bytes]]:
    """Symbols and JSON ticks, seven quotes to three trades, ``step_ns`` apart."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, len(SYMBOLS), messages).tolist()
    quotes = (rng.random(messages) < 0.7).tolist()
    prices = np.round(100 + rng.normal(0, 5, messages), 2).tolist()
    sizes = np.round(rng.exponential(3, messages), 3).tolist()
    made = []
    for k, (code, quote, price, size) in enumerate(zip(which, quotes, prices, sizes, strict=True)):
        tick: dict[str, Any] = {
            "symbol": SYMBOLS[code],
            "ts_event_ns": START_NS + step_ns * k,
            "kind": "quote" if quote else "trade",
        }
        if quote:
            tick |= {"bid_px": price, "ask_px": round(price + 0.01, 2), "bid_sz": size, "ask_sz": size}
        else:
            tick |= {"trade_px": price, "trade_sz": size, "aggressor": 1}
        made.append((SYMBOLS[code], codec.dumps(tick | {"sequence": k + 1})))
    return made


async def send_ticks(settings: Settings, ticks: list[tuple[str, bytes]]) -> None:
    """Write JSON ticks to their topic, one a message."""
    topic = topics.name(settings, topics.TICKS_JSON)
    async with clients.started(settings, clients.producer(settings, linger_ms=20)) as producer:
        for symbol, payload in ticks:
            partition = clients.partition_of(symbol, settings.partitions)
            await producer.send(topic, payload, symbol.encode(), partition)


async def _bare(settings: Settings, messages: int) -> tuple[float, float]:
    """CPU and clock seconds of a loop that only polls."""
    consumer = clients.consumer(settings, topics.name(settings, topics.TICKS_JSON))
    await consumer.start()
    cpu_s, clock_s, seen = time.process_time(), time.perf_counter(), 0
    while seen < messages:
        batch = await consumer.getmany(timeout_ms=200, max_records=8_192)
        seen += sum(map(len, batch.values()))
    spent = time.process_time() - cpu_s, time.perf_counter() - clock_s
    await consumer.stop()
    return spent


async def _ours(settings: Settings, messages: int, group: str) -> tuple[float, float]:
    """CPU and clock seconds of ingest, from its first partition to its last acknowledgement."""
    stop = asyncio.Event()
    ingest = Ingest(settings, group=group)
    running = asyncio.create_task(ingest.run(stop))
    while not (ingest.ready or running.done()):  # noqa: ASYNC110 - the totals have no event
        await asyncio.sleep(0.001)
    cpu_s, clock_s = time.process_time(), time.perf_counter()
    while ingest.totals.messages < messages and not running.done():  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    assert ingest.writer is not None
    await ingest.writer.flush()
    spent = time.process_time() - cpu_s, time.perf_counter() - clock_s
    stop.set()
    totals = await running
    assert totals.framed == messages, totals
    return spent
