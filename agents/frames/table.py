"""What a feature of one's own sees: ticks as columns, the same way on the CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

Column = Any
"""A NumPy array or a ``cudf.Series``: arithmetic, comparisons, ``&``, ``|``, ``~``, ``abs`` work on both."""


class TickFrame(Protocol):
    """The ticks of one closed window, all symbols in order of arrival.

    ``ticks["trade_sz"]`` is a column, a value a tick: names, types and units of :mod:`schemas.ticks`. The
    methods reduce such a column, or what was computed from some, to a value for each symbol of the window;
    what they return has one length and order, so that it can be computed with in turn.
    """

    def __len__(self) -> int:
        """Ticks."""

    def __getitem__(self, name: str) -> Column:
        """A column; KeyError when the feature has not asked for it."""

    def sum(self, values: Column) -> Column:
        """Sum by symbol; True counts as 1."""

    def mean(self, values: Column) -> Column:
        """Mean by symbol."""

    def min(self, values: Column) -> Column:
        """Least value by symbol."""

    def max(self, values: Column) -> Column:
        """Largest value by symbol."""


class Table(Protocol):
    """Ticks kept until their windows close; never changed once made."""

    @classmethod
    def of(cls, columns: Mapping[str, Any], keep: npt.NDArray[np.bool_]) -> Self:
        """A copy of some rows of columns that lie where the backend computes."""

    @classmethod
    def from_host(cls, columns: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The inverse of :meth:`to_host`."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One below the other."""

    def __len__(self) -> int:
        """Rows."""

    def between(self, open_ns: int, close_ns: int) -> Self:
        """Rows with ``open_ns <= ts_event_ns < close_ns``."""

    def ticks(self, symbol_ids: npt.NDArray[np.int64]) -> TickFrame:
        """As a feature sees them, with these symbols, which ascend."""

    def to_host(self) -> dict[str, npt.NDArray[Any]]:
        """The columns as NumPy arrays."""

    @staticmethod
    def floats(column: Column) -> npt.NDArray[np.float64]:
        """What a feature returned, as a NumPy array."""
