"""Bars in the shapes in which people have them, as flat columns and the stretch of each symbol.

Taken are: an array (closes), a mapping of names to arrays, a pandas or polars frame, an Arrow table or
batch. Arrays are (bars,) or (symbols, bars); a frame may be long, with a ``symbol`` column and each
symbol's bars in order of time. Prices that travel as integers of 1e-9 (``close_px``) become floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import BarsError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COLUMNS = ("open", "high", "low", "close", "volume")
_FIXED_POINT = 1e9
_TIMES = ("ts_ns", "close_ns", "ts_event_ns")


@dataclass(frozen=True)
class Bars:
    """Bars of some symbols, one symbol after the other.

    Attributes
    ----------
    given
        Columns as they came, by their name in small letters.
    shape
        Of each column and each result.
    begins, ends
        int64 [symbols], each symbol's stretch in the flat columns.
    names
        What errors call the symbols; empty for a single series.
    order
        Position of each flat row in what was given; ``None`` when they are the same.
    wrap
        Makes of the results what the bars were: frame for frame.
    """

    given: dict[str, Any]
    shape: tuple[int, ...]
    begins: Ints
    ends: Ints
    names: list[str]
    order: Ints | None
    wrap: Callable[[dict[str, Floats]], Any]
    _leads: dict[str, Ints] = field(default_factory=dict)
    _flat: dict[str, Floats] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether there is such a column, in floats or in fixed point."""
        return self._key(name) is not None

    def column(self, name: str) -> Floats:
        """A checked column, float64, flat.

        Raises
        ------
        BarsError
            When it is not there, has no numbers, NaN after its first number, or values that cannot be.
        """
        if name not in self._flat:
            values = self._read(name)
            self._leads[name] = self._first_numbers(name, values)
            if name == "volume" and (values < 0.0).any():
                raise self.error(int(np.argmax(values < 0.0)), "volume is below 0", "drop or repair the bar")
            self._flat[name] = values
        return self._flat[name]

    def columns(self, names: Iterable[str]) -> tuple[Floats, ...]:
        """Several columns; high and low are held against each other when both are among them."""
        names = tuple(names)
        found = tuple(self.column(name) for name in names)
        if "high" in names and "low" in names and self._wrong_range is not None:
            at = self._wrong_range
            high, low = self.column("high")[at], self.column("low")[at]
            raise self.error(at, f"high {high:g} is below low {low:g}", "drop or repair the bar")
        return found

    def starts(self, names: Iterable[str]) -> Ints:
        """First bar of each symbol at which all these columns have numbers."""
        self.columns(names)
        firsts = self.begins
        for name in names:
            firsts = np.maximum(firsts, self._leads[name])
        return firsts

    def put_back(self, flat: Floats) -> Floats:
        """A flat result in the order and shape of what was given."""
        if self.order is None:
            return flat.reshape(self.shape)
        result = np.empty_like(flat)
        result[self.order] = flat
        return result

    def error(self, at: int, problem: str, remedy: str) -> BarsError:
        """An error with the coordinates of flat row ``at``."""
        symbol = int(np.searchsorted(self.ends, at, side="right"))
        where = f"{self.names[symbol]} " if self.names else ""
        return BarsError(f"{where}bar {at - int(self.begins[symbol])}: {problem}", remedy)

    @cached_property
    def _wrong_range(self) -> int | None:
        """The first flat row whose high is below its low."""
        wrong = self.column("high") < self.column("low")
        return int(np.argmax(wrong)) if wrong.any() else None

    def _key(self, name: str) -> str | None:
        return next((key for key in (name, f"{name}_px") if key in self.given), None)

    def _read(self, name: str) -> Floats:
        key = self._key(name)
        if key is None:
            have = ", ".join(self.given) or "nothing"
            raise BarsError(f"bars have no column {name}, they have {have}", f"add a column {name}")
        raw = np.asarray(self.given[key])
        if raw.dtype.kind not in "iuf":
            raise BarsError(
                f"{key} holds {raw.dtype}, not numbers", "convert it, for example with astype(float)"
            )
        if raw.shape != self.shape:
            raise BarsError(
                f"{key} has shape {raw.shape}, the first column {self.shape}", "give equal shapes"
            )
        values = raw.astype(np.float64, copy=False).ravel()
        if key.endswith("_px") and raw.dtype.kind in "iu":
            values = values / _FIXED_POINT
        return np.ascontiguousarray(values if self.order is None else values[self.order])

    def _first_numbers(self, name: str, values: Floats) -> Ints:
        finite = np.isfinite(values)
        firsts = self.begins.copy()
        if finite.all():
            return firsts
        for symbol in np.flatnonzero(np.add.reduceat(~finite, self.begins)):
            begin, end = int(self.begins[symbol]), int(self.ends[symbol])
            stretch = finite[begin:end]
            first = int(np.argmax(stretch))
            if not stretch.any() or not stretch[first:].all():
                at = begin + first + int(np.argmin(stretch[first:])) if stretch.any() else begin
                raise self.error(
                    at, f"{name} is {values[at]}", "fill or drop such bars (leading NaN may stay)"
                )
            firsts[symbol] = begin + first
        return firsts


