"""``technical_indicators`` gives the numbers of the functions, as rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.indicators import compute
from agents.tasks.analytics.technical_indicators import AT_ONCE
from schemas.errors import TaskError
from tests.agents.models.planted import walk
from tests.agents.tasks.analytics.asking import done, request, rows

ASKED = ["rsi", "macd(12,26,9)", "atr(5)"]
OUTPUTS = ["rsi", *(f"macd(12,26,9).{name}" for name in ("macd", "macdsignal", "macdhist")), "atr(5)"]


async def test_every_symbol_and_bar_is_a_row_with_the_bits_of_the_function(tmp_path: Path) -> None:
    series = [walk(50 + number % 7, f"S{number}", number) for number in range(AT_ONCE + 2)]
    found = await done("technical_indicators", {"indicators": ASKED, **request(*series)}, tmp_path)
    assert found.summary == {"n_symbols": len(series), "outputs": OUTPUTS}
    assert found.rows.column_names == ["symbol", "ts_ns", "close", *OUTPUTS]
    names = np.array(found.rows.column("symbol").to_pylist())
    for bars in (series[0], series[AT_ONCE - 1], series[-1]):
        alone = compute({name: getattr(bars, name) for name in ("high", "low", "close")}, ASKED)
        own = found.rows.filter(names == bars.symbol)
        assert own.column("ts_ns").to_pylist() == bars.ts_ns.tolist()
        for name in OUTPUTS:
            assert own.column(name).to_numpy().tobytes() == alone[name].tobytes()


async def test_only_the_last_rows_of_each_symbol_can_be_asked_for(tmp_path: Path) -> None:
    ask = {"indicators": ["ema(3)"], **request(walk(20, "A", 1), walk(4, "B", 2))}
    whole = await done("technical_indicators", ask, tmp_path)
    last = await done("technical_indicators", ask | {"last_rows": 5}, tmp_path)
    assert rows(last) == rows(whole)[15:]


async def test_symbols_with_too_few_bars_have_no_values_when_that_is_asked_for(tmp_path: Path) -> None:
    ask = {"indicators": ["sma(10)"], "short": "nan", **request(walk(20, "A", 1), walk(4, "B", 2))}
    found = await done("technical_indicators", ask, tmp_path)
    assert (
        np.isnan(found.rows.column("sma(10)").to_numpy()).tolist() == [True] * 9 + [False] * 11 + [True] * 4
    )


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        (["rsi", "rsy"], "data.indicators[1]", "rsy: there is no such indicator"),
        (["rsi(0)"], "data.indicators[0]", "timeperiod must be a whole number"),
        (["rsi(9,9)"], "data.indicators[0]", "2 parameters"),
        (["rsi", "rsi"], "data.indicators", "asked for twice"),
        (["  "], "data.indicators[0]", "is not an indicator"),
    ],
)
async def test_an_indicator_that_there_is_not_is_refused_by_its_place(
    tmp_path: Path, asked: list[str], field: str, words: str
) -> None:
    with pytest.raises(TaskError) as refused:
        await done("technical_indicators", {"indicators": asked, **request(walk(30))}, tmp_path)
    assert (refused.value.code, refused.value.field) == ("BAD_REQUEST", field)
    assert words in refused.value.problem
    assert refused.value.remedy
