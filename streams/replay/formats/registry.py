"""The formats there are: ours, those that installed packages add, and one that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from schemas.errors import SettingsError, SourceError
from streams.replay.formats.base import Format
from streams.replay.formats.binance import Binance
from streams.replay.formats.dbn import Dbn
from streams.replay.formats.delimited import Csv
from streams.replay.formats.itch import ItchCsv
from streams.replay.formats.lean import Lean
from streams.replay.formats.lobster import Lobster
from streams.replay.formats.opening import read_head
from streams.replay.formats.parquet import Parquet

ENTRY_POINTS = "tapestream.formats"

BUILTIN: tuple[Format, ...] = (Parquet(), Dbn(), Binance(), ItchCsv(), Lean(), Lobster(), Csv())
"""In the order in which they are asked; CSV last, since it takes any text with a header."""


@cache
def formats() -> tuple[Format, ...]:
    """Formats of installed packages first, so that they may know a file better than we do, then ours."""
    added = tuple(_made(entry.load(), entry.value) for entry in entry_points(group=ENTRY_POINTS))
    return (*added, *BUILTIN)


def named_format(name: str) -> Format:
    """A format by its name, or by ``module:Class``.

    Raises
    ------
    SettingsError
        When there is none.
    """
    if ":" not in name:
        for known in formats():
            if known.name == name:
                return known
        names = ", ".join(known.name for known in formats())
        raise SettingsError(f"no format is called {name!r}", f"one of {names}, or module:Class")
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as exc:
        raise SettingsError(f"format {name}: {exc}", "name an importable class as module:Class") from exc
    return _made(found, name)


def find_format(path: Path, among: Sequence[Format] | None = None) -> Format:
    """The format that knows the file by its first bytes.

    Raises
    ------
    SourceError
        When none does, saying which were asked.
    """
    if path.is_dir():
        raise SourceError(f"{path} is a folder", "name the files in it")
    head = read_head(path)
    if not head:
        raise SourceError(f"{path} is empty", "name a file with rows")
    asked = formats() if among is None else tuple(among)
    for known in asked:
        if known.sniff(path, head):
            return known
    names = ", ".join(known.name for known in asked)
    raise SourceError(
        f"{path}: no known format; looked for {names}",
        "a CSV needs a header line; for a format of your own give --format module:Class",
    )


def _made(found: Any, name: str) -> Format:
    made = found() if isinstance(found, type) else found
    if not isinstance(made, Format):
        raise SettingsError(f"format {name}: it lacks name, sniff or read", "see docs/formats.md")
    return made
