"""``portfolio_optimization`` answers what the function does, from returns or bars, or names the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.models.bars import Bars
from agents.portfolio import optimise
from schemas.errors import TaskError
from tests.agents.models.planted import walk
from tests.agents.tasks.analytics.asking import done, request

ASSETS = ["A", "B", "C", "D"]
RETURNS = np.random.default_rng(4).normal(0.001, 0.02, (300, 4)).tolist()
GIVEN = {"objective": "min_variance", "assets": ASSETS, "returns": RETURNS}


async def test_a_portfolio_task_answers_what_the_function_does(tmp_path: Path) -> None:
    found = await done("portfolio_optimization", GIVEN, tmp_path)
    assert found == optimise(GIVEN)
    assert sum(found.portfolios[0].weights.values()) == pytest.approx(1.0)


def without(bars: Bars, *rows: int) -> Bars:
    kept = np.delete(np.arange(len(bars)), rows)
    columns = (getattr(bars, name)[kept] for name in ("ts_ns", "open", "high", "low", "close", "volume"))
    return Bars(bars.symbol, *columns)


async def test_the_returns_of_bars_are_from_close_to_close_at_the_times_that_all_have(tmp_path: Path) -> None:
    series = [walk(60, "A", 1), without(walk(60, "B", 2), 7, 30), walk(60, "C", 3)]
    found = await done("portfolio_optimization", {"objective": "min_variance", **request(*series)}, tmp_path)
    common = [time for time in series[0].ts_ns.tolist() if time in set(series[1].ts_ns.tolist())]
    closes = np.array([[bars.close[bars.ts_ns.tolist().index(time)] for bars in series] for time in common])
    expected = optimise(
        {"objective": "min_variance", "assets": ["A", "B", "C"], "returns": closes[1:] / closes[:-1] - 1}
    )
    assert found == expected
    assert found.observations == 57


def shifted(bars: Bars) -> Bars:
    return Bars(bars.symbol, bars.ts_ns + 1, bars.open, bars.high, bars.low, bars.close, bars.volume)


def holed() -> list[list[float]]:
    returns = [list(row) for row in RETURNS]
    returns[7][2] = float("nan")
    return returns


SINGULAR = {"covariance": "sample", "returns": RETURNS[:3]}
LIMITS = {
    "groups": [
        {"name": "tech", "assets": ["A", "B"], "lower": 0.7},
        {"name": "safe", "assets": ["C"], "lower": 0.5},
    ]
}
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "NaN in the middle": ({"returns": holed()}, "data.returns[7, 'C']", "is nan"),
    "too few": ({"returns": RETURNS[:2]}, "data.returns", "2 rows"),
    "a singular covariance": (SINGULAR, "data.covariance", "is singular: rank 2 of 4"),
    "contradictions": (
        {"constraints": LIMITS},
        "data.constraints",
        "group tech >= 0.7 and group safe >= 0.5",
    ),
    "an unknown asset": (
        {"constraints": {"groups": [{"name": "tech", "assets": ["Z"]}]}},
        "data.constraints.groups[0].assets",
        "unknown: Z",
    ),
    "an unknown objective": ({"objective": "min_regret"}, "data.objective", "min_regret"),
    "a misspelt limit": ({"constraints": {"uper": 0.5}}, "data.constraints.uper", "Extra inputs"),
    "a misspelt field": ({"objectiv": "x"}, "data.objectiv", "Extra inputs"),
    "names that do not fit": ({"assets": ["A"]}, "data.assets", "1 names for 4 columns"),
    "returns and bars": (request(walk(60)), "data", "bars and returns"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_optimised_is_refused_by_its_field(name: str, tmp_path: Path) -> None:
    change, field, words = BAD[name]
    with pytest.raises(TaskError) as refused:
        await done("portfolio_optimization", GIVEN | change, tmp_path)
    assert (refused.value.code, refused.value.field) == ("BAD_REQUEST", field)
    assert words in refused.value.problem
    assert refused.value.remedy


async def test_symbols_without_common_times_are_refused(tmp_path: Path) -> None:
    ask = {"objective": "min_variance", **request(walk(60, "A", 1), shifted(walk(50, "B", 2)))}
    with pytest.raises(TaskError, match="0 times of bars in common, 4 are needed") as refused:
        await done("portfolio_optimization", ask, tmp_path)
    assert refused.value.field == "data.bars"
    assert "B has 50" in refused.value.remedy
