"""What the tests of formats share: write a small file, read it, compare whole rows."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from schemas.ticks import PRICE_SCALE, QUOTE, Ticks
from streams.replay.formats import BadRows, Format, ReadOptions, find_format
from streams.replay.order import join

DATA = Path(__file__).parents[4] / "shared" / "data"

Row = tuple[Any, ...]


def real(name: str) -> Path:
    """A recorded file, or a skip that says why."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the recorded file {name} is not here")
    return path


def read(
    path: Path, options: ReadOptions | None = None, known: Format | None = None
) -> tuple[Ticks, BadRows]:
    """All ticks of a file, in file order."""
    bad = BadRows(path.name)
    blocks = list((known or find_format(path)).read(path, options or ReadOptions(), bad))
    return join(blocks), bad


def rows(ticks: Ticks) -> list[Row]:
    """Quotes as (ns, symbol, "q", bid, ask, sizes), trades as (ns, symbol, "t", price, size, aggressor)."""
    c = {name: column.tolist() for name, column in ticks.columns.items()}
    found: list[Row] = []
    for i in range(len(ticks)):
        head = (c["ts_event_ns"][i], ticks.symbols[c["symbol"][i]])
        if c["kind"][i] == QUOTE:
            found.append((*head, "q", c["bid_px"][i], c["ask_px"][i], c["bid_sz"][i], c["ask_sz"][i]))
        else:
            found.append((*head, "t", c["trade_px"][i], c["trade_sz"][i], c["aggressor"][i]))
    return found


def px(text: str) -> int:
    """A decimal price on the grid, by integer arithmetic."""
    whole, _, part = text.partition(".")
    return int(whole) * PRICE_SCALE + int(part.ljust(9, "0"))


def zipped(path: Path, name: str, text: str) -> Path:
    """A zip of one file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return path


def gzipped(path: Path, text: str) -> Path:
    """A gzip file, without a time in it."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
        file.write(text.encode())
    path.write_bytes(buffer.getvalue())
    return path
