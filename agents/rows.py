"""From the kernel's matrices to feature and bar frames, and to the rows that signals see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.kernels.names import BAR_FLOAT_NAMES, BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES
from agents.signals import FeatureRows
from schemas.features import BAR_SCHEMA, RowEncoder, feature_schema

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ID, _WINDOW, _OPEN, _CLOSE = 0, 1, 2, 3
assert INT_NAMES[:4] == BAR_INT_NAMES[:4] == ("symbol_id", "window", "open_ns", "close_ns")
_FLOAT_AT = {name: i for i, name in enumerate(FEATURE_NAMES)}
_INT_AT = {name: i for i, name in enumerate(INT_NAMES) if i >= _OPEN}
_BAR_FLOAT_AT = {name: i for i, name in enumerate(BAR_FLOAT_NAMES)}
_BAR_INT_AT = {name: i for i, name in enumerate(BAR_INT_NAMES) if i >= _OPEN}


class Columns(Mapping[str, npt.NDArray[Any]]):
    """Columns of some neighbouring rows of a table, cut out when asked for."""

    def __init__(self, ints: Ints, floats: Floats, rows: slice, float_at: Mapping[str, int]) -> None:
        self._ints, self._floats, self._rows, self._float_at = ints, floats, rows, float_at

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        at = self._float_at.get(name)
        if at is not None:
            return self._floats[at, self._rows]
        return self._ints[_INT_AT[name], self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter((*_INT_AT, *self._float_at))

    def __len__(self) -> int:
        return len(_INT_AT) + len(self._float_at)


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The feature rows that one message closed, as matrices of (columns, rows)."""

    ints: Ints
    floats: Floats
    windows_ns: tuple[int, ...]
    float_at: Mapping[str, int] = field(default_factory=lambda: _FLOAT_AT)

    def with_own(self, names: tuple[str, ...], values: Floats) -> FeatureTable:
        """The same rows with more columns."""
        float_at = {**self.float_at, **{name: len(self.floats) + i for i, name in enumerate(names)}}
        return FeatureTable(self.ints, np.vstack([self.floats, values]), self.windows_ns, float_at)

    def __len__(self) -> int:
        return int(self.ints.shape[1])

    def groups(self, window_ns: int) -> Iterator[FeatureRows]:
        """Rows of one window length, a group for each close, in the order in which they closed."""
        for rows, close_ns, ids in self.closes(window_ns):
            yield FeatureRows(ids, window_ns, close_ns, Columns(self.ints, self.floats, rows, self.float_at))

    def closes(self, window_ns: int) -> Iterator[tuple[slice, int, Ints]]:
        """Where those groups stand: rows, close, and symbol ids, which ascend.

        The kernel writes the rows of a window that close together next to each other.
        """
        if window_ns not in self.windows_ns or not len(self):
            return
        for rows, close_ns in _closings(self.ints, self.windows_ns.index(window_ns)):
            yield rows, close_ns, self.ints[_ID, rows]


@dataclass(frozen=True, slots=True)
class BarTable:
    """The bars that one message closed, as matrices of (columns, rows)."""

    ints: Ints
    floats: Floats
    windows_ns: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.ints.shape[1])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """The column of that name of ``market.bars``."""
        at = _BAR_FLOAT_AT.get(name)
        column: npt.NDArray[Any] = self.ints[_BAR_INT_AT[name]] if at is None else self.floats[at]
        return column

    @property
    def symbol_ids(self) -> Ints:
        """Which symbol, a row."""
        ids: Ints = self.ints[_ID]
        return ids

    @property
    def lengths_ns(self) -> Ints:
        """Window length, a row."""
        lengths: Ints = np.array(self.windows_ns, np.int64)[self.ints[_WINDOW]]
        return lengths

    @property
    def times(self) -> Ints:
        """int64 (2, rows): open and close."""
        times: Ints = self.ints[_OPEN : _CLOSE + 1]
        return times

    def groups(self, window_ns: int) -> Iterator[tuple[slice, int]]:
        """Rows of one window length and their close, a group for each close, in order."""
        if window_ns in self.windows_ns and len(self):
            yield from _closings(self.ints, self.windows_ns.index(window_ns))


def _closings(ints: Ints, number: int) -> Iterator[tuple[slice, int]]:
    """Stretches of rows of window ``number`` that closed together, with their close."""
    window, close = ints[_WINDOW], ints[_CLOSE]
    edges = np.flatnonzero((window[1:] != window[:-1]) | (close[1:] != close[:-1])) + 1
    for start, stop in pairwise([0, *edges.tolist(), ints.shape[1]]):
        if window[start] == number:
            yield slice(start, stop), int(close[start])


class RowWriter:
    """Feature and bar frames of one partition; more than one a message when there are too many rows.

    Parameters
    ----------
    own
        Names of the features of one's own, the last columns.
    """

    def __init__(self, windows_ns: tuple[int, ...], own: tuple[str, ...] = ()) -> None:
        self._lengths = np.array(windows_ns, np.int64)
        self._features = RowEncoder(feature_schema(own))
        self._bars = RowEncoder(BAR_SCHEMA)

    def features(self, table: FeatureTable, symbols: list[str]) -> Iterator[bytes]:
        """Frames of feature rows."""
        lengths = self._lengths[table.ints[_WINDOW]]
        yield from self._features.encode(symbols, table.ints[_ID], lengths, table.ints[_OPEN:], table.floats)

    def bars(self, table: BarTable, symbols: list[str]) -> Iterator[bytes]:
        """Frames of bars."""
        ints, lengths = table.ints, self._lengths[table.ints[_WINDOW]]
        yield from self._bars.encode(symbols, ints[_ID], lengths, ints[_OPEN:], table.floats)
