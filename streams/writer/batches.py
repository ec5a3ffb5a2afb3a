"""Ticks waiting to become frames, by partition. Decides purely; the clock is an argument.

Invariants

- Rows of a partition leave in the order in which they came.
- Without an age limit, frames depend on the rows alone, not on how they were cut into writes.
- No frame exceeds ``max_bytes``; one of a single row may, and the producer then refuses it.
- A heartbeat never passes ticks: those that wait in its partition leave before it, and it only rises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.errors import TickError
from schemas.frame import encode_frame
from schemas.headers import H_SOURCE, H_WATERMARK, VERSION_HEADER, Headers
from schemas.ticks import NUMERIC, Array, Sequences, Ticks, make_ticks
from streams.writer.route import Router

SMALL_DICTIONARY = 64
"""A dictionary of so few symbols always travels whole."""
_NEVER = -(2**63)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of ``market.ticks``, ready to send; ``ticks`` is its number of rows."""

    partition: int
    key: bytes | None
    payload: bytes
    headers: Headers
    ticks: int


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Where each row of a write comes from: a message and the element in it, of one partition.

    Attributes
    ----------
    offsets : int64[n]
        Offset of the message, ascending.
    indexes : int32[n]
        Element of the message's array, ascending within an offset; 0 for a message of one tick.
    """

    partition: int
    offsets: Array
    indexes: Array

    def take(self, rows: Array | slice) -> SourceRows:
        """Some of the rows."""
        return replace(self, offsets=self.offsets[rows], indexes=self.indexes[rows])


@dataclass(slots=True)
class _Chunk:
    columns: dict[str, Array]
    source: SourceRows | None
    owned: bool = False
    """Whether the arrays are nobody else's and no larger than the rows."""

    def __len__(self) -> int:
        return len(self.columns["ts_event_ns"])

    def cut(self, n: int) -> tuple[_Chunk, _Chunk]:
        return self._take(slice(n)), self._take(slice(n, None))

    def _take(self, rows: slice) -> _Chunk:
        columns = {name: column[rows] for name, column in self.columns.items()}
        return _Chunk(columns, None if self.source is None else self.source.take(rows))

    def own(self) -> None:
        """Copy, so that rows that stay behind hold no large array and see no later write of the caller."""
        if self.owned:
            return
        self.columns = {name: column.copy() for name, column in self.columns.items()}
        if self.source is not None:
            self.source = SourceRows(
                self.source.partition, self.source.offsets.copy(), self.source.indexes.copy()
            )
        self.owned = True


@dataclass(slots=True)
class _Partition:
    chunks: deque[_Chunk] = field(default_factory=deque)
    rows: int = 0
    sequences: Sequences = field(default_factory=Sequences)
    oldest_s: float = 0.0
    active_s: float = 0.0
    high_ns: int = _NEVER
    """Highest event time of ticks or heartbeat so far."""


