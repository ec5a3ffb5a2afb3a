"""Delimited text in blocks of columns, each row with its line. Values stay text until they are converted."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from schemas.errors import SourceError
from schemas.ticks import Array
from streams.replay.formats.base import BadRows
from streams.replay.formats.opening import open_lines

_BYTES_A_ROW = 48
_MIN_BLOCK, _MAX_BLOCK = 1 << 16, 16 << 20


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Some rows: a text column a name, and the line of each row in the file."""

    columns: dict[str, pa.Array]
    lines: Array

    def __len__(self) -> int:
        return len(self.lines)


def split_header(head: bytes) -> tuple[list[str], str]:
    """The fields of the first line and the delimiter that gives the most of them."""
    line = head.split(b"\n", 1)[0].decode("utf-8-sig", "replace").rstrip("\r")
    delimiter = max(",;\t|", key=line.count)
    fields = next(csv.reader([line], delimiter=delimiter), [])
    return [field.strip() for field in fields], delimiter


def data_lines(head: bytes, most: int = 20) -> list[list[str]]:
    """The first whole lines, split at commas; what a format without a header is recognised by."""
    whole = head[: head.rfind(b"\n")] if b"\n" in head else head
    lines = [line.strip() for line in whole.decode("utf-8", "replace").split("\n")]
    return [line.split(",") for line in lines if line][:most]


def read_text(
    path: Path, bad: BadRows, block_rows: int, names: Sequence[str] | None = None, delimiter: str = ","
) -> Iterator[TextBlock]:
    """Read a file of delimited text.

    Parameters
    ----------
    names
        The columns of a file without a header; None when the first line has them.

    Raises
    ------
    SourceError
        When the file is empty or is no text of lines. A row with too many or too few fields goes to ``bad``.
    """
    with open_lines(path, bad) as stream:
        header_lines = 0
        if names is None:
            fields, delimiter = split_header(stream.readline())
            names, header_lines = fields, 1
            _check_header(path, names)
        if stream.peek(1):  # type: ignore[attr-defined]
            yield from _blocks(path, stream, bad, block_rows, list(names), delimiter, header_lines)
        elif not header_lines:
            raise SourceError(f"{path} is empty", "name a file with rows")


def _check_header(path: Path, names: Sequence[str]) -> None:
    if not any(names):
        raise SourceError(f"{path} is empty", "name a file with rows")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{path}: column {twice[0]} appears twice in the header", "rename one of them")


def _blocks(
    path: Path,
    stream: BinaryIO,
    bad: BadRows,
    block_rows: int,
    names: list[str],
    delimiter: str,
    header_lines: int,
) -> Iterator[TextBlock]:
    misfits: list[int] = []

    def on_misfit(row: Any) -> str:
        misfits.append(row.number)
        bad.add(row.number + header_lines, f"{row.actual_columns} columns, expected {row.expected_columns}")
        return "skip"

    size = min(max(block_rows * _BYTES_A_ROW, _MIN_BLOCK), _MAX_BLOCK)
    done = 0
    try:
        reader = pa_csv.open_csv(
            stream,
            pa_csv.ReadOptions(use_threads=False, block_size=size, column_names=names),
            pa_csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False, invalid_row_handler=on_misfit),
            pa_csv.ConvertOptions(
                check_utf8=False, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        for batch in reader:
            rows = np.arange(done, done + batch.num_rows)
            done += batch.num_rows
            if batch.num_rows:
                yield TextBlock(
                    {name: batch.column(i) for i, name in enumerate(names)},
                    _lines(rows, misfits) + header_lines,
                )
    except pa.ArrowException as exc:
        if "Empty CSV" in str(exc):
            return
        where = f"{path}:{done + len(misfits) + header_lines + 1}"
        raise SourceError(
            f"{where}: not lines of delimited text: {exc}", "is it another kind of file?"
        ) from exc


def _lines(rows: Array, misfits: list[int]) -> Array:
    """Line of each good row, counting from 1: the misfits among them took lines too."""
    if not misfits:
        return rows + 1
    before = np.asarray(misfits) - 1 - np.arange(len(misfits))
    return rows + 1 + np.searchsorted(before, rows, side="right")
