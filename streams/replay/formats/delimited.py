"""CSV and its kin with a header and a column map, plain or compressed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from schemas.ticks import Ticks
from streams.replay.formats.base import BadRows, ReadOptions
from streams.replay.formats.mapped import ColumnMap
from streams.replay.formats.text import read_text, split_header


class Csv:
    """Text with a header line, delimited by comma, semicolon, tab or bar."""

    name = "csv"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A first line of two or more names, none of them a number."""
        if b"\0" in head:
            return False
        names, _ = split_header(head)
        return len(names) > 1 and all(name and not _is_number(name) for name in names)

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """Its rows by the map of the options, or by the names of the columns."""
        columns: ColumnMap | None = None
        for block in read_text(path, bad, options.block_rows):
            columns = columns or ColumnMap.of(path, list(block.columns), options)
            yield columns.ticks(block.columns, block.lines, options, bad)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
