"""What the Kafka benchmarks share: a broker of their own, a filled log, a worker, a bare consumer."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition

from schemas.settings import Settings
from streams import admin, clients, topics
from streams.broker import EmbeddedBroker
from streams.feed import BATCH
from streams.log_reader import LogReader
from streams.market.config import DEFAULT_START_NS, MarketConfig
from streams.market.market import SimulatedMarket
from streams.recovery import OUTPUT_TOPICS
from streams.writer import TickWriter


@contextmanager
def lab(**options: Any) -> Iterator[Settings]:
    """Settings of a broker that lives as long as the block."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = EmbeddedBroker(folder / "kafka", port=0).start()
        try:
            yield Settings(broker=broker.address, data_dir=folder, **options)
        finally:
            broker.stop()


async def fill(
    settings: Settings, *, ticks: int, symbols: int, rate_per_s: float, frame: int, seed: int
) -> int:
    """Write a simulated market to the log in frames of ``frame`` ticks; returns the bytes."""
    await admin.ensure_topics(settings)
    market = SimulatedMarket(
        MarketConfig(symbols, seed=seed, start_ns=DEFAULT_START_NS, rate_per_s=rate_per_s)
    )
    async with TickWriter(settings, max_ticks=frame, max_age_ms=None, heartbeat_ms=None) as writer:
        while market.generated < ticks:
            await writer.write(market.block(n_ticks=min(65_536, ticks - market.generated)))
        await writer.flush()
        return int(writer.bytes)


async def forget_outputs(settings: Settings) -> None:
    """Outputs and checkpoints as if no worker had ever run."""
    gone = (*OUTPUT_TOPICS, topics.CHECKPOINTS)
    await admin.delete_topics(settings, *gone)
    await admin.ensure_topics(settings)


async def log_size(settings: Settings) -> int:
    """Messages of ticks on the log."""
    async with LogReader(settings) as reader:
        name = topics.name(settings, topics.TICKS)
        bounds = [await reader.bounds(name, p) for p in range(settings.partitions)]
    return sum(end - begin for begin, end in bounds)


def bare_seconds(settings: Settings, messages: int, client: str = "compiled") -> float:
    """Seconds in which a process that only polls reads the log, from its first record on.

    ``client`` is ``compiled``, the one that workers read by, or ``aiokafka``.
    """
    program = (
        f"import sys\nfrom bench.lab import bare_{client}\n"
        "from schemas.settings import load_settings\n"
        f"print(bare_{client}(load_settings(), int(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(messages)],
        env=settings.environment(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return float(done.stdout.split()[-1])


def bare_compiled(settings: Settings, messages: int) -> float:
    """The loop of :func:`bare_seconds` on the client that workers read by, with their options."""
    consumer = clients.compiled_consumer(settings, logging.getLogger(__name__))
    name = topics.name(settings, topics.TICKS)
    consumer.assign([TopicPartition(name, partition, 0) for partition in range(settings.partitions)])
    seen, started = 0, 0.0
    while seen < messages:
        first = consumer.poll(0.5)
        if first is not None:
            started = started or time.perf_counter()
            seen += 1 + len(consumer.consume(BATCH, 0))
    spent = time.perf_counter() - started
    consumer.close()
    return spent


def bare_aiokafka(settings: Settings, messages: int) -> float:
    """The loop of :func:`bare_seconds` on the client that keeps a worker's group, at its own best."""
    return asyncio.run(_bare_aiokafka(settings, messages))


async def _bare_aiokafka(settings: Settings, messages: int) -> float:
    consumer = clients.consumer(settings, topics.name(settings, topics.TICKS))
    await consumer.start()
    seen, started = 0, 0.0
    while seen < messages:
        batch = await consumer.getmany(timeout_ms=500)
        if not started and batch:
            started = time.perf_counter()
        seen += sum(map(len, batch.values()))
    spent = time.perf_counter() - started
    await consumer.stop()
    return spent


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask a child to end, and end it when it does not."""
    child.terminate()
    try:
        child.wait(timeout=40)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class Worker:
    """``tapestream worker`` as a child; ends with the block."""

    def __init__(self, settings: Settings, name: str = "bench", device: str = "cpu") -> None:
        self._port_file = settings.data_dir / f"{name}.port"
        self._port_file.unlink(missing_ok=True)
        self.log = settings.data_dir / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tapestream.cli", "worker", "--name", name),
                    *("--device", device),
                    *("--web-port", "0", "--port-file", str(self._port_file)),
                ],
                env=settings.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def accounting(self) -> dict[str, Any]:
        """The worker's accounting page; no partitions while it does not answer."""
        if self.process.poll() is not None:
            raise RuntimeError(
                f"the worker ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}"
            )
        empty: dict[str, Any] = {"partitions": []}
        if not self._port_file.exists():
            return empty
        try:
            url = f"http://127.0.0.1:{self._port_file.read_text()}/accounting"
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except (OSError, urllib.error.URLError):
            return empty

    def wait_for(self, messages: int, timeout_s: float = 300.0, poll_s: float = 0.25) -> dict[str, Any]:
        """The accounting once that many messages are computed."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            page = self.accounting()
            if sum(row["messages"] for row in page["partitions"]) >= messages:
                return page
            time.sleep(poll_s)
        raise TimeoutError(f"the worker has not computed {messages} messages in {timeout_s:g} s")
