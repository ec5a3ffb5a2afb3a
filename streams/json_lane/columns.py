"""Many ticks of one shape at once. Says which rows are plainly good, and their columns.

Invariant: a row said to be good is one that :func:`streams.json_lane.single.read_tick` accepts, with the
same values. The reverse need not hold: whatever is unusual is left to ``read_tick``. Every rule here is
therefore an exact type and a range, never a conversion that might be kinder than pydantic's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.ticks import COLUMNS, NUMERIC, QUOTE, TRADE, Array, is_symbol

Mask = npt.NDArray[np.bool_]
Column = Sequence[Any]

MAX_PRICE = 4e9
_NANO = 1_000_000_000
_FIELDS = {
    QUOTE: (("bid_px", "ask_px"), ("bid_sz", "ask_sz")),
    TRADE: (("trade_px",), ("trade_sz",)),
}
_KINDS = {"quote": QUOTE, "trade": TRADE}
_NONE = type(None)
_PLAIN_DECIMALS = re.compile(r"(?:[0-9]{1,10}(?:\.[0-9]{1,9})?,)*")
_DECIMAL = pa.decimal128(38, 9)


class SymbolTable(dict[str, int]):
    """Symbol to code, growing; what is no symbol has code -1 and is not kept."""

    def __missing__(self, symbol: str) -> int:
        if not is_symbol(symbol):
            return -1
        code = self[symbol] = len(self)
        return code


def convert(fields: dict[str, Column], n: int, symbols: SymbolTable) -> tuple[dict[str, Array], Mask]:
    """Columns of ``n`` ticks that have the same fields.

    Parameters
    ----------
    fields
        Field name to the ``n`` values, as the JSON parser gave them; foreign names are ignored.
    n
        How many ticks.
    symbols
        Codes by symbol; new symbols are added.

    Returns
    -------
    columns
        Every column of :data:`schemas.ticks.COLUMNS`, with anything in the rows that are not good.
    good : bool[n]
        Rows that are plainly good.
    """
    columns = {name: np.zeros(n, COLUMNS[name]) for name in NUMERIC}
    columns["symbol"] = np.zeros(n, np.int32)
    if not {"symbol", "ts_event_ns", "kind"} <= fields.keys():
        return columns, np.zeros(n, np.bool_)
    names, good = _of_types(fields["symbol"], n, "", str)
    columns["symbol"] = np.fromiter(map(symbols.__getitem__, names), np.int32, n)
    good &= columns["symbol"] >= 0
    columns["ts_event_ns"] = _integers(fields["ts_event_ns"], n, 1, 2**63 - 1, good)
    kinds, typed = _of_types(fields["kind"], n, "", str)
    columns["kind"] = np.fromiter((_KINDS.get(kind, 255) for kind in kinds), np.uint8, n)
    good &= typed & (columns["kind"] != 255)
    for name, low, high in (("ts_recv_ns", 0, 2**63 - 1), ("aggressor", -1, 1), ("sequence", 0, 2**64 - 1)):
        if name in fields:
            columns[name] = _integers(fields[name], n, low, high, good).astype(COLUMNS[name], copy=False)
    for kind, (prices, sizes) in _FIELDS.items():
        mine = columns["kind"] == kind
        for name in prices:
            _fill(columns, name, fields.get(name), _prices, mine, good)
        for name in sizes:
            _fill(columns, name, fields.get(name), _sizes, mine, good)
    return columns, good


def _fill(
    columns: dict[str, Array],
    name: str,
    column: Column | None,
    read: Any,
    mine: Mask,
    good: Mask,
) -> None:
    """Set one column where the tick is of its kind; elsewhere the field must be absent, null or sound."""
    if column is None:
        good &= ~mine
        return
    values, sound, null = read(column, len(mine))
    if mine.all():
        columns[name] = values
        good &= sound
    else:
        columns[name] = np.where(mine, values, 0)
        good &= sound | (null & ~mine)


def _of_types(column: Column, n: int, instead: Any, *types: type) -> tuple[Column, Mask]:
    """The column with ``instead`` for what has another type, and which had the right one."""
    if set(map(type, column)) <= set(types):
        return column, np.ones(n, np.bool_)
    right = [type(value) in types for value in column]
    return [v if ok else instead for v, ok in zip(column, right, strict=True)], np.array(right, np.bool_)


def _integers(column: Column, n: int, low: int, high: int, good: Mask) -> Array:
    """Exact integers in a range; clears ``good`` where they are not. int64, or uint64 for a larger range."""
    dtype = np.int64 if high < 2**63 else np.uint64
    values, typed = _of_types(column, n, low, int)
    good &= typed
    try:
        array = np.array(values, dtype)
    except OverflowError:
        fits = [low <= value <= high for value in values]
        good &= np.array(fits, np.bool_)
        array = np.array([v if ok else low for v, ok in zip(values, fits, strict=True)], dtype)
    good &= (array >= low) & (array <= high)
    return array


def _prices(column: Column, n: int) -> tuple[Array, Mask, Mask]:
    """Prices as multiples of 1e-9; which are sound; which are null."""
    if str in set(map(type, column)):
        decimals, sound, null = _decimal_strings(column, n)
        fixed = np.zeros(n, np.int64)
        if decimals is not None:
            # the low half of a 128-bit integer below 10**19, which the pattern guarantees
            fixed[sound] = np.frombuffer(decimals.buffers()[1], np.int64)[::2][: len(decimals)]
        return fixed, sound & (fixed > 0) & (fixed < int(MAX_PRICE) * _NANO), null
    numbers, typed, null = _numbers(column, n)
    sound = typed & (numbers > 0) & (numbers < MAX_PRICE)
    fixed, exact = fixed_point(np.where(sound, numbers, 0.0))
    return fixed, sound & exact, null


def fixed_point(prices: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], Mask]:
    """Multiples of 1e-9 equal to the shortest decimals of ``prices``, and where that is certain.

    A double stands for the shortest decimal that reads back as it. When the doubles around it lie closer
    together than a step of ``10**-d``, at most one multiple of the step reads back as it, and if one does
    then that is the shortest decimal, or equal to it. With ``d`` = 9 this holds below 2**21 (where
    ``price * 1e9`` also rounds to the right integer), with ``d`` = 5 below :data:`MAX_PRICE`.
    """
    nanos = np.rint(prices * 1e9)
    exact = (nanos / 1e9 == prices) & (prices < 2.0**21)
    fixed = nanos.astype(np.int64)
    if not exact.all():
        coarse = np.rint(prices * 1e5)
        second = ~exact & (coarse / 1e5 == prices)
        fixed[second] = coarse[second].astype(np.int64) * 10_000
        exact |= second
    return fixed, exact


def _sizes(column: Column, n: int) -> tuple[Array, Mask, Mask]:
    if str in set(map(type, column)):
        decimals, sound, null = _decimal_strings(column, n, pa.float64())
        sizes = np.zeros(n, np.float64)
        if decimals is not None:
            sizes[sound] = decimals.to_numpy()
        return sizes, sound, null
    numbers, typed, null = _numbers(column, n)
    return numbers, typed & (numbers >= 0) & (numbers < np.inf), null


def _numbers(column: Column, n: int) -> tuple[npt.NDArray[np.float64], Mask, Mask]:
    """Doubles, zero for what is no number; which are numbers; which are null."""
    found = set(map(type, column))
    if found <= {float, int}:
        return np.array(column, np.float64), np.ones(n, np.bool_), np.zeros(n, np.bool_)
    if found == {_NONE}:
        return np.zeros(n), np.zeros(n, np.bool_), np.ones(n, np.bool_)
    values, typed = _of_types(column, n, 0.0, float, int)
    return np.array(values, np.float64), typed, np.fromiter((v is None for v in column), np.bool_, n)


def _decimal_strings(
    column: Column, n: int, kind: pa.DataType = _DECIMAL
) -> tuple[pa.Array | None, Mask, Mask]:
    """Plain decimals in strings: the sound ones in a row, which they are, which are null."""
    null = np.fromiter((value is None for value in column), np.bool_, n)
    sound = np.fromiter((type(value) is str for value in column), np.bool_, n)
    texts = [value for value in column if type(value) is str]
    # One match over all is far faster than one each; a comma inside a text would make a piece too many.
    joined = ",".join(texts) + ","
    if not (_PLAIN_DECIMALS.fullmatch(joined) and joined.count(",") == len(texts)):
        plain = [bool(_PLAIN_DECIMALS.fullmatch(t + ",")) and "," not in t for t in texts]
        sound[sound] = plain
        texts = [text for text, ok in zip(texts, plain, strict=True) if ok]
    if not texts:
        return None, sound, null
    return pc.cast(pa.array(texts, pa.utf8()), kind), sound, null
