"""Bars from files: Parquet, CSV, QuantConnect Lean's daily zips, and what ``tapestream record`` wrote."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from agents.models.bars import COLUMNS, Bars, make_bars
from agents.models.recorded_bars import NEEDED, is_recording, recorded_bars
from schemas.errors import ModelError

_TIMES = ("ts_ns", "ts_event_ns", "window_close_ns", "close_ns", "date", "time", "timestamp", "datetime")
_LEAN = ("date", *COLUMNS)
_LEAN_PRICE = 10_000.0


def read_bars(
    path: Path, field: str = "path", window_ms: int | None = None, usual_ms: int | None = None
) -> list[Bars]:
    """All symbols of a file, or of the recorded bars in a folder.

    A file without a ``symbol`` column is one symbol, named like the file. Bars that cannot be (high below
    close, a price of 0) are refused, except in Lean's and CSV files, where they are left out: old daily files
    have a few, from rounding.

    Parameters
    ----------
    field
        What errors call the file.
    window_ms, usual_ms
        Of recorded bars; see :func:`~agents.models.recorded_bars.recorded_bars`.

    Raises
    ------
    ModelError
        When the file is absent, cannot be read, or has no bars in it.
    """
    if path.is_dir():
        tables = _recordings_in(path, field)
        if not tables:
            raise ModelError(
                field,
                f"the folder {path.name} has no recorded bars",
                "tapestream record --topics market.bars --out FOLDER, or name a file",
            )
        return recorded_bars(tables, field, window_ms, usual_ms)
    table, lenient = _read(path, field)
    if is_recording(table.column_names):
        return recorded_bars([table], field, window_ms, usual_ms)
    return _of_table(table, path, lenient, field)


def read_all(paths: Sequence[Path], window_ms: int | None = None) -> list[Bars]:
    """All symbols of several files and folders.

    Recorded bars are taken together: ``tapestream record`` begins a new file now and then, and a symbol goes
    on in the next one.

    Raises
    ------
    ModelError
        See :func:`read_bars`; the field is the file's path, or ``recorded bars``.
    """
    found: list[Bars] = []
    recorded: list[pa.Table] = []
    for path in paths:
        if path.is_dir() and (tables := _recordings_in(path, str(path))):
            recorded += tables
            continue
        table, lenient = _read(path, str(path))
        if is_recording(table.column_names):
            recorded.append(table)
        else:
            found += _of_table(table, path, lenient, str(path))
    return found + (recorded_bars(recorded, "recorded bars", window_ms) if recorded else [])


def _recordings_in(folder: Path, field: str) -> list[pa.Table]:
    """Recorded bars of a folder; it may hold other topics beside them."""
    try:
        files = sorted(folder.glob("*.parquet"))
        schemas = [pa.parquet.read_schema(file) for file in files]
        return [
            pa.parquet.read_table(file, columns=list(NEEDED), partitioning=None)
            for file, schema in zip(files, schemas, strict=True)
            if is_recording(schema.names)
        ]
    except (OSError, pa.ArrowException) as exc:
        raise _unreadable(folder, field, exc) from exc


def _read(path: Path, field: str) -> tuple[pa.Table, bool]:
    try:
        return _READERS.get(path.suffix.lower(), _csv)(path)
    except (OSError, pa.ArrowException, zipfile.BadZipFile, ValueError) as exc:
        raise _unreadable(path, field, exc) from exc


def _unreadable(path: Path, field: str, exc: Exception) -> ModelError:
    why = "there is no such file" if isinstance(exc, FileNotFoundError) else exc
    return ModelError(field, f"{path.name} cannot be read: {why}", "give Parquet, CSV or Lean zip")


def _of_table(table: pa.Table, path: Path, lenient: bool, field: str) -> list[Bars]:
    names = {name.lower(): name for name in table.column_names}
    absent = [name for name in COLUMNS if name not in names]
    if absent:
        raise ModelError(field, f"{path.name} has no column {absent[0]}", f"it needs {', '.join(COLUMNS)}")
    time = next((names[name] for name in _TIMES if name in names), None)
    wanted = {name: table[names[name]] for name in COLUMNS} | ({"ts_ns": table[time]} if time else {})
    if "symbol" not in names:
        symbol = path.name.split(".")[0].upper()
        return [_bars(symbol, wanted, lenient, f"{field}.{symbol}")]
    symbols = table[names["symbol"]].cast(pa.string())
    plain = pa.table(wanted)
    found = []
    for symbol in sorted(s for s in pc.unique(symbols).to_pylist() if s):
        rows = plain.filter(pc.equal(symbols, symbol))
        found.append(_bars(symbol, {n: rows[n] for n in rows.column_names}, lenient, f"{field}.{symbol}"))
    return found


def _bars(symbol: str, columns: dict[str, Any], lenient: bool, field: str) -> Bars:
    arrays: dict[str, Any] = {name: _array(columns[name], f"{field}.{name}") for name in columns}
    if lenient:
        o, h, low, c, v = (arrays[name] for name in COLUMNS)
        good = (h >= np.maximum(o, c)) & (low <= np.minimum(o, c)) & (low > 0) & (v >= 0)
        arrays = {name: array[good] for name, array in arrays.items()}
    return make_bars(symbol, arrays, field)


def _array(column: Any, field: str) -> Any:
    try:
        if pa.types.is_string(column.type):
            column = pc.strptime(column, format="%m/%d/%Y", unit="ns")
        if pa.types.is_temporal(column.type):
            return column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
        return column.to_numpy()
    except pa.ArrowException as exc:
        raise ModelError(field, str(exc), "use numbers, and dates as YYYY-MM-DD") from exc


def _parquet(path: Path) -> tuple[Any, bool]:
    return pa.parquet.read_table(path, partitioning=None), False


def _csv(path: Path) -> tuple[Any, bool]:
    return pa.csv.read_csv(path), True


def _lean(path: Path) -> tuple[Any, bool]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        options = pa.csv.ReadOptions(column_names=list(_LEAN))
        table = pa.csv.read_csv(
            pa.BufferReader(file.read()),
            options,
            convert_options=pa.csv.ConvertOptions(column_types={"date": pa.string()}),
        )
    days = pc.strptime(table["date"], format="%Y%m%d %H:%M", unit="ns")
    scaled = {name: pc.divide(table[name].cast(pa.float64()), _LEAN_PRICE) for name in COLUMNS[:4]}
    return pa.table({"date": days, **scaled, "volume": table["volume"].cast(pa.float64())}), True


_READERS = {".parquet": _parquet, ".zip": _lean}
