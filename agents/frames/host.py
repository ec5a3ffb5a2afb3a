"""Tables over NumPy arrays: the CPU's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class HostTicks:
    """A :class:`agents.frames.table.TickFrame` over arrays.

    Sums add in order of arrival, so that the bits do not depend on the machine.
    """

    def __init__(self, columns: Mapping[str, Array], symbol_ids: npt.NDArray[np.int64]) -> None:
        self._columns = columns
        self._symbols = len(symbol_ids)
        self._at = np.searchsorted(symbol_ids, columns["symbol"])

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, name: str) -> Array:
        return self._columns[name]

    def sum(self, values: Array) -> Array:
        """Sum by symbol."""
        return np.bincount(self._at, values, self._symbols)

    def mean(self, values: Array) -> Array:
        """Mean by symbol."""
        return self.sum(values) / np.bincount(self._at, minlength=self._symbols)

    def min(self, values: Array) -> Array:
        """Least value by symbol."""
        return self._extreme(np.minimum, values, np.inf)

    def max(self, values: Array) -> Array:
        """Largest value by symbol."""
        return self._extreme(np.maximum, values, -np.inf)

    def _extreme(self, choose: np.ufunc, values: Array, start: float) -> Array:
        found = np.full(self._symbols, start)
        choose.at(found, self._at, values)
        return found


class HostTable:
    """A :class:`agents.frames.table.Table` over arrays."""

    def __init__(self, columns: dict[str, Array]) -> None:
        self._columns = columns

    @classmethod
    def of(cls, columns: Mapping[str, Array], keep: npt.NDArray[np.bool_]) -> Self:
        """Copy the rows kept."""
        return cls({name: column[keep] for name, column in columns.items()})

    @classmethod
    def from_host(cls, columns: Mapping[str, Array]) -> Self:
        """Over these arrays."""
        return cls(dict(columns))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One below the other."""
        names = parts[0]._columns
        return cls({name: np.concatenate([part._columns[name] for part in parts]) for name in names})

    def __len__(self) -> int:
        return len(self._columns["ts_event_ns"])

    def between(self, open_ns: int, close_ns: int) -> Self:
        """Rows of a window."""
        times = self._columns["ts_event_ns"]
        return self.of(self._columns, (times >= open_ns) & (times < close_ns))

    def ticks(self, symbol_ids: npt.NDArray[np.int64]) -> HostTicks:
        """As a feature sees them."""
        return HostTicks(self._columns, symbol_ids)

    def to_host(self) -> dict[str, Array]:
        """The columns."""
        return self._columns

    @staticmethod
    def floats(column: Any) -> npt.NDArray[np.float64]:
        """As float64."""
        return np.asarray(column, np.float64)
