"""``hft_analysis``: order-flow features and signals of symbols over a time range, with the stream's bits.

The ticks go through :class:`agents.partition.Partition`, the very machine of the tick worker, with all the
symbols of their partition, since the windows of a partition close together. What it writes for the wanted
symbols and times is the result. It computes on the CPU, wherever it was granted memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agents.configuration import partition_config
from agents.outputs import Output
from agents.partition import Partition
from agents.signal_emission import window_text
from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.results import TaskRows, inside
from agents.tasks.tick_sources import Placed, Range, begin, file_messages, topic_messages
from schemas import codec
from schemas.errors import SettingsError, SourceError, TaskError
from schemas.features import FEATURE_SCHEMA
from schemas.ipc import read_batch
from schemas.settings import Settings
from schemas.ticks import MAX_SYMBOL
from streams import admin
from streams.clients import partition_of
from streams.log_reader import LogReader
from streams.topics import FEATURES, SIGNALS, TICKS

Symbol = Annotated[str, Field(min_length=1, max_length=MAX_SYMBOL)]
Time = Annotated[int, Field(gt=0, lt=2**63, description="ns since 1970-01-01 UTC")]
Offset = Annotated[int, Field(ge=0, lt=2**63)]

ROW_KEY = ("symbol", "window_ns", "close_ns")
COUNTED = ("ticks_in", "processed", "late", "duplicate", "dead", "gap", "crossed")

SIGNAL_TYPE = pa.list_(
    pa.struct(
        [
            ("kind", pa.utf8()),
            ("side", pa.int8()),
            ("strength", pa.float64()),
            ("expected_move_bps", pa.float64()),
            ("cost_bps", pa.float64()),
            ("model", pa.utf8()),
        ]
    )
)


class HftAnalysisData(BaseModel):
    """What to analyse.

    A window is in the range when it opens at or after ``from_ns`` and closes at or before ``to_ns``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=10_000)]
    file: Annotated[
        str | None, Field(min_length=1, description="Parquet under the data folder; the topic when absent")
    ] = None
    from_ns: Time | None = None
    to_ns: Time | None = None
    first_offset: Annotated[
        Offset | None, Field(description="of the one partition that the symbols are in; the topic only")
    ] = None
    last_offset: Annotated[Offset | None, Field(description="as first_offset; included")] = None
    windows_ms: Annotated[
        tuple[int, ...] | None, Field(description="the stream's own when absent; others give other bits")
    ] = None
    rows: Annotated[
        Literal["all", "signals"], Field(description="every window, or those where a side changed")
    ] = "all"

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> HftAnalysisData:
        if self.from_ns is not None and self.to_ns is not None and self.from_ns >= self.to_ns:
            raise ValueError("from_ns must be before to_ns")
        offsets = (self.first_offset, self.last_offset)
        if self.file is not None and offsets != (None, None):
            raise ValueError("a file has no offsets")
        if None not in offsets and offsets[0] > offsets[1]:  # type: ignore[operator]
            raise ValueError("first_offset must be at most last_offset")
        return self


class HftAnalysis(GPUAgent):
    """The stream's features and signals, on request."""

    task_type = "hft_analysis"
    Data = HftAnalysisData
    memory_bytes = 512 * MIB
    min_memory_bytes = 512 * MIB

    async def process_task(self, task: Task) -> TaskRows:
        """Read, compute, select.

        Raises
        ------
        TaskError
            For a file outside of the data folder, one that is no Parquet of ticks, unusable windows.
        """
        data: HftAnalysisData = task.data
        settings = _settings(task)
        homes = frozenset(partition_of(symbol, settings.partitions) for symbol in data.symbols)
        if (data.first_offset, data.last_offset) != (None, None) and len(homes) > 1:
            raise TaskError(
                f"data.symbols: they are in partitions {sorted(homes)}, offsets belong to one",
                "ask once a partition, or by from_ns and to_ns",
                field="data.symbols",
            )
        analysis = Analysis(settings, data, homes)
        if data.file is not None:
            _analyse_file(task, analysis, data.file)
        else:
            await _analyse_topic(task, analysis)
        return analysis.result()


def _settings(task: Task) -> Settings:
    """The stream's settings, with the windows that were asked for."""
    if task.data.windows_ms is None:
        return task.settings
    given = task.settings.model_dump(exclude_unset=True)
    try:
        return Settings(**given | {"windows_ms": task.data.windows_ms})
    except ValidationError as exc:
        raise TaskError(
            f"data.windows_ms: {exc.errors()[0]['msg']}",
            "ascending multiples of the first, in milliseconds",
            field="data.windows_ms",
        ) from exc


def _analyse_file(task: Task, analysis: Analysis, name: str) -> None:
    path = inside(task.data_dir, name, field="data.file")
    try:
        for placed in file_messages(path, analysis.settings, frozenset(analysis.states)):
            analysis.take(placed)
            task.progress(placed.share * 0.99, "computing")
            if analysis.finished:
                return
    except SourceError as exc:
        raise TaskError(f"data.file: {exc.problem}", exc.remedy, field="data.file") from exc


