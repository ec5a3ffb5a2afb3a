"""Where the bars of a task come from: the request, a Parquet file, or the topic of bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agents.tasks.agent import Task
from agents.tasks.analytics.bar_shelf import BarRange
from agents.tasks.analytics.topic_bars import read_topic
from agents.tasks.hft_analysis import Symbol, Time
from schemas.errors import AnalysisError, BarsError, FieldError, TaskError

if TYPE_CHECKING:
    from agents.models.bars import Bars

NS_PER_MS = 1_000_000
MOST_BARS = 1_000_000
_NAMED = ("bars", "path", "symbols", "window_ms")


class BarsData(BaseModel):
    """One of ``bars``, ``path`` and ``symbols``; with one of the first two, ``symbols`` chooses among theirs.

    ``from_ns``, ``to_ns`` (a bar counts by its close) and ``last_bars`` cut any of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bars: Annotated[
        dict[str, dict[str, Any]] | None,
        Field(
            min_length=1, description="by symbol: open, high, low, close, volume, and ts_ns if there is one"
        ),
    ] = None
    path: Annotated[
        str | None,
        Field(min_length=1, description="a file of bars, or a folder of recorded ones, in the data folder"),
    ] = None
    symbols: Annotated[
        list[Symbol] | None, Field(min_length=1, max_length=10_000, description="alone: from market.bars")
    ] = None
    window_ms: Annotated[
        int | None,
        Field(gt=0, description="length of the topic's or recorded bars; of the stream's own windows"),
    ] = None
    last_bars: Annotated[int | None, Field(ge=1, le=MOST_BARS, description="the last so many a symbol")] = (
        None
    )
    from_ns: Time | None = None
    to_ns: Time | None = None

    @model_validator(mode="after")
    def _make_sense(self) -> BarsData:
        if len(self.sources) != 1:
            given = " and ".join(self.sources) or "nothing"
            raise ValueError(f"one source of bars is needed (bars, path, or symbols alone), given is {given}")
        if self.from_ns is not None and self.to_ns is not None and self.from_ns >= self.to_ns:
            raise ValueError("from_ns must be before to_ns")
        if self.symbols is not None and len(set(self.symbols)) < len(self.symbols):
            raise ValueError("symbols: each may come once")
        return self

    @property
    def sources(self) -> list[str]:
        """The fields that the history could come from; a request has one."""
        given = [name for name in ("bars", "path") if getattr(self, name) is not None]
        return given or (["symbols"] if self.symbols is not None else [])

    @property
    def source(self) -> str:
        """The field that it comes from."""
        return self.sources[0]


@contextmanager
def in_the_request(bars: str = "", asked: str = "") -> Iterator[None]:
    """Errors of the analytics as the request's.

    Parameters
    ----------
    bars, asked
        Of the data: what is at fault when bars are, or what is asked of them, and the error names no field.
    """
    try:
        yield
    except FieldError as exc:
        raise TaskError(exc.problem, exc.remedy, field=f"data.{exc.field}") from exc
    except AnalysisError as exc:
        field = bars if isinstance(exc, BarsError) else asked
        raise TaskError(exc.problem, exc.remedy, field=f"data.{field}") from exc


async def read_bars(task: Task, least: int, usual: int, window_ms: int | None = None) -> list[Bars]:
    """The bars that the task's data name, of each symbol ``least`` at least, oldest first.

    Parameters
    ----------
    task
        Whose data are a :class:`BarsData`.
    usual
        How many of the topic's last bars are read when the request names neither a number nor a time.
    window_ms
        Length of the topic's or recorded bars when the request does not say; the shortest when absent.

    Raises
    ------
    TaskError
        With the field: bars that cannot be or are too few, an unknown symbol, a file that is none or lies
        outside of the data folder, a topic without such bars.
    """
    from agents.models.given_bars import given_bars, require_length

    data: BarsData = task.data
    with in_the_request():
        if data.source == "symbols":
            series = await _of_topic(task, max(least, usual), window_ms)
        else:
            named = data.model_dump(include=set(_NAMED), exclude_none=True)
            series = [_within(bars, data) for bars in given_bars(named, task.data_dir, window_ms)]
        require_length(series, least, data.source)
    task.check()
    return series


async def _of_topic(task: Task, usual: int, window_ms: int | None) -> list[Bars]:
    from agents.models.bars import make_bars

    data: BarsData = task.data
    assert data.symbols is not None
    last = data.last_bars
    if last is None and data.from_ns is None:
        last = usual
    wanted = BarRange(_window_ns(task, window_ms), last, data.from_ns, data.to_ns)
    found = await read_topic(task, data.symbols, wanted)
    return [make_bars(symbol, found[symbol], f"symbols.{symbol}") for symbol in data.symbols]


def _window_ns(task: Task, window_ms: int | None) -> int:
    lengths = task.settings.windows_ms
    usual = window_ms if window_ms in lengths else lengths[0]
    return int(task.data.window_ms or usual) * NS_PER_MS


def _within(bars: Bars, data: BarsData) -> Bars:
    first = 0 if data.from_ns is None else int(bars.ts_ns.searchsorted(data.from_ns))
    end = len(bars) if data.to_ns is None else int(bars.ts_ns.searchsorted(data.to_ns, "right"))
    part = bars.head(end).tail(max(end - first, 0)) if end > first else bars.head(0)
    return part if data.last_bars is None else part.tail(data.last_bars)


def flat(series: Sequence[Bars]) -> dict[str, Any]:
    """Columns of all bars, one symbol after the other: ``symbol``, ``ts_ns``, OHLCV."""
    import numpy as np

    from agents.models.bars import COLUMNS

    columns = {name: np.concatenate([getattr(bars, name) for bars in series]) for name in ("ts_ns", *COLUMNS)}
    symbols = np.repeat([bars.symbol for bars in series], [len(bars) for bars in series])
    return {"symbol": symbols, **columns}