class Batches:
    """What waits, by partition.

    Parameters
    ----------
    partitions
        Number of partitions of the topic.
    max_ticks
        Rows that make a frame.
    max_bytes
        Most bytes of a frame's payload.
    max_age_s
        How long a row may wait for others; None for as long as it takes.
    now_s
        The clock's reading at the start.
    """

    def __init__(
        self, partitions: int, *, max_ticks: int, max_bytes: int, max_age_s: float | None, now_s: float = 0.0
    ) -> None:
        self.high_ns = _NEVER
        self._router = Router(partitions)
        self._waiting = [_Partition(active_s=now_s) for _ in range(partitions)]
        self._max_ticks = max_ticks
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return sum(waiting.rows for waiting in self._waiting)

    def add(self, ticks: Ticks, now_s: float, source: SourceRows | None = None) -> list[Frame]:
        """Take in ticks; return the frames that are full.

        Raises
        ------
        TickError
            When a row has a null or a symbol is no good; nothing is taken in then.
        """
        if ticks.null_rows is not None and ticks.null_rows.any():
            raise TickError(f"row {int(np.argmax(ticks.null_rows))} of the ticks to write has a null")
        if len(ticks) == 0:
            return []
        self.high_ns = max(self.high_ns, int(ticks.columns["ts_event_ns"].max()))
        frames: list[Frame] = []
        for number, codes, rows in self._router.split(ticks):
            columns = {name: ticks.columns[name][rows] for name in NUMERIC}
            columns["symbol"] = codes
            taken = not isinstance(rows, slice)  # by a list of rows, which copies them
            chunk = _Chunk(columns, None if source is None else source.take(rows), taken)
            frames += self._add(number, chunk, ticks.sequences, now_s)
        return frames

    def due(self, now_s: float) -> list[Frame]:
        """Frames of the partitions whose oldest row has waited its time."""
        if self._max_age_s is None:
            return []
        limit_s = now_s - self._max_age_s
        due = [n for n, waiting in enumerate(self._waiting) if waiting.rows and waiting.oldest_s <= limit_s]
        return self.drain(due)

    def next_due_s(self) -> float | None:
        """When :meth:`due` will have something; None when nothing waits for a clock."""
        if self._max_age_s is None:
            return None
        oldest = [waiting.oldest_s for waiting in self._waiting if waiting.rows]
        return min(oldest) + self._max_age_s if oldest else None

    def drain(self, partitions: Iterable[int] | None = None) -> list[Frame]:
        """Frames of all that waits in those partitions, or in all."""
        frames: list[Frame] = []
        for number in range(len(self._waiting)) if partitions is None else partitions:
            while self._waiting[number].rows:
                frames += self._cut(number)
        return frames

    def heartbeat(
        self, ts_event_ns: int, now_s: float, partitions: Iterable[int] | None = None
    ) -> list[Frame]:
        """Tell partitions that event time has reached ``ts_event_ns``; those beyond it need no telling."""
        frames: list[Frame] = []
        for number in range(len(self._waiting)) if partitions is None else partitions:
            waiting = self._waiting[number]
            if ts_event_ns <= waiting.high_ns:
                continue
            frames += self.drain([number])
            headers = [VERSION_HEADER, (H_WATERMARK, str(ts_event_ns).encode())]
            frames.append(Frame(number, None, EMPTY_FRAME, headers, 0))
            waiting.high_ns, waiting.active_s = ts_event_ns, now_s
        return frames

    def idle_heartbeats(self, now_s: float, after_s: float) -> list[Frame]:
        """A heartbeat for each partition that has had nothing for ``after_s`` while others moved on."""
        limit_s = now_s - after_s
        idle = [number for number, waiting in enumerate(self._waiting) if waiting.active_s <= limit_s]
        return self.heartbeat(self.high_ns, now_s, idle)

    def _add(self, number: int, chunk: _Chunk, sequences: Sequences, now_s: float) -> list[Frame]:
        waiting = self._waiting[number]
        frames: list[Frame] = []
        if waiting.rows and waiting.sequences != sequences:
            frames += self.drain([number])  # a frame states one promise for all its rows
        if not waiting.rows:
            waiting.oldest_s, waiting.sequences = now_s, sequences
        waiting.chunks.append(chunk)
        waiting.rows += len(chunk)
        waiting.active_s = now_s
        waiting.high_ns = max(waiting.high_ns, int(chunk.columns["ts_event_ns"].max()))
        while waiting.rows >= self._max_ticks:
            frames += self._cut(number)
        if waiting.rows:
            waiting.chunks[-1].own()
            if frames:
                waiting.oldest_s = now_s
        return frames

    def _cut(self, number: int) -> list[Frame]:
        """Take the first rows, at most ``max_ticks``, out of what waits."""
        waiting = self._waiting[number]
        wanted = min(self._max_ticks, waiting.rows)
        waiting.rows -= wanted
        return self._encode(number, _first(waiting.chunks, wanted), waiting.sequences)

    def _encode(self, number: int, chunks: list[_Chunk], sequences: Sequences) -> list[Frame]:
        if len(chunks) == 1:
            columns = dict(chunks[0].columns)
        else:
            columns = {
                name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in chunks[0].columns
            }
        dictionary = self._router.dictionaries[number]
        key = dictionary[int(columns["symbol"][0])].encode()
        symbols, columns["symbol"] = _travelling_symbols(dictionary, columns["symbol"])
        ticks = Ticks(symbols, columns, sequences)
        payload = encode_frame(ticks)
        n = len(ticks)
        if len(payload) > self._max_bytes and n > 1:
            rest = deque(chunks)
            first = _first(rest, n // 2)
            return self._encode(number, first, sequences) + self._encode(number, list(rest), sequences)
        headers = [VERSION_HEADER]
        spans = source_spans([chunk.source for chunk in chunks if chunk.source is not None])
        if spans:
            headers.append((H_SOURCE, spans.encode()))
        return [Frame(number, key, payload, headers, n)]


def _travelling_symbols(dictionary: list[str], codes: Array) -> tuple[tuple[str, ...], Array]:
    """The dictionary that a frame carries, and its codes.

    The whole one, which stays the same from frame to frame so that readers need not decode it anew, as
    long as it has no more entries than the frame has rows: a dictionary entry costs a reader about as
    much as a row. Otherwise only the symbols that occur, in the same order.
    """
    if len(dictionary) <= max(SMALL_DICTIONARY, len(codes)):
        return tuple(dictionary), codes
    used, compact = np.unique(codes, return_inverse=True)
    return tuple(dictionary[code] for code in used.tolist()), compact.astype(np.int32)


def _first(chunks: deque[_Chunk], n: int) -> list[_Chunk]:
    """Take the first ``n`` rows out of the chunks; the last one taken is cut if need be."""
    taken: list[_Chunk] = []
    while n:
        chunk = chunks.popleft()
        if len(chunk) > n:
            chunk, rest = chunk.cut(n)
            chunks.appendleft(rest)
        taken.append(chunk)
        n -= len(chunk)
    return taken


def source_spans(sources: list[SourceRows]) -> str:
    """``partition@offset#index-offset#index`` of the rows, by commas; a span a run of one partition."""
    spans: list[tuple[int, str, str]] = []
    for source in sources:
        first = f"{source.offsets[0]}#{source.indexes[0]}"
        last = f"{source.offsets[-1]}#{source.indexes[-1]}"
        if spans and spans[-1][0] == source.partition:
            spans[-1] = (source.partition, spans[-1][1], last)
        else:
            spans.append((source.partition, first, last))
    return ",".join(f"{partition}@{first}-{last}" for partition, first, last in spans)


EMPTY_FRAME = encode_frame(make_ticks((), ts_event_ns=[], symbol=[], kind=[]))
"""The payload of a heartbeat: a frame without rows."""
