"""What a format is, what it is asked, and where it puts what it cannot use.

A format turns one recorded file into blocks of ticks, in the file's own order; putting them in order of time
is :mod:`streams.replay.order`'s. To add one, write a class like those beside this module and register it
under the entry point ``tapestream.formats``, or name it with ``--format module:Class``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from schemas.ticks import Array, Ticks

TimeUnit = Literal["auto", "ns", "us", "ms", "s", "iso"]
TIME_UNITS: tuple[TimeUnit, ...] = ("auto", "ns", "us", "ms", "s", "iso")

BLOCK_ROWS = 65_536
"""Rows of a block, about; a reader that streams holds one or two."""

KEPT_EXAMPLES = 5
"""Bad rows that are named, by file and reason; all are counted."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about files that do not say it themselves.

    Parameters
    ----------
    columns
        Tick column to the file's column, for files with a map: ``{"ts_event_ns": "time"}``.
    symbol
        The symbol of every row, where the file has none or another is wanted.
    day
        The date of a file that counts time from midnight and whose name has no date.
    time_unit
        Unit of times in mapped files; ``auto`` tells seconds from milliseconds and so on by their size.
    time_zone
        Zone of times that have none, and of midnight; empty for the format's own.
    price_scale
        What mapped prices are divided by: 10000 where 1872301 means 187.2301.
    recv_offset_ns
        Added to the capture time where it stands in for a missing exchange time.
    block_rows
        About how many rows a block should have.
    from_ns
        Ticks before this event time are not wanted; a format may spare itself reading them.
    """

    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    symbol: str = ""
    day: date | None = None
    time_unit: TimeUnit = "auto"
    time_zone: str = ""
    price_scale: int = 1
    recv_offset_ns: int = 0
    block_rows: int = BLOCK_ROWS
    from_ns: int | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no tick, where it is and why; ``line`` counts from 1, 0 for the file as a whole."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


@dataclass(slots=True)
class BadRows:
    """Counts and names what a file holds that is no tick. Bad rows are no reason to stop.

    Attributes
    ----------
    bad
        Reason to number of rows that should have been ticks and cannot be.
    skipped
        What to number of rows that are good and no ticks: depth updates, a top of book that did not change.
    examples
        The first bad rows of each reason, with their lines.
    share
        How much of the file has been read, 0 to 1.
    """

    file: str = ""
    share: float = 0.0
    bad: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: list[BadRow] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        """One bad row."""
        self.bad[reason] += 1
        if self.bad[reason] <= KEPT_EXAMPLES:
            self.examples.append(BadRow(self.file, int(line), reason))

    def add_where(self, mask: npt.NDArray[np.bool_], lines: Array, reason: str) -> None:
        """Every row of the mask; ``lines`` has their line numbers."""
        n = int(np.count_nonzero(mask))
        if not n:
            return
        wanted = max(0, KEPT_EXAMPLES - self.bad[reason])
        for row in np.flatnonzero(mask)[:wanted]:
            self.examples.append(BadRow(self.file, int(lines[row]), reason))
        self.bad[reason] += n

    def skip(self, what: str, n: int = 1) -> None:
        """Good rows that are no ticks."""
        if n:
            self.skipped[what] += int(n)

    @property
    def total(self) -> int:
        """Bad rows, of all reasons."""
        return self.bad.total()


@runtime_checkable
class Format(Protocol):
    """One kind of recorded file."""

    name: str

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file is of this kind, by its first bytes after decompression."""

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """Its ticks, in the order of its rows, in blocks.

        Raises
        ------
        SourceError
            When the file as a whole cannot be read; a row that cannot goes to ``bad``.
        """


def valid_rows(ticks: Ticks, lines: Array, bad: BadRows) -> Ticks:
    """The rows that can be ticks; the others go to ``bad``, each under the first reason that holds.

    Time is given and positive, a quote has two sides, prices are positive, sizes finite and not negative. A
    crossed quote stays: the venue said so, and the worker reports it.
    """
    columns = ticks.columns
    quote = columns["kind"] == 0
    sizes_fine = np.ones(len(ticks), bool)
    for name in ("bid_sz", "ask_sz", "trade_sz"):
        sizes_fine &= np.isfinite(columns[name]) & (columns[name] >= 0)
    reasons = (
        (columns["ts_event_ns"] <= 0, "no time"),
        (quote & ((columns["bid_px"] == 0) | (columns["ask_px"] == 0)), "a quote without one of its sides"),
        (quote & ((columns["bid_px"] < 0) | (columns["ask_px"] < 0)), "a price below zero"),
        (~quote & (columns["trade_px"] <= 0), "a trade without a price above zero"),
        (~sizes_fine, "a size that is no number of zero or more"),
    )
    wrong = np.zeros(len(ticks), bool)
    for mask, reason in reasons:
        bad.add_where(mask & ~wrong, lines, reason)
        wrong |= mask
    return ticks.take(~wrong) if wrong.any() else ticks
