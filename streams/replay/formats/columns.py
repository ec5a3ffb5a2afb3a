"""Columns of text or of any Arrow type to exact integers: prices in 1e-9, times in ns. Vectorised.

Each function returns the values and a mask of rows that could not be read, their values zero. Absent values,
null or empty text, are zero and not bad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.ticks import PRICE_SCALE, Array
from streams.replay.formats.base import TimeUnit

Mask = npt.NDArray[np.bool_]

NS_OF_UNIT = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_NINE = pa.decimal128(28, 9)
_EIGHTEEN = pa.decimal128(38, 18)
_NUMBER = r"^[ \t]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[ \t]*$"
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Converted:
    """Values, with which of them are bad and which were not there at all."""

    values: Array
    bad: Mask
    absent: Mask


def prices(column: pa.Array, scale: int = 1) -> Converted:
    """Prices to int64 multiples of 1e-9, exactly where the source is decimal.

    Digits beyond the ninth are rounded, which takes the dust off ``163.20000000000002``.

    Parameters
    ----------
    column
        Text, integers, decimals or floats.
    scale
        What the file multiplied its prices by.
    """
    found = _in_billionths(column)
    if scale == 1:
        return found
    quotient, rest = np.divmod(found.values, scale)
    return Converted(quotient + (2 * rest >= scale), found.bad, found.absent)


def integers(column: pa.Array) -> Converted:
    """Whole numbers to int64 (also from text such as ``300`` or ``300.0``)."""
    if pa.types.is_unsigned_integer(column.type) and column.type == pa.uint64():
        column = column.fill_null(0)
        values = column.to_numpy(zero_copy_only=False)
        none = np.zeros(len(values), bool)
        return Converted(values, none, none)
    found = _cast(column, pa.int64(), int)
    if not found.bad.any():
        return found
    scaled = _in_billionths(column)
    values, rest = np.divmod(scaled.values, PRICE_SCALE)
    values[~found.bad] = found.values[~found.bad]
    return Converted(values, found.bad & (scaled.bad | (rest != 0)), found.absent)


def floats(column: pa.Array) -> Converted:
    """Sizes to float64; not-a-number stays what it is."""
    return _cast(column, pa.float64(), float)


def times(column: pa.Array, unit: TimeUnit, zone: str) -> Converted:
    """Times to ns since 1970-01-01 UTC.

    Parameters
    ----------
    column
        Integers, text of numbers or of ISO 8601, floats, or Arrow timestamps.
    unit
        Unit of numbers; ``auto`` goes by the size of the first one.
    zone
        The zone of timestamps and texts that carry none.
    """
    if pa.types.is_timestamp(column.type):
        return _timestamps(column, zone)
    if unit == "auto":
        unit = _unit_of(column)
    if unit == "iso":
        return _iso(column, zone)
    factor = NS_OF_UNIT[unit]
    if pa.types.is_floating(column.type):
        found = floats(column)
        good = np.isfinite(found.values) & (np.abs(found.values) < _INT64 / factor)
        whole = np.floor(np.where(good, found.values, 0.0))
        part = np.where(good, found.values, 0.0) - whole
        values = whole.astype(np.int64) * factor + np.rint(part * factor).astype(np.int64)
        return Converted(values, found.bad | ~(good | found.absent), found.absent)
    found = _cast(column, pa.int64(), int)
    wide = np.abs(found.values) >= _INT64 // factor
    values = np.where(found.bad | wide, 0, found.values) * factor
    bad = found.bad | wide
    if found.bad.any() and unit == "s":
        seconds = _in_billionths(column)
        values = np.where(found.bad, seconds.values, values)
        bad = wide | (found.bad & seconds.bad)
    elif found.bad.any():
        _fill(column, found.bad, values, bad, lambda text: int(Decimal(text) * factor))
    return Converted(values, bad, found.absent)


def texts(column: pa.Array) -> tuple[Array, list[str | None]]:
    """Text to codes and the distinct texts, None for one that is no UTF-8; codes of null are -1."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.string())
    encoded = (
        column.view(pa.binary())
        if pa.types.is_string(column.type)
        else column.cast(pa.string()).view(pa.binary())
    )
    encoded = encoded.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return codes, [_utf8(value) for value in encoded.dictionary.to_pylist()]


def is_blank(column: pa.Array) -> Mask:
    """Where a text column has nothing, or nothing but spaces."""
    return np.asarray(pc.equal(pc.ascii_trim_whitespace(column.fill_null("")), ""))


def _utf8(value: bytes) -> str | None:
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return None


def _in_billionths(column: pa.Array) -> Converted:
    if pa.types.is_floating(column.type):
        found = floats(column)
        good = np.isfinite(found.values) & (np.abs(found.values) < _INT64 / PRICE_SCALE)
        values = np.rint(np.where(good, found.values, 0.0) * PRICE_SCALE).astype(np.int64)
        return Converted(values, found.bad | ~(good | found.absent), found.absent)
    if pa.types.is_integer(column.type):
        found = integers(column)
        wide = np.abs(found.values) >= _INT64 // PRICE_SCALE
        return Converted(np.where(wide, 0, found.values) * PRICE_SCALE, found.bad | wide, found.absent)
    column, absent = _without_blanks(column)
    try:
        decimals = column.cast(_NINE)
    except pa.ArrowException:
        return _dusty(column, absent)
    return Converted(*_unscaled(decimals), absent)


