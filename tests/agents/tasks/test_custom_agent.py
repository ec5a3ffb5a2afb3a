"""The example that users start from does what it says."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from agents.tasks.assignment import Assignment
from agents.tasks.registry import load_agents
from agents.tasks.runner import Runner
from schemas.settings import Settings
from schemas.tasks import TaskRequest
from schemas.ticks import PRICE_SCALE, TRADE, make_ticks
from streams.market.files import ParquetSink
from tests.agents.tasks.running import CPU
from tests.docs.pages import ROOT

TRADES = ((0, 100.0), (1, 50.0), (0, 110.0), (1, 44.0), (2, 1.0))
"""Symbol and price, in order."""


@pytest.fixture
async def folder(tmp_path):
    prices = np.round(np.array([price for _, price in TRADES]) * PRICE_SCALE).astype(np.int64)
    ticks = make_ticks(
        ("AAA", "BBB", "CCC"),
        ts_event_ns=np.arange(1, len(TRADES) + 1) * 1_000_000_000,
        symbol=[symbol for symbol, _ in TRADES],
        kind=[TRADE] * len(TRADES),
        trade_px=prices,
        trade_sz=[1.0] * len(TRADES),
    )
    async with ParquetSink(tmp_path / "ticks.parquet") as sink:
        await sink.write(ticks)
    return tmp_path


async def test_the_example_agent_runs_as_a_task(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    table = load_agents(["custom_agent:PairSpread"], installed=())
    agent = table["pair_spread"].agent

    async def ask(**data):
        request = TaskRequest(task_id="t", task_type="pair_spread", data=data)
        return await runner.run(Assignment(request, 1, CPU, agent.memory_bytes))

    async with Runner(Settings(data_dir=folder), table) as runner:
        good = await ask(file="ticks.parquet", symbols=["AAA", "BBB"])
        bad = [
            await ask(file="../ticks.parquet", symbols=["AAA", "BBB"]),
            await ask(file="none.parquet", symbols=["AAA", "BBB"]),
            await ask(file="ticks.parquet", symbols=["AAA", "ZZZ"]),
            await ask(file="ticks.parquet", symbols=["AAA"]),
        ]
    ratios = np.log([100 / 50, 110 / 50, 110 / 44])
    assert good.result == {"trades": 3, "mean_log_ratio": ratios.mean(), "deviation": ratios.std()}
    assert [(outcome.failure.code, outcome.failure.field) for outcome in bad] == [
        ("BAD_REQUEST", "data.file"),
        ("BAD_REQUEST", "data.file"),
        ("BAD_REQUEST", "data.symbols"),
        ("BAD_REQUEST", "data.symbols"),
    ]


def test_the_example_runs_as_its_first_lines_say(folder):
    found = subprocess.run(
        [sys.executable, ROOT / "examples/custom_agent.py", folder / "ticks.parquet", "AAA", "BBB"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "examples")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = found.stdout.splitlines()
    assert (lines[0], lines[1]) == ("100% reading", "SUCCEEDED {")
    assert '  "trades": 3,' in lines
