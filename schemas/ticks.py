"""The tick: its columns, its units and its limits. May import numpy and pyarrow only.

A *tick* is one market event, a quote or a trade. Ticks travel as columns, never one by one as objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

VERSION = 1
"""Version of every message format of ours; carried in the ``tapestream-version`` header."""

PRICE_SCALE = 1_000_000_000
"""Prices are int64 multiples of 1e-9 of the quote currency, so that they compare exactly."""

QUOTE, TRADE = 0, 1

MAX_SYMBOL = 64
"""Most characters of a symbol."""

Array = npt.NDArray[Any]

COLUMNS: dict[str, np.dtype[Any]] = {
    "ts_event_ns": np.dtype(np.int64),
    "ts_recv_ns": np.dtype(np.int64),
    "symbol": np.dtype(np.int32),
    "kind": np.dtype(np.uint8),
    "bid_px": np.dtype(np.int64),
    "ask_px": np.dtype(np.int64),
    "trade_px": np.dtype(np.int64),
    "bid_sz": np.dtype(np.float64),
    "ask_sz": np.dtype(np.float64),
    "trade_sz": np.dtype(np.float64),
    "aggressor": np.dtype(np.int8),
    "sequence": np.dtype(np.uint64),
}
"""Column name to NumPy dtype; ``symbol`` holds codes into :attr:`Ticks.symbols`."""

NUMERIC = tuple(name for name in COLUMNS if name != "symbol")
REQUIRED = ("ts_event_ns", "symbol", "kind")
"""Columns that every frame has; any other may be absent when no row uses it."""

ARROW_TYPES: dict[str, pa.DataType] = {
    name: pa.dictionary(pa.int32(), pa.utf8()) if name == "symbol" else pa.from_numpy_dtype(dtype)
    for name, dtype in COLUMNS.items()
}
ARROW_SCHEMA = pa.schema([pa.field(name, kind) for name, kind in ARROW_TYPES.items()])
"""The schema of a frame with all columns, before metadata."""


def is_symbol(text: str | None) -> bool:
    """Whether a text can be a symbol: 1 to 64 printable characters."""
    return text is not None and 0 < len(text) <= MAX_SYMBOL and text.isprintable()


@dataclass(frozen=True, slots=True)
class Sequences:
    """What ``sequence`` promises, by kind of tick.

    Sequence numbers rise by symbol and kind. *Dense* ones rise by one, so that a step is a gap;
    others may skip (an order book's update ids). 0 means that the venue sends none.
    """

    dense_quotes: bool = False
    dense_trades: bool = False


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks as columns of one length, all present.

    Attributes
    ----------
    symbols
        The distinct symbols; ``columns["symbol"]`` indexes them.
    columns
        Name to array, every name of :data:`COLUMNS` with its dtype. Columns that carry nothing are
        zeros: the trade columns of a quote, the sequence of a venue that sends none.
    sequences
        What the sequence numbers promise.
    null_rows
        Rows with a null in any column, which a foreign writer may send; None when there are none.
    """

    symbols: tuple[str, ...]
    columns: dict[str, Array]
    sequences: Sequences = field(default_factory=Sequences)
    null_rows: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.columns["ts_event_ns"])

    def take(self, rows: Array | slice) -> Ticks:
        """Some of the rows, in the order given; the symbols stay."""
        nulls = None if self.null_rows is None else self.null_rows[rows]
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Ticks(self.symbols, columns, self.sequences, nulls)


def make_ticks(
    symbols: tuple[str, ...], sequences: Sequences | None = None, **columns: npt.ArrayLike
) -> Ticks:
    """Build :class:`Ticks` from some columns; absent ones become zeros.

    Parameters
    ----------
    symbols
        The distinct symbols.
    sequences
        What the sequence numbers promise; nothing when absent.
    **columns
        Arrays of one length; ``ts_event_ns``, ``symbol`` (codes) and ``kind`` at least.

    Raises
    ------
    KeyError
        For a missing required column or one that ticks do not have.
    ValueError
        When lengths differ.
    """
    missing = [name for name in REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS]
    if missing or unknown:
        raise KeyError(f"missing columns {missing}, unknown columns {unknown}")
    n = len(np.asarray(columns["ts_event_ns"]))
    full = {
        name: np.ascontiguousarray(columns[name], dtype) if name in columns else np.zeros(n, dtype)
        for name, dtype in COLUMNS.items()
    }
    lengths = {name: len(column) for name, column in full.items() if len(column) != n}
    if lengths:
        raise ValueError(f"columns differ in length: ts_event_ns has {n}, {lengths}")
    return Ticks(symbols, full, sequences or Sequences())


def concat_ticks(parts: list[Ticks]) -> Ticks:
    """Join ticks in order, with one dictionary of symbols; sequence promises must agree."""
    if len(parts) == 1:
        return parts[0]
    codes: dict[str, int] = {}
    symbol_columns = []
    for part in parts:
        lookup = np.array([codes.setdefault(s, len(codes)) for s in part.symbols], np.int32)
        symbol_columns.append(lookup[part.columns["symbol"]])
    promised = {part.sequences for part in parts}
    if len(promised) > 1:
        raise ValueError(f"parts promise different sequences: {promised}")
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in NUMERIC}
    columns["symbol"] = np.concatenate(symbol_columns)
    nulls = None
    if any(part.null_rows is not None for part in parts):
        nulls = np.concatenate(
            [p.null_rows if p.null_rows is not None else np.zeros(len(p), bool) for p in parts]
        )
    return Ticks(tuple(codes), {name: columns[name] for name in COLUMNS}, parts[0].sequences, nulls)
