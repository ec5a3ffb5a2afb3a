"""From the kernel's matrices to feature and bar frames, and to the rows that signals see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.kernels.names import BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES
from agents.signals import FeatureRows
from schemas.features import BAR_SCHEMA, FEATURE_SCHEMA, RowEncoder

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ID, _WINDOW, _OPEN, _CLOSE = 0, 1, 2, 3
assert INT_NAMES[:4] == BAR_INT_NAMES[:4] == ("symbol_id", "window", "open_ns", "close_ns")
_FLOAT_AT = {name: i for i, name in enumerate(FEATURE_NAMES)}
_INT_AT = {name: i for i, name in enumerate(INT_NAMES) if i >= _OPEN}


class Columns(Mapping[str, npt.NDArray[Any]]):
    """Columns of some neighbouring rows of a table, cut out when asked for."""

    def __init__(self, ints: Ints, floats: Floats, rows: slice) -> None:
        self._ints, self._floats, self._rows = ints, floats, rows

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        at = _FLOAT_AT.get(name)
        if at is not None:
            return self._floats[at, self._rows]
        return self._ints[_INT_AT[name], self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter((*_INT_AT, *_FLOAT_AT))

    def __len__(self) -> int:
        return len(_INT_AT) + len(_FLOAT_AT)


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The feature rows that one message closed, as matrices of (columns, rows)."""

    ints: Ints
    floats: Floats
    windows_ns: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.ints.shape[1])

    def groups(self, window_ns: int) -> Iterator[FeatureRows]:
        """Rows of one window length, a group for each close, in the order in which they closed.

        The kernel writes the rows of a window that close together next to each other.
        """
        n = len(self)
        if window_ns not in self.windows_ns or not n:
            return
        number = self.windows_ns.index(window_ns)
        window, close = self.ints[_WINDOW], self.ints[_CLOSE]
        edges = np.flatnonzero((window[1:] != window[:-1]) | (close[1:] != close[:-1])) + 1
        starts = [0, *edges.tolist(), n]
        for start, stop in pairwise(starts):
            if window[start] == number:
                rows = slice(start, stop)
                columns = Columns(self.ints, self.floats, rows)
                yield FeatureRows(self.ints[_ID, rows], window_ns, int(close[start]), columns)


class RowWriter:
    """Feature and bar frames of one partition; more than one a message when there are too many rows."""

    def __init__(self, windows_ns: tuple[int, ...]) -> None:
        self._lengths = np.array(windows_ns, np.int64)
        self._features = RowEncoder(FEATURE_SCHEMA)
        self._bars = RowEncoder(BAR_SCHEMA)

    def features(self, table: FeatureTable, symbols: list[str]) -> Iterator[bytes]:
        """Frames of feature rows."""
        lengths = self._lengths[table.ints[_WINDOW]]
        yield from self._features.encode(symbols, table.ints[_ID], lengths, table.ints[_OPEN:], table.floats)

    def bars(self, ints: Ints, floats: Floats, symbols: list[str]) -> Iterator[bytes]:
        """Frames of bars."""
        yield from self._bars.encode(symbols, ints[_ID], self._lengths[ints[_WINDOW]], ints[_OPEN:], floats)
