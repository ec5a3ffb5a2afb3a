"""Messages of a topic as rows of columns, for Parquet. Knows no files.

Every row says where it comes from: ``log_partition``, ``log_offset``, ``log_timestamp_ms``. Frames bring
their own columns; JSON its top-level fields, nested ones as JSON text, and the message itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from schemas import codec
from schemas.errors import TopicError
from schemas.frame import decode_frame, write_promise
from schemas.ipc import read_batch
from schemas.ticks import COLUMNS
from streams import topics
from streams.replay.formats.parquet import META_PARTITION, META_TOPIC

Shape = Literal["ticks", "frame", "json", "raw"]

LOG_FIELDS = [
    pa.field("log_partition", pa.int32()),
    pa.field("log_offset", pa.int64()),
    pa.field("log_timestamp_ms", pa.int64()),
]
_INT64 = 2**63


class Record(Protocol):
    """What is needed of a consumed record; ``aiokafka.ConsumerRecord`` has it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def shape_of(base: str) -> Shape:
    """How messages of that topic, by its name in the table, become rows."""
    if base == topics.TICKS:
        return "ticks"
    payload = topics.topic(base).payload
    if "Arrow" in payload:
        return "frame"
    return "json" if "JSON" in payload else "raw"


def log_metadata(topic: str, partition: int) -> dict[bytes, bytes]:
    """What a file says about where its rows come from."""
    return {META_TOPIC: topic.encode(), META_PARTITION: str(partition).encode()}


def ticks_table(record: Record) -> pa.Table:
    """The ticks of a frame, all columns; a row with a null keeps it, in ``kind``.

    Raises
    ------
    FrameError
        When the message is no tick frame.
    """
    ticks = decode_frame(record.value or b"")
    columns = {name: pa.array(values) for name, values in ticks.columns.items() if name != "symbol"}
    codes = pa.array(ticks.columns["symbol"])
    columns["symbol"] = pa.DictionaryArray.from_arrays(codes, pa.array(ticks.symbols, pa.utf8())).cast(
        pa.utf8()
    )
    if ticks.null_rows is not None:
        columns["kind"] = pa.array(ticks.columns["kind"], mask=ticks.null_rows)
    table = pa.table({name: columns[name] for name in COLUMNS})
    promise = write_promise(ticks.sequences)
    return _located(table, record, promise or {})


def frame_table(record: Record) -> pa.Table:
    """The rows of any other Arrow frame.

    Raises
    ------
    FrameError
        When the message is no Arrow stream of one batch.
    """
    batch = read_batch(record.value or b"")
    columns = [_plain(column) for column in batch.columns]
    return _located(pa.table(columns, names=batch.schema.names), record, {})


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _located(table: pa.Table, record: Record, metadata: dict[bytes, bytes]) -> pa.Table:
    n = table.num_rows
    places = (record.partition, record.offset, record.timestamp)
    log = [pa.array(np.full(n, value), field.type) for field, value in zip(LOG_FIELDS, places, strict=True)]
    fields = [*LOG_FIELDS, *table.schema]
    return pa.table([*log, *table.columns], schema=pa.schema(fields, metadata or None))


def json_rows(record: Record) -> list[dict[str, Any]]:
    """A row for the message, or for each element of an array.

    Raises
    ------
    FrameError
        When the message is no JSON.
    """
    value = codec.loads(record.value) if record.value is not None else None
    items = value if isinstance(value, list) else [value]
    rows = []
    for index, item in enumerate(items):
        row = _log_row(record) | {"log_item": index, "log_value": codec.dumps(item).decode()}
        if isinstance(item, dict):
            row |= {name: field for name, field in item.items() if not name.startswith("log_")}
        rows.append(row)
    return rows


def raw_rows(record: Record) -> list[dict[str, Any]]:
    """The message as it is."""
    return [_log_row(record) | {"log_value": record.value}]


def _log_row(record: Record) -> dict[str, Any]:
    headers = [[name, value.decode("utf-8", "replace")] for name, value in record.headers or ()]
    return {
        "log_partition": record.partition,
        "log_offset": record.offset,
        "log_timestamp_ms": record.timestamp,
        "log_key": record.key,
        "log_headers": codec.dumps(headers).decode(),
    }


def rows_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows to columns, each of the narrowest type that holds all its values."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    for field in LOG_FIELDS:
        columns[field.name] = columns[field.name].cast(field.type)
    return pa.table(columns)


def _column(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.array(values, pa.utf8())
    if kinds in ({bool}, {str}, {bytes}):
        return pa.array(values)
    narrow = all(-_INT64 <= value < _INT64 for value in values if isinstance(value, int))
    if kinds == {int} and narrow:
        return pa.array(values, pa.int64())
    if kinds <= {int, float} and narrow:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else codec.dumps(value).decode() for value in values], pa.utf8())


def checked_topics(names: Iterable[str]) -> tuple[str, ...]:
    """Names that the table of topics has, each once.

    Raises
    ------
    TopicError
        For one that it has not, and when there is none.
    """
    found = tuple(dict.fromkeys(topics.topic(name.strip()).name for name in names if name.strip()))
    if not found:
        raise TopicError("no topic to record", f"one of {', '.join(topic.name for topic in topics.TOPICS)}")
    return found