def _dusty(column: pa.Array, absent: Mask) -> Converted:
    """Decimals with too many digits, with spaces, or with bad ones among them."""
    readable, bad = _only_numbers(column)
    try:
        decimals = pc.round(readable.cast(_EIGHTEEN), 9, "half_to_even").cast(_NINE)
    except pa.ArrowException:
        values = np.zeros(len(column), np.int64)
        _fill(readable, ~np.asarray(readable.is_null()), values, bad, _billionths)
        return Converted(values, bad, absent)
    values, wide = _unscaled(decimals)
    return Converted(values, bad | wide, absent)


def _billionths(text: str) -> int:
    return int((Decimal(text) * PRICE_SCALE).to_integral_value())


def _unscaled(decimals: pa.Array) -> tuple[Array, Mask]:
    """The integers under decimal128(_, 9): 16 bytes each, of which int64 must do."""
    decimals = decimals.fill_null(0)
    words = np.frombuffer(decimals.buffers()[1], np.int64).reshape(-1, 2)
    words = words[decimals.offset : decimals.offset + len(decimals)]
    wide = words[:, 1] != (words[:, 0] >> 63)
    return np.where(wide, 0, words[:, 0]), wide


def _without_blanks(column: pa.Array) -> tuple[pa.Array, Mask]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    return column, np.asarray(column.is_null())


def _only_numbers(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Trimmed, with what is no number made null; and which those were."""
    if not pa.types.is_string(column.type):
        return column, np.zeros(len(column), bool)
    fine = pc.match_substring_regex(column, _NUMBER)
    bad = np.asarray(fine.fill_null(True)) == 0
    numbers = pc.if_else(fine, column, pa.scalar(None, column.type))
    return pc.ascii_trim_whitespace(numbers), bad


def _cast(column: pa.Array, target: pa.DataType, parse: Callable[[str], Any]) -> Converted:
    column, absent = _without_blanks(column)
    try:
        cast = column.cast(target)
    except pa.ArrowException:
        values = np.zeros(len(column), target.to_pandas_dtype())
        bad = np.zeros(len(column), bool)
        _fill(column, ~absent, values, bad, parse)
        return Converted(values, bad, absent)
    return Converted(cast.fill_null(0).to_numpy(zero_copy_only=False), np.zeros(len(column), bool), absent)


def _fill(column: pa.Array, rows: Mask, values: Array, bad: Mask, parse: Callable[[str], Any]) -> None:
    """Parse row by row what a whole column could not; slow, and only for columns with trouble in them."""
    for row in np.flatnonzero(rows):
        try:
            value = parse(str(column[row].as_py()))
            values[row] = value
            bad[row] = False
        except (ValueError, InvalidOperation, OverflowError, UnicodeDecodeError):
            values[row], bad[row] = 0, True


def _unit_of(column: pa.Array) -> TimeUnit:
    for value in column:
        given = value.as_py()
        if given in (None, ""):
            continue
        try:
            size = abs(float(given))
        except ValueError:
            return "iso"
        # Between 2001 and 2286 the four ranges do not meet.
        return "s" if size < 1e11 else "ms" if size < 1e14 else "us" if size < 1e17 else "ns"
    return "ns"


def _timestamps(column: pa.Array, zone: str) -> Converted:
    absent = np.asarray(column.is_null())
    none = np.zeros(len(column), bool)
    if column.type.tz is None and zone not in ("", "UTC"):
        column = pc.assume_timezone(column, zone, ambiguous="earliest", nonexistent="earliest")
    values = column.cast(pa.timestamp("ns", "UTC" if column.type.tz else None)).cast(pa.int64())
    return Converted(values.fill_null(0).to_numpy(zero_copy_only=False), none, absent)


def _iso(column: pa.Array, zone: str) -> Converted:
    column, absent = _without_blanks(column)
    for target in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            stamps = column.cast(target)
        except pa.ArrowException:
            continue
        return Converted(_timestamps(stamps, zone).values, np.zeros(len(column), bool), absent)
    values = np.zeros(len(column), np.int64)
    bad = np.zeros(len(column), bool)
    home = ZoneInfo(zone or "UTC")
    _fill(column, ~absent, values, bad, lambda text: iso_ns(text, home))
    return Converted(values, bad, absent)


def iso_ns(text: str, home: ZoneInfo) -> int:
    """One ISO 8601 text to ns; microseconds are the finest that Python's own reader keeps."""
    stamp = datetime.fromisoformat(text.strip())
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=home)
    whole = stamp.replace(microsecond=0)
    return int(whole.timestamp()) * 1_000_000_000 + stamp.microsecond * 1_000
