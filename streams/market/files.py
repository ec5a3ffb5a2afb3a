"""The simulated market on disk: a sample of ticks as Parquet, and the truth beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from schemas import codec
from schemas.errors import SettingsError
from schemas.frame import write_promise
from schemas.ticks import ARROW_SCHEMA, COLUMNS, Ticks
from streams.market.config import MarketTruth, SymbolTruth
from streams.market.fault_plan import PlantedFault


class ParquetSink:
    """Writes ticks to a Parquet file with the columns of a tick frame, a row group a write.

    The same ticks in the same writes give the same bytes. `tapestream replay` reads it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: pq.ParquetWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    async def write(self, ticks: Ticks) -> None:
        """Add rows.

        Raises
        ------
        SettingsError
            When the file cannot be written.
        """
        arrays = [
            pa.DictionaryArray.from_arrays(pa.array(column), pa.array(ticks.symbols, pa.utf8()))
            if name == "symbol"
            else pa.array(column)
            for name, column in ((name, ticks.columns[name]) for name in COLUMNS)
        ]
        schema = ARROW_SCHEMA.with_metadata(write_promise(ticks.sequences))
        try:
            if self._writer is None:
                self._writer = pq.ParquetWriter(self.path, schema, compression="zstd")
            self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc

    async def heartbeat(self, ts_event_ns: int) -> None:
        """A file has no use for it."""


def write_truth(path: Path, truth: MarketTruth) -> list[Path]:
    """Write the truth: one JSON object; or, for a name that ends in .parquet, a table of symbols there and
    one of faults beside it.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    SettingsError
        When one cannot be written.
    """
    try:
        if path.suffix != ".parquet":
            path.write_text(codec.dumps_pretty(truth.to_plain()) + "\n", encoding="utf-8")
            return [path]
        beside = path.with_name(f"{path.stem}.faults.parquet")
        config = {b"market": codec.dumps(asdict(truth.config))}
        pq.write_table(_table(truth.symbols, SymbolTruth).replace_schema_metadata(config), path)
        pq.write_table(_table(truth.faults, PlantedFault), beside)
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    return [path, beside]


def _table(rows: Sequence[Any], kind: type[Any]) -> pa.Table:
    names = [field.name for field in fields(kind)]
    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema([(field.name, types.get(str(field.type), pa.utf8())) for field in fields(kind)])
    return pa.table({name: [getattr(row, name) for row in rows] for name in names}, schema=schema)


def _unwritable(path: Path, exc: OSError) -> SettingsError:
    # Arrow's message repeats the path at length; the number in it is the system's own.
    reason = os.strerror(exc.errno) if exc.errno else str(exc)
    return SettingsError(f"{path}: {reason}", "name a file in a folder that can be written to")
