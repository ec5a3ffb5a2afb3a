"""What an agent returns, made into JSON, or into Parquet under the data folder when it is large.

A file appears whole, by one rename, and never outside the folder.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from schemas import codec
from schemas.errors import TaskError
from streams.files import finish_file, path_inside

FOLDER = "results"


@dataclass(frozen=True, slots=True)
class TaskRows:
    """Rows, and a few words about them that are always in the result itself.

    Attributes
    ----------
    rows
        In the result as ``rows``, or in the Parquet file when there are many.
    summary
        Small plain data.
    """

    rows: pa.Table
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A result as it travels: JSON bytes, and the address of the file if there is one."""

    json: bytes
    path: str | None = None


def store(result: Any, data_dir: Path, task_id: str, attempt: int, inline_bytes: int) -> Stored:
    """Make a result travel.

    Parameters
    ----------
    inline_bytes
        JSON above this goes to a file.

    Raises
    ------
    TaskError
        ``RESULT_TOO_LARGE`` when it is large and no rows; ``TASK_ERROR`` when it is no plain data.
    """
    summary, rows = _split(result)
    if rows is not None and rows.nbytes > inline_bytes:  # JSON is no smaller than Arrow, within a factor
        return _filed(summary, rows, data_dir, task_id, attempt, inline_bytes)
    whole = dict(summary) | {"rows": rows.to_pylist()} if rows is not None else summary
    encoded = encode(whole)
    if len(encoded) <= inline_bytes:
        return Stored(encoded)
    if rows is None:
        rows, summary = _as_rows(whole, len(encoded), inline_bytes), {}
    return _filed(summary, rows, data_dir, task_id, attempt, inline_bytes)


def encode(value: Any) -> bytes:
    """JSON of what an agent returned; NaN and infinities are null.

    Raises
    ------
    TaskError
        Naming the type that has no JSON.
    """
    plain = to_plain(value)
    try:
        return codec.dumps(plain)
    except TypeError as exc:  # integers beyond 64 bits, text that is no UTF-8
        raise _no_json(str(exc)) from exc


def to_plain(value: Any) -> Any:
    """Plain lists, dicts with text keys, texts and numbers of what an agent returned."""
    if isinstance(value, float):  # NumPy's float64 is one
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, BaseModel):
        return to_plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: to_plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(inner) for inner in value]
    if hasattr(value, "isoformat"):  # dates and times
        return value.isoformat()
    for name in ("to_pylist", "tolist"):  # Arrow; NumPy and torch, arrays and scalars
        method = getattr(value, name, None)
        if callable(method):
            return to_plain(method())
    raise _no_json(f"{type(value).__module__}.{type(value).__qualname__}")


def _no_json(what: str) -> TaskError:
    return TaskError(
        f"the result holds what has no JSON: {what}",
        "return plain data, arrays, a pydantic model or a pyarrow.Table",
        code="TASK_ERROR",
    )


def _split(result: Any) -> tuple[Any, pa.Table | None]:
    if isinstance(result, TaskRows):
        return dict(result.summary), result.rows
    if isinstance(result, pa.RecordBatch):
        return {}, pa.Table.from_batches([result])
    if isinstance(result, pa.Table):
        return {}, result
    return result, None


def _as_rows(value: Any, size: int, limit: int) -> pa.Table:
    """A list of records as a table."""
    plain = to_plain(value)
    if isinstance(plain, list) and plain and all(isinstance(row, dict) for row in plain):
        with suppress(pa.ArrowException):
            return pa.Table.from_pylist(plain)
    raise _too_large(size, limit)


def _too_large(size: int, limit: int) -> TaskError:
    return TaskError(
        f"the result is {size:,} bytes of JSON, {limit:,} may travel",
        "return rows: a pyarrow.Table, a list of records, or agents.tasks.results.TaskRows",
        code="RESULT_TOO_LARGE",
    )


def _filed(
    summary: Any, rows: pa.Table, data_dir: Path, task_id: str, attempt: int, inline_bytes: int
) -> Stored:
    encoded = encode(dict(summary) | {"n_rows": rows.num_rows})
    if len(encoded) > inline_bytes:
        raise _too_large(len(encoded), inline_bytes)
    path = result_file(data_dir, task_id, attempt)
    write_rows(rows, path)
    return Stored(encoded, path.relative_to(data_dir.resolve()).as_posix())


def write_rows(rows: pa.Table, path: Path) -> None:
    """Write a Parquet file that is whole or not there."""
    draft = draft_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, draft, compression="zstd", write_page_checksum=True)
        finish_file(draft, path)
    except (OSError, pa.ArrowException) as exc:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise TaskError(
            f"the result cannot be written: {reason}", "make room in the data folder", code="TASK_ERROR"
        ) from exc


def result_file(data_dir: Path, task_id: str, attempt: int) -> Path:
    """Where the rows of an attempt go.

    Raises
    ------
    TaskError
        When that is outside of the data folder: a name with a slash, a link that leads away.
    """
    return inside(data_dir, f"{FOLDER}/{task_id}.{attempt}.parquet", field="task_id")


def draft_of(path: Path) -> Path:
    """The file while it is being written; whoever ends the writer removes it."""
    return path.with_name(f".{path.name}.draft")


def drafts(data_dir: Path) -> Iterable[Path]:
    """Files that nobody finished."""
    return (data_dir / FOLDER).glob(".*.draft")


def inside(data_dir: Path, name: str, field: str) -> Path:
    """The path ``name`` under the data folder, links followed.

    Parameters
    ----------
    field
        Of the request, for the error.

    Raises
    ------
    TaskError
        When it lies outside.
    """
    path = path_inside(data_dir, name)
    if path is None:
        raise TaskError(
            f"{field}: {name[:200]!r} is outside of the data folder",
            "put the file into TAPESTREAM_DATA_DIR and name it relative to that",
            field=field,
        )
    return path
