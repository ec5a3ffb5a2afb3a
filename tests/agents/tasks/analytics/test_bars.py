"""Bars come to every task type in the same ways, and what is wrong with them is named by its field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import TaskError
from tests.agents.models.planted import walk
from tests.agents.tasks.analytics.asking import (
    LEAST,
    columns,
    done,
    promoted_model,
    request,
    rows,
    write_parquet,
)

ASKS: dict[str, dict[str, Any]] = {
    "batch_prediction": {},
    "neural_analysis": {},
    "pattern_recognition": {},
    "portfolio_optimization": {"objective": "min_variance"},
    "technical_indicators": {"indicators": ["rsi"]},
    "train_model": {"window": 8, "horizon": 2, "folds": 1, "seeds": 1, "hidden": 4, "epochs": 1},
}
"""The least that each task type must be told beside its bars."""

BY_SYMBOL = [name for name in ASKS if name not in ("portfolio_optimization", "train_model")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    promoted_model(data)
    return data


async def refusal(task_type: str, data: dict[str, Any], folder: Path) -> tuple[str, str | None, bool, str]:
    """Code, field, whether there is a remedy, and the problem."""
    with pytest.raises(TaskError) as refused:
        await done(task_type, ASKS[task_type] | data, folder)
    error = refused.value
    return error.code, error.field, bool(error.remedy), error.problem


def spoilt(name: str, row: int, value: float) -> dict[str, Any]:
    """Two symbols, one number of the second spoilt."""
    bad = columns(walk(60, "B", 2))
    bad[name][row] = value
    return {"bars": {"A": columns(walk(60, "A", 1)), "B": bad}}


def short() -> dict[str, Any]:
    return request(walk(60, "A", 1), walk(3, "B", 2))


BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "NaN in the middle": (lambda: spoilt("close", 30, float("nan")), "data.bars.B.close[30]"),
    "high below low": (lambda: spoilt("high", 30, 1.0), "data.bars.B.high[30]"),
    "a price of nothing": (lambda: spoilt("open", 30, 0.0), "data.bars.B.open[30]"),
    "a negative volume": (lambda: spoilt("volume", 30, -1.0), "data.bars.B.volume[30]"),
    "times that do not rise": (lambda: spoilt("ts_ns", 30, 1), "data.bars.B.ts_ns[30]"),
    "no column": (lambda: {"bars": {"B": {"close": [1.0]}}}, "data.bars.B.open"),
    "text": (lambda: {"bars": {"B": columns(walk(60)) | {"low": ["x"] * 60}}}, "data.bars.B.low"),
    "a symbol that has no bars": (lambda: request(walk(60)) | {"symbols": ["A", "Z"]}, "data.symbols[1]"),
    "a path outside": (lambda: {"path": "../secret.parquet"}, "data.path"),
    "an absolute path": (lambda: {"path": "/etc/passwd"}, "data.path"),
    "a link that leads out": (lambda: {"path": "link/secret.parquet"}, "data.path"),
    "no file": (lambda: {"path": "absent.parquet"}, "data.path"),
    "no Parquet": (lambda: {"path": "text.parquet"}, "data.path"),
    "no source": (dict, "data"),
    "two sources": (lambda: request(walk(60)) | {"path": "bars.parquet"}, "data"),
    "no symbol": (lambda: {"bars": {}}, "data.bars"),
    "a time range that ends first": (lambda: request(walk(60)) | {"from_ns": 9, "to_ns": 9}, "data"),
    "a symbol twice": (lambda: request(walk(60)) | {"symbols": ["A", "A"]}, "data"),
    "a misspelt field": (lambda: request(walk(60)) | {"form_ns": 1}, "data.form_ns"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("task_type", ASKS)
async def test_bars_that_cannot_be_used_are_refused_by_their_field(
    task_type: str, name: str, folder: Path
) -> None:
    write_parquet(folder.parent / "secret.parquet", walk(60))
    (folder / "link").symlink_to(folder.parent)
    (folder / "text.parquet").write_text("no Parquet")
    bad, field = BAD[name]
    code, found, remedied, problem = await refusal(task_type, bad(), folder)
    assert (code, found, remedied) == ("BAD_REQUEST", field, True), problem


LEASTS = {
    "batch_prediction": LEAST,
    "neural_analysis": LEAST,
    "portfolio_optimization": 4,
    "technical_indicators": 15,
}


@pytest.mark.parametrize("task_type", LEASTS)
async def test_too_few_bars_are_refused_by_symbol_with_the_number_that_is_needed(
    task_type: str, folder: Path
) -> None:
    found = await refusal(task_type, short(), folder)
    problem = f"bars.B: 3 bars are too few, {LEASTS[task_type]} are needed"
    assert found == ("BAD_REQUEST", "data.bars.B", True, problem)


async def test_too_few_bars_for_a_pattern_are_refused_by_symbol(folder: Path) -> None:
    found = await refusal("pattern_recognition", short(), folder)
    assert found == ("BAD_REQUEST", "data.bars.B", True, "the scan needs 38 bars, there are 3")


async def test_too_few_bars_for_a_training_are_refused(folder: Path) -> None:
    code, field, remedied, problem = await refusal("train_model", request(walk(25)), folder)
    assert (code, field, remedied) == ("BAD_REQUEST", "data.bars", True)
    assert problem == "bars: 25 are too few, 30 are needed"


@pytest.mark.parametrize("task_type", BY_SYMBOL)
async def test_a_parquet_file_is_answered_like_its_bars(task_type: str, folder: Path) -> None:
    series = [walk(60, "A", 1), walk(80, "B", 2)]
    write_parquet(folder / "in" / "bars.parquet", *series)
    ask = ASKS[task_type]
    of_file = await done(task_type, ask | {"path": "in/bars.parquet"}, folder)
    assert rows(of_file) == rows(await done(task_type, ask | request(*series), folder))
    chosen = await done(task_type, ask | {"path": "in/bars.parquet", "symbols": ["B"]}, folder)
    assert rows(chosen) == [row for row in rows(of_file) if row["symbol"] == "B"]


async def test_a_time_range_and_a_number_of_bars_cut_what_is_given(folder: Path) -> None:
    bars = walk(60)
    ask = {"indicators": ["sma(2)"], **request(bars)}
    found = await done(
        "technical_indicators",
        ask | {"from_ns": int(bars.ts_ns[10]), "to_ns": int(bars.ts_ns[20]), "last_bars": 4},
        folder,
    )
    assert found.rows.column("ts_ns").to_pylist() == bars.ts_ns[17:21].tolist()
    assert np.isnan(found.rows.column("sma(2)").to_numpy()).tolist() == [True, False, False, False]


async def test_a_time_range_without_bars_leaves_too_few(folder: Path) -> None:
    late = {"from_ns": 10**18, **request(walk(60))}
    found = await refusal("technical_indicators", late, folder)
    assert found[:2] == ("BAD_REQUEST", "data.bars.A")
