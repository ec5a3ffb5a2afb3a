"""The simulated market on a real broker: the ticks sent are the market's, and Ctrl-C ends it cleanly."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from schemas.frame import decode_frame
from schemas.settings import Settings
from schemas.ticks import Ticks
from streams import clients, topics
from streams.market.config import MarketConfig
from streams.market.fault_plan import FaultPlan
from streams.market.market import SimulatedMarket
from tests.integration.lane import read_topic

pytestmark = pytest.mark.kafka


async def start_market(settings: Settings, *options: str) -> asyncio.subprocess.Process:
    environment = os.environ | {
        "TAPESTREAM_BROKER": settings.broker,
        "TAPESTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "TAPESTREAM_PARTITIONS": str(settings.partitions),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tapestream.cli", "market", "--json", *options,
        env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ticks_on(settings: Settings) -> dict[str, list[tuple[int, ...]]]:
    """Everything on ``market.ticks``, by symbol in the order of its partition."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for message in await read_topic(settings, topics.TICKS):
        collect(found, decode_frame(message.value))
    return found


def collect(found: dict[str, list[tuple[int, ...]]], ticks: Ticks) -> None:
    names = ("ts_event_ns", "kind", "sequence", "bid_px", "ask_px", "trade_px")
    rows = zip(*(ticks.columns[name].tolist() for name in ("symbol", *names)), strict=True)
    for code, *row in rows:
        found.setdefault(ticks.symbols[code], []).append(tuple(row))


async def test_the_log_holds_exactly_the_ticks_of_the_seed_with_their_faults(
    settings: Settings, topics_ready: None, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.json"
    market_options = [
        "--symbols", "6", "--seed", "3", "--speed", "max", "--ticks", "20000", "--start", "2026-01-05T14:30",
        "--faults", "gap:0.01,reorder:0.01,late:0.01", "--truth", str(truth),
    ]  # fmt: skip
    child = await start_market(settings, *market_options)
    said, _ = await asyncio.wait_for(child.communicate(), 120)
    assert child.returncode == 0
    config = MarketConfig(
        symbols=6, seed=3, faults=FaultPlan.parse("gap:0.01,reorder:0.01,late:0.01", seed=3)
    )
    market = SimulatedMarket(config)
    expected: dict[str, list[tuple[int, ...]]] = {}
    collect(expected, market.block(n_ticks=20_000))
    held = market.finish()
    assert held is not None
    collect(expected, held)
    assert await ticks_on(settings) == expected
    assert json.loads(said)["ticks"] == sum(map(len, expected.values()))
    assert len(json.loads(truth.read_text())["faults"]) == len(market.truth.faults) > 400


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_an_endless_market_with_its_summary_and_nothing_lost(
    settings: Settings, topics_ready: None, number: signal.Signals
) -> None:
    child = await start_market(settings, "--speed", "5")
    consumer = clients.consumer(settings, topics.name(settings, topics.TICKS))
    await consumer.start()
    try:
        await consumer.getone()  # it is sending
    finally:
        await consumer.stop()
    child.send_signal(number)
    said, _ = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0
    assert json.loads(said)["ticks"] == sum(map(len, (await ticks_on(settings)).values())) > 0
