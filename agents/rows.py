"""From the kernel's matrices to feature and bar frames, and to the rows that signals see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.kernels.names import BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES
from agents.signals import FeatureRows
from schemas.features import BAR_SCHEMA, FEATURE_SCHEMA, encode_rows

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ID, _WINDOW, _OPEN, _CLOSE = 0, 1, 2, 3
assert INT_NAMES[:4] == BAR_INT_NAMES[:4] == ("symbol_id", "window", "open_ns", "close_ns")


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The feature rows that one message closed, as matrices of (columns, rows)."""

    ints: Ints
    floats: Floats
    windows_ns: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.ints.shape[1])

    def groups(self, window_ns: int) -> Iterator[FeatureRows]:
        """Rows of one window length, a group for each close, in the order in which they closed."""
        if window_ns not in self.windows_ns or not len(self):
            return
        rows = np.flatnonzero(self.ints[_WINDOW] == self.windows_ns.index(window_ns))
        if not len(rows):
            return
        closes = self.ints[_CLOSE, rows]
        for group in np.split(rows, np.flatnonzero(np.diff(closes)) + 1):
            columns: dict[str, npt.NDArray[np.generic]] = {
                name: self.floats[i, group] for i, name in enumerate(FEATURE_NAMES)
            }
            columns |= {name: self.ints[i, group] for i, name in enumerate(INT_NAMES) if i >= _OPEN}
            close = int(self.ints[_CLOSE, group[0]])
            yield FeatureRows(self.ints[_ID, group], window_ns, close, columns)


def feature_payloads(table: FeatureTable, symbols: list[str]) -> Iterator[bytes]:
    """Feature frames; more than one when the rows exceed what a message holds."""
    lengths = np.array(table.windows_ns, np.int64)[table.ints[_WINDOW]]
    yield from encode_rows(
        FEATURE_SCHEMA, symbols, table.ints[_ID], lengths, table.ints[_OPEN:], table.floats
    )


def bar_payloads(
    ints: Ints, floats: Floats, windows_ns: tuple[int, ...], symbols: list[str]
) -> Iterator[bytes]:
    """Bar frames; more than one when the rows exceed what a message holds."""
    lengths = np.array(windows_ns, np.int64)[ints[_WINDOW]]
    yield from encode_rows(BAR_SCHEMA, symbols, ints[_ID], lengths, ints[_OPEN:], floats)
