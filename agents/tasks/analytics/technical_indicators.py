"""``technical_indicators``: indicators of many symbols over their bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.analytics.bars import BarsData, flat, in_the_request, read_bars
from agents.tasks.results import TaskRows

if TYPE_CHECKING:
    from agents.indicators import Request
    from agents.models.bars import Bars

USUAL_BARS = 1_000
AT_ONCE = 64
"""Symbols computed between two looks at whether the task is to end."""


class TechnicalIndicatorsData(BarsData):
    """Bars, and what is to be computed of them."""

    indicators: Annotated[
        list[str], Field(min_length=1, max_length=200, description='such as "rsi" or "macd(12,26,9)"')
    ]
    short: Annotated[
        Literal["error", "nan"], Field(description="what becomes of symbols with too few bars")
    ] = "error"
    last_rows: Annotated[int | None, Field(ge=1, description="give only the last so many of each symbol")] = (
        None
    )


class TechnicalIndicators(GPUAgent):
    """Computes indicators with TA-Lib's names and conventions; on the CPU wherever it was granted."""

    task_type = "technical_indicators"
    Data = TechnicalIndicatorsData
    memory_bytes = 1024 * MIB
    min_memory_bytes = 256 * MIB

    def __init__(self) -> None:
        import agents.indicators
        import agents.models.given_bars  # noqa: F401 - not the task's memory

    async def process_task(self, task: Task) -> TaskRows:
        """A row a symbol and bar, a column an indicator's output; null over the look-back.

        Raises
        ------
        TaskError
            For an unknown indicator, a parameter out of its bounds, and bars that cannot be or are too few.
        """
        import pyarrow as pa

        data: TechnicalIndicatorsData = task.data
        requests = _requests(data.indicators)
        lookback = max(request.lookback for request in requests)
        least = lookback + 1 if data.short == "error" else 1
        series = await read_bars(task, least, lookback + max(USUAL_BARS, data.last_rows or 0))
        parts = []
        for begin in range(0, len(series), AT_ONCE):
            task.progress(0.2 + 0.8 * begin / len(series), "computing")
            parts.append(_table(series[begin : begin + AT_ONCE], data))
        rows = pa.concat_tables(parts)
        outputs = [name for request in requests for name in request.columns]
        return TaskRows(rows, {"n_symbols": len(series), "outputs": outputs})


def _requests(texts: list[str]) -> list[Request]:
    """Read one by one, so that an error has a place, and then together."""
    from agents.indicators.requests import parse, parse_all

    for index, text in enumerate(texts):
        with in_the_request(asked=f"indicators[{index}]"):
            parse(text)
    with in_the_request(asked="indicators"):
        return parse_all(texts)


def _table(series: list[Bars], data: TechnicalIndicatorsData) -> Any:
    import numpy as np
    import pyarrow as pa

    from agents.indicators import compute

    columns = flat(series)
    with in_the_request(data.source):
        values = compute(columns, data.indicators, short=data.short)
    rows = pa.table({**{name: columns[name] for name in ("symbol", "ts_ns", "close")}, **values})
    if data.last_rows is None:
        return rows
    lengths = [len(bars) for bars in series]
    ends = np.cumsum(lengths)
    kept = [np.arange(max(end - data.last_rows, end - n), end) for end, n in zip(ends, lengths, strict=True)]
    return rows.take(np.concatenate(kept))