async def _analyse_topic(task: Task, analysis: Analysis) -> None:
    data: HftAnalysisData = task.data
    await admin.present(analysis.settings, TICKS)
    done = 0
    async with LogReader(analysis.settings) as reader:
        for state in analysis.states.values():
            bounds = (data.first_offset, data.last_offset)
            wanted = await begin(analysis.settings, reader, state, bounds, data.from_ns)
            analysis.note_range(wanted)
            async for placed in topic_messages(analysis.settings, reader, wanted):
                analysis.take(placed)
                task.progress((done + placed.share) / len(analysis.states) * 0.99, "computing")
                if analysis.is_past(state):
                    break
            done += 1


class Analysis:
    """The partitions of the symbols, and the rows of what they have written so far.

    Parameters
    ----------
    settings
        The stream's; equal ones give equal bits.
    """

    def __init__(self, settings: Settings, data: HftAnalysisData, homes: frozenset[int]) -> None:
        try:
            config = partition_config(settings.model_copy(update={"indicators": ()}))
        except SettingsError as exc:
            raise TaskError(exc.problem, exc.remedy, field="data.windows_ms") from exc
        self.settings = settings
        self.states = {number: Partition(config(number)) for number in sorted(homes)}
        self._data = data
        self._symbols = frozenset(data.symbols)
        self._batches: list[pa.RecordBatch] = []
        self._signals: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
        self._windows = {window_text(ms * 1_000_000): ms * 1_000_000 for ms in settings.windows_ms}
        self._ranges: dict[int, Range] = {}
        self._counted_before: Counter[str] = Counter()

    def note_range(self, wanted: Range) -> None:
        """What is read of a partition, before anything is: a checkpoint's counts are not this task's."""
        self._ranges[wanted.partition] = wanted
        self._counted_before.update(asdict(self.states[wanted.partition].accounting))

    def take(self, placed: Placed) -> None:
        """Compute one message."""
        for output in self.states[placed.partition].process(placed.message):
            if output.topic == FEATURES:
                self._take_features(output)
            elif output.topic == SIGNALS:
                self._take_signal(codec.loads(output.value))

    def _take_features(self, output: Output) -> None:
        batch = read_batch(output.value)
        symbols = batch.column("symbol")
        wanted = np.array([name in self._symbols for name in symbols.dictionary.to_pylist()], bool)
        chosen = wanted[symbols.indices.to_numpy()]
        if self._data.from_ns is not None:
            chosen &= batch.column("open_ns").to_numpy() >= self._data.from_ns
        if self._data.to_ns is not None:
            chosen &= batch.column("close_ns").to_numpy() <= self._data.to_ns
        if chosen.any():
            self._batches.append(_plain_symbols(batch.take(pa.array(np.flatnonzero(chosen)))))

    def _take_signal(self, signal: dict[str, Any]) -> None:
        if signal["symbol"] in self._symbols:
            key = (signal["symbol"], self._windows[signal["window"]], signal["ts_event_ns"])
            shown = {field.name: signal.get(field.name) for field in SIGNAL_TYPE.value_type}
            self._signals.setdefault(key, []).append(shown)

    def is_past(self, state: Partition) -> bool:
        """Whether a partition has closed every window up to ``to_ns``."""
        if self._data.to_ns is None or state.watermark_ns is None:
            return False
        return state.watermark_ns >= self._data.to_ns + state.config.lateness_ns

    @property
    def finished(self) -> bool:
        """Whether all partitions are past the range."""
        return all(self.is_past(state) for state in self.states.values())

    def result(self) -> TaskRows:
        """Rows by symbol, window and close; each with the signals that its close brought."""
        table = pa.Table.from_batches(self._batches, schema=_plain_schema())
        table = table.sort_by([(name, "ascending") for name in ROW_KEY])
        keys = zip(*(table.column(name).to_pylist() for name in ROW_KEY), strict=True)
        signals = [self._signals.get(key, []) for key in keys]
        table = table.append_column("signals", pa.array(signals, SIGNAL_TYPE))
        if self._data.rows == "signals":
            table = table.filter(pa.array([bool(found) for found in signals], pa.bool_()))
        return TaskRows(table, self._summary(table, sum(map(len, signals))))

    def _summary(self, table: pa.Table, n_signals: int) -> dict[str, Any]:
        counted: Counter[str] = Counter()
        for state in self.states.values():
            counted.update(asdict(state.accounting))
        known = {name for state in self.states.values() for name in state.symbols.names}
        return {
            "n_rows": table.num_rows,
            "n_signals": n_signals,
            "windows_ms": list(self.settings.windows_ms),
            "unknown_symbols": sorted(self._symbols - known),
            "counts": {name: counted[name] - self._counted_before[name] for name in COUNTED},
            "offsets": {str(n): [found.first, found.end] for n, found in self._ranges.items()},
            "whole_history": all(found.whole_history for found in self._ranges.values()),
        }


def _plain_symbols(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [batch.column("symbol").dictionary_decode(), *batch.columns[1:]]
    return pa.RecordBatch.from_arrays(columns, schema=_plain_schema())


def _plain_schema() -> pa.Schema:
    return FEATURE_SCHEMA.set(0, pa.field("symbol", pa.utf8()))