def one_each(symbols: Sequence[str], given: Mapping[str, Any]) -> Bars:
    """A bar of each of some symbols, NaN not allowed; a symbol that comes twice counts as two."""
    n = len(symbols)
    columns = {str(name).lower(): np.asarray(values) for name, values in given.items()}
    begins = np.arange(n, dtype=np.int64)
    return Bars(columns, (n,), begins, begins + 1, list(symbols), None, dict)


def read(bars: Any) -> Bars:
    """Bars of any of the shapes above; columns are read when they are asked for.

    Raises
    ------
    BarsError
        When this is nothing of that kind, is empty, or has bars of several lengths for a symbol.
    """
    given, wrap = _columns(bars)
    if not given:
        raise BarsError("there are no bars", f"give arrays or a frame with {', '.join(COLUMNS)}")
    first = next((given[key] for name in COLUMNS for key in (name, f"{name}_px") if key in given), None)
    if first is None:
        raise BarsError(
            f"bars have the columns {', '.join(given)}",
            f"name those needed of {', '.join(COLUMNS)}",
        )
    shape = np.shape(first)
    if len(shape) not in (1, 2) or 0 in shape:
        raise BarsError(f"bars have shape {shape}", "give (bars,) or (symbols, bars), with at least one bar")
    if "window_ns" in given and len(set(np.asarray(given["window_ns"]).tolist())) > 1:
        raise BarsError("window_ns: bars of several windows are mixed", "keep the rows of one window")
    if "symbol" in given and len(shape) == 1:
        return _in_time(_long(given, shape, wrap))
    lengths = np.full(shape[0] if len(shape) == 2 else 1, shape[-1], np.int64)
    names = [f"row {row}" for row in range(shape[0])] if len(shape) == 2 else []
    ends = np.cumsum(lengths)
    return _in_time(Bars(given, shape, ends - lengths, ends, names, None, wrap))


def _in_time(bars: Bars) -> Bars:
    """The bars, when those of each symbol rise in every column of times that they have."""
    for name in _TIMES:
        times = bars.given.get(name)
        if (
            times is None
            or times.shape not in (bars.shape, bars.shape[-1:])
            or times.dtype.kind not in "iufM"
        ):
            continue
        times = np.broadcast_to(times, bars.shape)
        flat = times.ravel() if bars.order is None else times[bars.order]
        falls = flat[1:] <= flat[:-1]
        falls[bars.begins[1:] - 1] = False  # another symbol begins
        if falls.any():
            raise bars.error(
                int(np.argmax(falls)) + 1, f"{name} is not after its predecessor", "sort the bars"
            )
    return bars


def _long(given: dict[str, Any], shape: tuple[int, ...], wrap: Callable[..., Any]) -> Bars:
    symbols = np.asarray(given["symbol"])
    if symbols.shape != shape:
        raise BarsError(f"symbol has {symbols.shape} rows, the bars {shape}", "give one symbol a bar")
    names, codes = np.unique(symbols.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    lengths = np.bincount(codes)
    ends = np.cumsum(lengths).astype(np.int64)
    sorted_already = bool((order[1:] > order[:-1]).all())
    return Bars(given, shape, ends - lengths, ends, names.tolist(), None if sorted_already else order, wrap)


def _columns(bars: Any) -> tuple[dict[str, Any], Callable[[dict[str, Floats]], Any]]:
    """Columns by small-letter name, and the way back."""
    if isinstance(bars, pa.Table | pa.RecordBatch):
        return {name.lower(): _of_arrow(bars.column(name)) for name in bars.column_names}, pa.table
    if isinstance(bars, Mapping):
        return {str(name).lower(): _plain(values) for name, values in bars.items()}, dict
    names = getattr(bars, "columns", None)
    if names is not None:
        index = {"index": bars.index} if hasattr(bars, "index") else {}
        columns = {str(name).lower(): np.asarray(bars[name]) for name in names}
        return columns, lambda results: type(bars)(results, **index)
    try:
        return {"close": np.asarray(_plain(bars), np.float64)}, dict
    except (TypeError, ValueError) as exc:
        raise BarsError(
            f"bars are a {type(bars).__name__}",
            "give an array, a mapping of arrays, or a frame",
        ) from exc


def _plain(values: Any) -> npt.NDArray[Any]:
    """An array; what is masked in it is NaN."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values)


def _of_arrow(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
