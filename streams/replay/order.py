"""Rows in order of time: within a file, and of many files into one stream. Pure but for the reading of files.

Two orders:

- *event*: by exchange time; at the same instant trades before quotes, since the quote that a trade met is
  the one strictly before it; then by file, in the order given, then by row.
- *file*: the rows of a file stay as they are, which is how a recorded log must be replayed; files are
  interleaved by the latest exchange time so far of each.

The result depends on the rows alone, not on how they came in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np

from schemas.ticks import QUOTE, TRADE, Array, Sequences, Ticks, concat_ticks

Order = Literal["event", "file"]

MEMORY_ROWS = 4_000_000
"""Rows that all files together may hold in memory before they are streamed instead, about 350 MB."""

MAX_DISORDER_NS = 10_000_000_000
"""A large file whose rows run backwards further than this is loaded and sorted as a whole."""

_FIRST = -(2**63)


@dataclass(frozen=True, slots=True)
class Keyed:
    """Ticks with the key by which they merge with those of other files; ``key`` never falls."""

    ticks: Ticks
    key: Array

    def __len__(self) -> int:
        return len(self.key)


def in_event_order(ticks: Ticks) -> Ticks:
    """Stable sort by exchange time, trades before quotes of the same instant."""
    order = _order(ticks.columns["ts_event_ns"], ticks.columns["kind"])
    return ticks if order is None else ticks.take(order)


def _order(ts: Array, kind: Array) -> Array | None:
    """The sorting permutation, or None when the rows are in order already."""
    later, quote = np.diff(ts), kind != TRADE
    if not ((later < 0) | ((later == 0) & (quote[:-1] > quote[1:]))).any():
        return None
    return np.lexsort((quote, ts))


def event_runs(
    read: Callable[[], Iterator[Ticks]],
    scan: Callable[[], Iterator[Ticks]],
    memory_rows: int,
    on_load: Callable[[int, int], None] | None = None,
) -> Iterator[Keyed]:
    """One file in event order.

    Parameters
    ----------
    read, scan
        Begin to read the file; ``scan`` does so without counting bad rows.
    memory_rows
        Up to so many rows the file is simply loaded and sorted. A longer one is streamed with as much
        look-ahead as its rows run backwards, which one more reading tells.
    on_load
        Told rows and ns when a long file has to be loaded after all.
    """
    blocks = read()
    head: list[Ticks] = []
    rows = 0
    for block in blocks:
        head.append(block)
        rows += len(block)
        if rows > memory_rows:
            break
    else:
        yield from _whole(head)
        return
    disorder_ns, total = measure_disorder(scan())
    if disorder_ns > MAX_DISORDER_NS:
        if on_load is not None:
            on_load(total, disorder_ns)
        yield from _whole([*head, *blocks])
    else:
        yield from _streamed(chain(head, blocks), disorder_ns)


def measure_disorder(blocks: Iterable[Ticks]) -> tuple[int, int]:
    """By how many ns a row at most lies before one that came earlier; and the number of rows."""
    high, worst, rows = _FIRST, 0, 0
    for block in blocks:
        if not len(block):
            continue
        ts = block.columns["ts_event_ns"]
        highest = np.maximum.accumulate(np.concatenate([ts[:1] if high == _FIRST else [high], ts]))
        worst = max(worst, int((highest[:-1] - ts).max()))
        high, rows = int(highest[-1]), rows + len(ts)
    return worst, rows


def file_runs(blocks: Iterator[Ticks]) -> Iterator[Keyed]:
    """One file, or the parts of one recording, as it is; the key is the latest time so far."""
    high = _FIRST
    for block in blocks:
        if len(block):
            key = np.maximum.accumulate(np.maximum(block.columns["ts_event_ns"], high))
            high = int(key[-1])
            yield Keyed(block, key)


def merge(sources: list[Iterator[Keyed]], order: Order) -> Iterator[Ticks]:
    """Many files into one stream, holding about a block of each.

    A row may leave when no source can bring one that belongs before it: when its key is below the last key
    that each unfinished source has shown.
    """
    if len(sources) == 1:
        yield from (run.ticks for run in sources[0] if len(run))
        return
    buffers = [_Buffer(source) for source in sources]
    while True:
        for buffer in buffers:
            buffer.fill()
        held = [buffer for buffer in buffers if buffer.rows]
        if not held:
            return
        limits = [buffer.last for buffer in held if not buffer.finished]
        if not limits:
            yield _interleave([buffer.take(None) for buffer in held], order)
            return
        limit = min(limits)
        parts = [part for part in (buffer.take(limit) for buffer in held) if len(part)]
        if parts:
            yield _interleave(parts, order)
        for buffer in held:
            if not buffer.finished and (not buffer.rows or buffer.last == limit):
                buffer.grow()


class _Buffer:
    """What one source has shown and not yet given."""

    def __init__(self, source: Iterator[Keyed]) -> None:
        self._source = source
        self._parts: list[Keyed] = []
        self.finished = False

    @property
    def rows(self) -> int:
        return sum(map(len, self._parts))

    @property
    def last(self) -> int:
        return int(self._parts[-1].key[-1])

    def fill(self) -> None:
        if not self._parts and not self.finished:
            self.grow()

    def grow(self) -> None:
        for run in self._source:
            if len(run):
                self._parts.append(run)
                return
        self.finished = True

    def take(self, limit: int | None) -> Keyed:
        """Rows whose key is below the limit, or all."""
        ticks = join([part.ticks for part in self._parts])
        key = np.concatenate([part.key for part in self._parts])
        n = len(key) if limit is None else int(np.searchsorted(key, limit))
        rest = Keyed(ticks.take(slice(n, None)), key[n:])
        self._parts = [rest] if len(rest) else []
        return Keyed(ticks.take(slice(0, n)), key[:n])


def _interleave(parts: list[Keyed], order: Order) -> Ticks:
    ticks = join([part.ticks for part in parts])
    if order == "event":
        return in_event_order(ticks)
    return ticks.take(np.argsort(np.concatenate([part.key for part in parts]), kind="stable"))


def _whole(blocks: list[Ticks]) -> Iterator[Keyed]:
    if blocks:
        ticks = in_event_order(join(blocks))
        yield Keyed(ticks, ticks.columns["ts_event_ns"])


def _streamed(blocks: Iterable[Ticks], disorder_ns: int) -> Iterator[Keyed]:
    held: list[Ticks] = []
    for block in blocks:
        if not len(block):
            continue
        ticks = in_event_order(join([*held, block]))
        ts = ticks.columns["ts_event_ns"]
        n = int(np.searchsorted(ts, ts[-1] - disorder_ns))
        held = [ticks.take(slice(n, None))]
        if n:
            yield Keyed(ticks.take(slice(0, n)), ts[:n])
    yield from _whole(held)


def join(parts: list[Ticks]) -> Ticks:
    """Concatenate ticks of one file or of several: what is promised is what all of them keep.

    A part whose sequence numbers of a kind are all 0 breaks no promise about that kind.
    """
    parts = [part for part in parts if len(part)] or parts[:1]
    promises = {part.sequences for part in parts}
    if len(promises) > 1:
        promise = Sequences(_kept(parts, QUOTE), _kept(parts, TRADE))
        parts = [replace(part, sequences=promise) for part in parts]
    return concat_ticks(parts)


def _kept(parts: list[Ticks], kind: int) -> bool:
    promises = [
        part.sequences.dense_quotes if kind == QUOTE else part.sequences.dense_trades for part in parts
    ]
    held = [promised or not _numbered(part, kind) for promised, part in zip(promises, parts, strict=True)]
    return any(promises) and all(held)


def _numbered(ticks: Ticks, kind: int) -> bool:
    return bool(ticks.columns["sequence"][ticks.columns["kind"] == kind].any())
