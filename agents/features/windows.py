"""The ticks of open windows, kept for features of one's own, and their values when windows close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from agents.features import FeatureSpec, Window
from agents.frames import Table
from agents.kernels.run import PROCESSED
from agents.outputs import OutputList
from agents.rows import FeatureTable
from schemas.ipc import read_batch, write_batch
from schemas.ticks import COLUMNS

MS = 1_000_000
END_OF_TIME = 2**63 - 1


class WindowFeatures:
    """The features of one partition.

    Parameters
    ----------
    specs
        What to compute.
    table
        The backend's tables.
    """

    def __init__(self, specs: tuple[FeatureSpec, ...], table: type[Table]) -> None:
        self.specs = specs
        self._table = table
        wanted = {"ts_event_ns", "symbol", *(name for spec in specs for name in spec.columns)}
        self._names = tuple(name for name in COLUMNS if name in wanted)
        empty = {name: np.empty(0, COLUMNS[name]) for name in self._names}
        self._parts: list[Table] = [table.from_host(empty)]

    def add(self, columns: Mapping[str, Any], classes: npt.NDArray[np.uint8]) -> None:
        """Keep the ticks of a message that counted.

        Parameters
        ----------
        columns
            Where the backend computes; ``symbol`` holds the partition's ids.
        """
        if not self.specs:
            return
        keep = classes == PROCESSED
        if keep.any():
            self._parts.append(self._table.of({name: columns[name] for name in self._names}, keep))

    def values(self, rows: FeatureTable, symbols: list[str], outputs: OutputList) -> npt.NDArray[np.float64]:
        """A row a feature, a column a row that closed.

        A feature that raises is dead-lettered with the window that it saw, and NaN there.
        """
        found = np.full((len(self.specs), len(rows)), np.nan)
        for number, spec in enumerate(self.specs):
            length = spec.window_ms * MS
            for part, close_ns, ids in rows.closes(length):
                window = Window(close_ns - length, close_ns)
                try:
                    found[number, part] = self._value(spec, window, ids)
                except Exception as exc:
                    saw = {"feature": spec.name, "close_ns": close_ns, "symbols": [symbols[i] for i in ids]}
                    outputs.add_failure(
                        f"feature {spec.name!r}", exc, "mend the feature; its column is NaN there", saw
                    )
        return found

    def _value(
        self, spec: FeatureSpec, window: Window, ids: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        ticks = self._joined().between(window.open_ns, window.close_ns).ticks(ids)
        with np.errstate(all="ignore"):
            value = self._table.floats(spec.compute(ticks, window))
        if value.shape != ids.shape:
            raise ValueError(f"returned shape {value.shape}, must be {ids.shape}")
        return np.where(np.isnan(value), np.nan, value)  # 0/0 has another sign bit on another machine

    def forget(self, watermark_ns: int) -> None:
        """Drop the ticks of windows that have closed."""
        if self.specs:
            longest = max(spec.window_ms for spec in self.specs) * MS
            self._parts = [self._joined().between(watermark_ns // longest * longest, END_OF_TIME)]

    def _joined(self) -> Table:
        if len(self._parts) > 1:
            self._parts = [self._table.joined(self._parts)]
        return self._parts[0]

    def to_bytes(self) -> bytes:
        """The ticks kept, an Arrow stream; the same on every backend."""
        return write_batch(pa.RecordBatch.from_pydict(self._joined().to_host()))

    def restore(self, data: bytes) -> None:
        """The inverse of :meth:`to_bytes`; FrameError or KeyError for anything else."""
        batch = read_batch(data)
        self._parts = [self._table.from_host({name: batch.column(name).to_numpy() for name in self._names})]
