"""Latency added to a bare relay: 200 frames a second of 500 ticks, frame in to output out.

The relay is an aiokafka consumer and producer in one process, the same two hops without any work: it
sends on what it reads. Frames are 100 ms of event time each and windows 100 ms long, so that every frame
closes windows and the worker answers every frame. Both answer the same paced load, by turns.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from confluent_kafka import Producer, TopicPartition

from bench.lab import Worker, forget_outputs, lab
from schemas.frame import encode_frame
from schemas.headers import H_ORIGIN, VERSION_HEADER, Origin, get_origin
from schemas.settings import Settings
from streams import admin, clients, topics
from streams.market.config import DEFAULT_START_NS, MarketConfig
from streams.market.market import SimulatedMarket

FRAMES_PER_S = 200
TICKS = 500
WARM_UP = 40
"""Frames before those that are timed."""


def run(seconds: float = 12.0, rounds: int = 7, seed: int = 3) -> dict[str, Any]:
    """Measure; starts a broker of its own.

    Returns
    -------
    dict
        Milliseconds: ``relay_p50_ms``, ``relay_p99_ms``, ``ours_p50_ms``, ``ours_p99_ms`` (medians of the
        rounds) and ``added_p99_ms`` (median of the differences of neighbouring rounds).
    """
    found: dict[str, list[tuple[float, float]]] = {"relay": [], "ours": []}
    with lab(partitions=1, windows_ms=(100, 1_000)) as settings:
        asyncio.run(admin.ensure_topics(settings))
        frames = _frames(round(seconds * FRAMES_PER_S), seed)
        _relay(settings, frames)  # a new broker compiles itself for half a minute
        for number in range(rounds):
            found["relay"].append(_relay(settings, frames))
            found["ours"].append(_ours(settings, frames, number))
    result: dict[str, Any] = {}
    for name, pairs in found.items():
        result[f"{name}_p50_ms"] = round(statistics.median(p50 for p50, _ in pairs), 3)
        result[f"{name}_p99_ms"] = round(statistics.median(p99 for _, p99 in pairs), 3)
    added = [o[1] - r[1] for o, r in zip(found["ours"], found["relay"], strict=True)]
    result["added_p99_ms"] = round(statistics.median(added), 3)
    result |= {"frames_per_s": FRAMES_PER_S, "ticks_per_frame": TICKS, "rounds": rounds, "seconds": seconds}
    return result


def _frames(count: int, seed: int) -> list[bytes]:
    market = SimulatedMarket(MarketConfig(20, seed=seed, start_ns=DEFAULT_START_NS, rate_per_s=200.0))
    frames = []
    for number in range(count):
        ticks = market.block(n_ticks=TICKS)
        # Same ticks, but each frame is spread over its own 100 ms of event time.
        ticks.columns["ts_event_ns"] = DEFAULT_START_NS + number * 100_000_000 + np.arange(TICKS) * 199_000
        ticks.columns["ts_recv_ns"] = ticks.columns["ts_event_ns"] + 1_000
        frames.append(encode_frame(ticks))
    return frames


def _relay(settings: Settings, frames: list[bytes]) -> tuple[float, float]:
    asyncio.run(_fresh(settings))
    program = (
        "import asyncio\nfrom bench.latency import relay\nfrom schemas.settings import load_settings\n"
        "asyncio.run(relay(load_settings()))"
    )
    child = subprocess.Popen([sys.executable, "-c", program], env=settings.environment(os.environ))
    try:
        return _drive(settings, frames)
    finally:
        child.terminate()
        child.wait()


def _ours(settings: Settings, frames: list[bytes], number: int) -> tuple[float, float]:
    asyncio.run(_fresh(settings))
    own = settings.model_copy(update={"group": f"latency-{number}"})
    with Worker(own, f"latency-{number}"):
        return _drive(settings, frames)


async def _fresh(settings: Settings) -> None:
    await admin.delete_topics(settings, topics.TICKS)
    await forget_outputs(settings)


async def relay(settings: Settings) -> None:
    """Send on every message of the ticks to the features, with its offset in a header, until killed."""
    source, target = topics.name(settings, topics.TICKS), topics.name(settings, topics.FEATURES)
    consumer = clients.consumer(settings, source)
    producer = clients.producer(settings, linger_ms=0)
    await consumer.start()
    await producer.start()
    while True:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                origin = str(Origin(topics.TICKS, 0, record.offset)).encode()
                await producer.send(target, record.value, partition=0, headers=[(H_ORIGIN, origin)])


def _drive(settings: Settings, frames: list[bytes]) -> tuple[float, float]:
    """Send the frames at their pace; milliseconds from each send to its first answer: p50, p99.

    By the compiled client, so that the one who measures takes as little of the cores as can be.
    """
    name, answers = topics.name(settings, topics.TICKS), topics.name(settings, topics.FEATURES)
    log = logging.getLogger(__name__)
    producer = Producer({"bootstrap.servers": settings.broker, "linger.ms": 0, "acks": "all"}, logger=log)
    consumer = clients.compiled_consumer(settings, log)
    consumer.assign([TopicPartition(answers, 0, 0)])
    sent: dict[int, float] = {}
    answered: dict[int, float] = {}
    done = threading.Event()

    def listen() -> None:
        while not done.is_set():
            message = consumer.poll(0.2)
            now = time.perf_counter()
            if message is not None and message.error() is None:
                origin = get_origin(message.headers() or ())
                if origin is not None:
                    answered.setdefault(origin.offset, now)

    def send(number: int) -> None:
        producer.produce(name, frames[number], partition=0, headers=[VERSION_HEADER])
        producer.poll(0)

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        _warm_up(send, answered)
        start = time.perf_counter()
        for number in range(WARM_UP, len(frames)):
            wait = start + (number - WARM_UP) / FRAMES_PER_S - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            sent[number] = time.perf_counter()
            send(number)
        producer.flush(10)
        time.sleep(1.0)
    finally:
        done.set()
        listening.join()
        consumer.close()
    # The first frames after the warm-up still settle; the last may still be under way.
    waits = [1e3 * (answered[n] - at) for n, at in sent.items() if n in answered][200:]
    if len(waits) < 0.95 * (len(sent) - 200):
        raise RuntimeError(f"only {len(waits)} of {len(sent)} frames were answered")
    p50, p99 = np.percentile(waits, [50, 99])
    return float(p50), float(p99)


def _warm_up(send: Callable[[int], None], answered: dict[int, float]) -> None:
    """Send the first frames one by one until whoever answers is up."""
    for number in range(WARM_UP):
        send(number)
        deadline = time.monotonic() + (60.0 if number == 1 else 0.2)
        while not answered and time.monotonic() < deadline:
            time.sleep(0.01)
