"""Symbols alone are enough: their bars come from ``market.bars``, and what is not there is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.tasks.agent import TaskCancelled
from agents.tasks.analytics import topic_bars
from schemas.errors import TaskError
from schemas.settings import Settings
from streams import topics
from streams.clients import partition_of
from streams.log_writer import log_writer
from tests.agents.models.planted import walk
from tests.agents.tasks.analytics.asking import LEAST, done, promoted_model, rows
from tests.agents.tasks.analytics.frames import SECOND, frame

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("topics_ready")]

SYMBOLS = ["AAPL", "GOOGL", "MSFT"]
POST = {"symbols": ["AAPL", "GOOGL"], "model": "LSTM"}
"""The data of the request that the documentation of the API shows."""


async def send(settings: Settings, symbol: str, closes: list[float], window: int = 1, first: int = 1) -> None:
    """Bars of one symbol, a message a close, the first of them twice."""
    frames = [frame((symbol, window, (first + at) * window, price)) for at, price in enumerate(closes)]
    async with log_writer(settings) as writer:
        for number, payload in enumerate((frames[0], *frames)):
            home = partition_of(symbol, settings.partitions)
            await writer.write(topics.BARS, f"{symbol}-{number}", [payload], partition=home)


def prices(seed: int, n: int = LEAST + 40) -> list[float]:
    return np.round(walk(n, seed=seed).close, 6).tolist()  # type: ignore[no-any-return]


async def refused(task_type: str, data: dict[str, Any], settings: Settings) -> tuple[str | None, str, str]:
    with pytest.raises(TaskError) as caught:
        await done(task_type, data, settings)
    assert caught.value.code == "BAD_REQUEST"
    return caught.value.field, caught.value.problem, caught.value.remedy


async def test_bars_on_the_topic_are_answered_like_bars_in_the_request(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_bars, "FIRST_BLOCK", 16)
    card = promoted_model(settings.data_dir) / "card.json"
    by_symbol = {symbol: prices(seed) for seed, symbol in enumerate(SYMBOLS)}
    for symbol, closes in by_symbol.items():
        await send(settings, symbol, closes)

    found = await done("neural_analysis", POST, settings)
    assert [row["symbol"] for row in rows(found)] == POST["symbols"]
    assert (found.summary["model"], found.summary["n_symbols"]) == ("v0001", 2)
    bars = {
        symbol: {
            "ts_ns": [(1 + at) * SECOND for at in range(len(closes))],
            "open": closes,
            "high": [price + 0.5 for price in closes],
            "low": [price - 0.5 for price in closes],
            "close": closes,
            "volume": [100.0] * len(closes),
        }
        for symbol, closes in by_symbol.items()
    }
    given = {"bars": {symbol: bars[symbol] for symbol in POST["symbols"]}}
    assert rows(found) == rows(await done("neural_analysis", given, settings))

    ask: dict[str, Any] = {"indicators": ["sma(3)"], "symbols": SYMBOLS}
    last = await done("technical_indicators", ask | {"last_bars": 5}, settings)
    assert last.rows.column("close").to_pylist() == [p for s in SYMBOLS for p in by_symbol[s][-5:]]
    between = await done(
        "technical_indicators", ask | {"from_ns": 10 * SECOND, "to_ns": 14 * SECOND}, settings
    )
    assert between.rows.column("close").to_pylist() == [p for s in SYMBOLS for p in by_symbol[s][9:14]]
    weights = await done(
        "portfolio_optimization", {"objective": "min_variance", "symbols": SYMBOLS}, settings
    )
    assert weights.observations == len(by_symbol["AAPL"]) - 1

    # A model of bars of another length asks for those.
    await send(settings, "AAPL", prices(7), window=10, first=50)
    card.write_text(json.dumps(json.loads(card.read_text()) | {"bar_ms": 10_000}))
    (row,) = rows(await done("batch_prediction", {"symbols": ["AAPL"]}, settings))
    assert row["ts_ns"] == (50 + LEAST + 39) * 10 * SECOND


async def test_what_is_not_on_the_topic_is_said_by_symbol_with_what_there_is(settings: Settings) -> None:
    promoted_model(settings.data_dir)
    field, problem, remedy = await refused("neural_analysis", POST, settings)
    assert (field, problem) == (
        "data.symbols[0]",
        "symbols[0]: AAPL has no bars of 1000 ms on market.bars; its partition has none",
    )
    assert remedy.startswith("run a worker")

    await send(settings, "AAPL", prices(1, LEAST - 1))
    field, problem, _ = await refused("neural_analysis", {"symbols": ["AAPL"]}, settings)
    assert (field, problem) == (
        "data.symbols.AAPL",
        f"symbols.AAPL: {LEAST - 1} bars are too few, {LEAST} are needed",
    )

    ask = {"indicators": ["rsi"], "symbols": ["AAPL"], "window_ms": 60_000}
    field, _, remedy = await refused("technical_indicators", ask, settings)
    assert (field, remedy) == ("data.symbols[0]", "set window_ms to one of 1000")

    home = partition_of("AAPL", settings.partitions)
    stranger = next(f"S{k}" for k in range(99) if partition_of(f"S{k}", settings.partitions) == home)
    field, problem, _ = await refused("technical_indicators", ask | {"symbols": [stranger]}, settings)
    assert field == "data.symbols[0]"
    assert problem.endswith("its partition has AAPL")


async def test_the_bars_of_a_training_stay_the_same_for_its_next_attempt(settings: Settings) -> None:
    plan = {"window": 8, "horizon": 2, "folds": 1, "seeds": 1, "hidden": 4, "epochs": 2}
    ask = plan | {"symbols": ["AAPL"]}
    await send(settings, "AAPL", prices(1, 150))
    epochs: list[str] = []

    def end_at_the_third(fraction: float, stage: str) -> None:
        if "epoch" in stage:
            epochs.append(stage)
        if len(epochs) == 3:
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        await done("train_model", ask, settings, report=end_at_the_third)
    await send(settings, "AAPL", prices(2, 50), first=500)
    found = await done(
        "train_model", ask, settings, attempt=2, report=lambda share, stage: epochs.append(stage)
    )
    assert (found["data"]["bars"], len([stage for stage in epochs if "epoch" in stage])) == (150, 4)
    assert list((settings.data_dir / "models" / ".work").iterdir()) == []
    anew = await done("train_model", ask, settings, task_id="another")
    assert anew["data"]["bars"] == 200


async def test_an_absent_topic_is_said(settings: Settings, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"topic_prefix": "nowhere-"})
    field, problem, remedy = await refused(
        "technical_indicators", {"indicators": ["rsi"], "symbols": ["AAPL"]}, elsewhere
    )
    assert (field, problem) == ("data.symbols", "symbols: nowhere-market.bars is absent")
    assert "topics create" in remedy
