"""Parquet: what ``tapestream record`` wrote of ``market.ticks``, or any other with a column map."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import SourceError
from schemas.frame import read_promise
from schemas.ticks import COLUMNS, NUMERIC, REQUIRED, Array, Sequences, Ticks, make_ticks
from streams.replay.formats import columns as convert
from streams.replay.formats.base import BadRows, ReadOptions, valid_rows
from streams.replay.formats.mapped import ColumnMap

META_TOPIC = b"tapestream_topic"
META_PARTITION = b"tapestream_partition"


class Parquet:
    """Apache Parquet with a row a tick."""

    name = "parquet"

    def sniff(self, path: Path, head: bytes) -> bool:
        """The magic number."""
        return head[:4] == b"PAR1"

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """Its rows; a file with the columns of a tick frame needs no map."""
        with _mapped_errors(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            own = not options.columns and is_own_layout(schema)
            columns = None if own else ColumnMap.of(path, schema.names, options)
            wanted = (
                [name for name in COLUMNS if name in schema.names]
                if columns is None
                else sorted(set(columns.found.values()))
            )
            groups = _groups(file, options.from_ns) if own else list(range(file.num_row_groups))
            starts = np.cumsum(
                [0] + [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            )
            promise = read_promise(schema.metadata)
            for group in groups:
                line = int(starts[group]) + 1
                for batch in file.iter_batches(options.block_rows, row_groups=[group], columns=wanted):
                    lines = np.arange(line, line + batch.num_rows)
                    line += batch.num_rows
                    bad.share = (line - 1) / max(file.metadata.num_rows, 1)
                    if columns is None:
                        yield _own_ticks(batch, lines, promise, bad, options.symbol)
                    else:
                        found = {name: batch.column(name) for name in batch.schema.names}
                        yield columns.ticks(found, lines, options, bad)


def is_own_layout(schema: pa.Schema) -> bool:
    """Whether the columns are those of a tick frame, with its types."""
    types = {name: schema.field(name).type for name in schema.names if name in COLUMNS}
    if not all(name in types for name in REQUIRED):
        return False
    return all(pa.from_numpy_dtype(COLUMNS[name]) == types[name] for name in NUMERIC if name in types)


def recorded_partition(path: Path) -> tuple[str, int] | None:
    """Topic and partition of a recording of ours, None for any other Parquet file."""
    with _mapped_errors(path):
        metadata = pq.read_schema(path).metadata or {}
    if META_TOPIC not in metadata or META_PARTITION not in metadata:
        return None
    return metadata[META_TOPIC].decode(), int(metadata[META_PARTITION])


def _own_ticks(batch: pa.RecordBatch, lines: Array, promise: Sequences, bad: BadRows, symbol: str) -> Ticks:
    columns: dict[str, Array] = {}
    nulls = np.zeros(batch.num_rows, bool)
    symbols: tuple[str, ...] = (symbol,)
    for name in batch.schema.names:
        column = batch.column(name)
        nulls |= np.asarray(column.is_null())
        if name != "symbol":
            columns[name] = column.fill_null(0).to_numpy(zero_copy_only=False)
            continue
        codes, found = convert.texts(column)
        columns[name] = np.maximum(codes, 0)
        if not symbol:
            symbols = tuple(text or "?" for text in found) or ("?",)
    if symbol:
        columns["symbol"] = np.zeros(batch.num_rows, np.int32)
    bad.add_where(nulls, lines, "a null")
    ticks = make_ticks(symbols, promise, **columns)
    if nulls.any():
        ticks, lines = ticks.take(~nulls), lines[~nulls]
    return valid_rows(ticks, lines, bad)


def _groups(file: pq.ParquetFile, from_ns: int | None) -> list[int]:
    """Row groups that may hold a tick at or after ``from_ns``, by the file's own statistics."""
    groups = list(range(file.num_row_groups))
    if from_ns is None:
        return groups
    column = file.schema_arrow.names.index("ts_event_ns")

    def reaches(group: int) -> bool:
        statistics: Any = file.metadata.row_group(group).column(column).statistics
        return statistics is None or not statistics.has_min_max or statistics.max >= from_ns

    return [group for group in groups if reaches(group)]


@contextmanager
def _mapped_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        reason = " ".join(str(exc).split())[:200]
        raise SourceError(f"{path}: damaged Parquet: {reason}", "fetch or record the file again") from exc
