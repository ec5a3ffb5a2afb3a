"""Tables over ``cudf.DataFrame``: a GPU's. Where Numba simulates the GPU, pandas stands in for cuDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import config

if config.ENABLE_CUDASIM:
    import pandas as cudf
else:
    import cudf

Array = npt.NDArray[Any]


class DeviceTicks:
    """A :class:`agents.frames.table.TickFrame` over a data frame.

    A GPU adds in an order of its own: sums that are not exact may differ from the CPU's in the last bits.
    """

    def __init__(self, frame: Any, symbol_ids: npt.NDArray[np.int64]) -> None:
        self._frame = frame
        self._symbols = symbol_ids.astype(np.int32)

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, name: str) -> Any:
        return self._frame[name]

    def sum(self, values: Any) -> Any:
        """Sum by symbol."""
        return self._each(self._grouped(values).sum())

    def mean(self, values: Any) -> Any:
        """Mean by symbol."""
        return self._each(self._grouped(values).mean())

    def min(self, values: Any) -> Any:
        """Least value by symbol."""
        return self._each(self._grouped(values).min())

    def max(self, values: Any) -> Any:
        """Largest value by symbol."""
        return self._each(self._grouped(values).max())

    def _grouped(self, values: Any) -> Any:
        return values.astype("float64").groupby(self._frame["symbol"])

    def _each(self, found: Any) -> Any:
        """In the order of the window's symbols, on the device still."""
        return found.reindex(self._symbols)


class DeviceTable:
    """A :class:`agents.frames.table.Table` over a data frame."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    @classmethod
    def of(cls, columns: Mapping[str, Any], keep: npt.NDArray[np.bool_]) -> Self:
        """Copy the rows kept, on the device: the frame before the choice is a view of the kernels' arrays."""
        frame = cudf.DataFrame({name: _column(array) for name, array in columns.items()})
        return cls(frame[cudf.Series(keep)].reset_index(drop=True))

    @classmethod
    def from_host(cls, columns: Mapping[str, Array]) -> Self:
        """Send arrays to the device."""
        return cls(cudf.DataFrame(dict(columns)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One below the other."""
        return cls(cudf.concat([part._frame for part in parts], ignore_index=True))

    def __len__(self) -> int:
        return len(self._frame)

    def between(self, open_ns: int, close_ns: int) -> Self:
        """Rows of a window."""
        times = self._frame["ts_event_ns"]
        inside = (times >= open_ns) & (times < close_ns)
        return type(self)(self._frame[inside].reset_index(drop=True))

    def ticks(self, symbol_ids: npt.NDArray[np.int64]) -> DeviceTicks:
        """As a feature sees them."""
        return DeviceTicks(self._frame, symbol_ids)

    def to_host(self) -> dict[str, Array]:
        """Fetch the columns."""
        return {str(name): self._frame[name].to_numpy() for name in self._frame.columns}

    @staticmethod
    def floats(column: Any) -> npt.NDArray[np.float64]:
        """Fetch what a feature returned."""
        return np.asarray(column.astype("float64").fillna(np.nan).to_numpy(), np.float64)


def _column(array: Any) -> Any:
    """An array of the kernels; cuDF takes it by ``__cuda_array_interface__``, without a copy."""
    return array.copy_to_host() if config.ENABLE_CUDASIM else cudf.Series(array)
