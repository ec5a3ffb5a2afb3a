"""``batch_prediction`` and ``neural_analysis``: which model scores, and a thousand symbols in one call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from agents.models import batch_prediction, neural_analysis
from agents.tasks.agent import TaskCancelled
from agents.tasks.results import to_plain
from schemas.errors import TaskError
from tests.agents.models.planted import walk
from tests.agents.tasks.analytics.asking import done, promoted_model, request, rows, write_parquet
from tests.agents.tasks.running import assignment, new_runner

TYPES = ("batch_prediction", "neural_analysis")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    promoted_model(tmp_path)
    return tmp_path


async def test_a_batch_is_a_row_a_symbol_with_what_the_function_answers(folder: Path) -> None:
    bars = request(walk(60, "A", 1), walk(60, "B", 2))
    found, expected = await done("batch_prediction", bars, folder), batch_prediction(bars, folder)
    assert rows(found) == [
        {
            "symbol": symbol,
            "ts_ns": expected["ts_ns"][at],
            "probabilities": {name: values[at] for name, values in expected["probabilities"].items()},
            "side": expected["side"][at],
            "expected_move_bps": expected["expected_move_bps"][at],
        }
        for at, symbol in enumerate("AB")
    ]
    assert found.summary == {"model": "v0001", "horizon_bars": 5, "band_bps": 100.0, "n_symbols": 2}


async def test_an_analysis_is_a_row_a_symbol_with_what_the_function_answers(folder: Path) -> None:
    bars = request(walk(60, "A", 1), walk(60, "B", 2))
    found, expected = await done("neural_analysis", bars, folder), neural_analysis(bars, folder)
    assert rows(found) == to_plain([{"symbol": name, **said} for name, said in expected["symbols"].items()])
    assert found.summary == {"model": "v0001", "horizon_bars": 5, "band_bps": 100.0, "n_symbols": 2}


@pytest.mark.parametrize("task_type", TYPES)
@pytest.mark.parametrize("model", ["LSTM", "lstm", "v0001"])
async def test_a_model_is_named_by_its_version_and_the_promoted_one_by_its_kind(
    task_type: str, model: str, folder: Path
) -> None:
    bars = request(walk(60))
    assert rows(await done(task_type, bars | {"model": model}, folder)) == rows(
        await done(task_type, bars, folder)
    )


def _card(**changes: Any) -> Callable[[Path], None]:
    def edit(model: Path) -> None:
        card = json.loads((model / "card.json").read_text()) | changes
        (model / "card.json").write_text(json.dumps(card))

    return edit


def _corrupt(model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (model / "model.safetensors").write_bytes(content)


BAD_MODELS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "other features": (_card(features=["x", "y"]), "LSTM", "was trained on x, y"),
    "a flipped bit": (_corrupt, "LSTM", "is not the file that its card describes"),
    "no card": (lambda model: (model / "card.json").unlink(), "v0001", "cannot be read"),
    "an unknown version": (lambda model: None, "v0404", "there is no v0404"),
    "another kind": (lambda model: None, "transformer", "is no version's name"),
    "a path": (lambda model: None, "../v0001", "is no version's name"),
    "none promoted": (lambda model: (model.parent / "promoted.json").unlink(), "LSTM", "none is promoted"),
}


@pytest.mark.parametrize("task_type", TYPES)
@pytest.mark.parametrize("name", BAD_MODELS)
async def test_a_model_that_cannot_score_is_refused_with_a_remedy(
    task_type: str, name: str, folder: Path
) -> None:
    harm, model, words = BAD_MODELS[name]
    harm(folder / "models" / "v0001")
    with pytest.raises(TaskError, match=words) as refused:
        await done(task_type, request(walk(60)) | {"model": model}, folder)
    assert (refused.value.code, refused.value.field) == ("BAD_REQUEST", "data.model")
    assert refused.value.remedy


async def test_without_any_model_the_remedy_is_to_train_one(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="none is promoted") as refused:
        await done("neural_analysis", {"symbols": ["AAPL", "GOOGL"], "model": "LSTM"}, tmp_path)
    assert "tapestream train" in refused.value.remedy


async def test_an_analysis_ends_between_two_symbols_when_it_is_cancelled(folder: Path) -> None:
    told: list[str] = []

    def report(fraction: float, stage: str) -> None:
        told.append(stage)
        if len(told) == 2:
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        await done(
            "neural_analysis", request(*(walk(40, f"S{k}", k) for k in range(5))), folder, report=report
        )
    assert told == ["scoring", "scoring"]


async def test_a_child_scores_a_thousand_symbols_in_one_call_within_its_usual_memory(folder: Path) -> None:
    names = [f"S{number:04d}" for number in range(1_000)]
    write_parquet(folder / "bars.parquet", *(walk(50, name, seed) for seed, name in enumerate(names)))
    memory = {"memory_bytes": 1 << 30}
    async with new_runner(folder) as runner:
        batch = await runner.run(assignment("batch_prediction", task_id="b", path="bars.parquet", **memory))
        closely = await runner.run(assignment("neural_analysis", task_id="n", path="bars.parquet", **memory))
    assert (batch.failure, closely.failure) == (None, None)
    assert (closely.result_path, closely.result["n_symbols"]) == ("results/n.1.parquet", 1_000)
    table = pq.read_table(folder / closely.result_path)
    assert table.column("symbol").to_pylist() == names
    assert [row["symbol"] for row in batch.result["rows"]] == names
    assert [row["side"] for row in batch.result["rows"]] == table.column("side").to_pylist()
