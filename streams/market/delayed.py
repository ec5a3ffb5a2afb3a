"""Ticks that come after their place: held until due, then merged into the stream in one fixed order.

The order of the merged stream is that of four keys, none of which depends on how the stream was cut:
the clock at which a tick comes, the row that brings it, whether it follows that row, its own row.
The *clock* of a row is the greatest event time up to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.ticks import Array, Ticks, concat_ticks

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Ticks of a stream with their coordinates, all arrays of one length.

    Attributes
    ----------
    ticks
        The ticks themselves.
    row, clock, code
        Row number in the stream, clock at it, and the symbol's number in the stream.
    """

    ticks: Ticks
    row: Ints
    clock: Ints
    code: Ints

    def __len__(self) -> int:
        return len(self.row)

    def pick(self, chosen: Array) -> Rows:
        """Some of them, in the order given."""
        return Rows(self.ticks.take(chosen), self.row[chosen], self.clock[chosen], self.code[chosen])

    def join(self, other: Rows) -> Rows:
        """These, then the others."""
        return Rows(
            _joined(self.ticks, other.ticks),
            np.concatenate([self.row, other.row]),
            np.concatenate([self.clock, other.clock]),
            np.concatenate([self.code, other.code]),
        )


@dataclass(frozen=True, slots=True)
class Released:
    """One delayed tick that came: its place among the released ticks and what it missed.

    Attributes
    ----------
    rows, index
        The tick is ``rows.ticks`` at ``index``.
    is_late
        Held for a tick of its own symbol, else for the clock.
    overtakers
        Ticks of its symbol that belong after it and came before it.
    """

    rows: Rows
    index: int
    is_late: bool
    overtakers: int


class Delayed:
    """The ticks that are held, and their merging with those that stay in place."""

    def __init__(self) -> None:
        self._rows: Rows | None = None
        self._due = np.empty(0, np.int64)
        self._late = np.empty(0, np.bool_)
        self._overtakers = np.empty(0, np.int64)

    def hold(self, rows: Rows, due: Ints, late: npt.NDArray[np.bool_]) -> None:
        """Keep ticks until the clock reaches ``due``; late ones until their symbol's own ticks do."""
        if len(rows) == 0:
            return
        self._rows = rows if self._rows is None else self._rows.join(rows)
        self._due = np.concatenate([self._due, due])
        self._late = np.concatenate([self._late, late])
        self._overtakers = np.concatenate([self._overtakers, np.zeros(len(rows), np.int64)])

    def merge(self, stay: Rows, clock: Ints, first_row: int) -> tuple[Ticks, list[Released]]:
        """The ticks that stay with those that have become due between them.

        Parameters
        ----------
        stay
            Rows of the block that keep their place, a repeated row for a duplicate.
        clock, first_row
            Of the whole block: the clock at each of its rows, and the number of its first row.
        """
        if self._rows is None or len(self._rows) == 0:
            return stay.ticks, []
        held, n = self._rows, len(clock)
        places = np.unique(stay.code * (n + 1) + stay.row - first_row)
        # What a held tick waits for: the first row of the block from which it may come.
        from_row = np.maximum(np.searchsorted(clock, self._due), held.row - first_row + 1)
        bringer = _first_place(places, held.code, from_row, n)
        comes = np.where(self._late, bringer >= 0, self._due <= clock[-1])
        until = np.where(comes, np.where(self._late, bringer + 1, from_row), n)
        base = held.code * (n + 1)
        own_next = np.maximum(held.row - first_row + 1, 0)
        self._overtakers += np.searchsorted(places, base + until) - np.searchsorted(places, base + own_next)
        at = np.where(self._late, np.maximum(bringer, 0), 0)
        at_clock = np.where(self._late, clock[at], self._due)[comes]
        at_row = np.where(self._late, at + first_row, held.row)[comes]
        come = held.pick(comes)
        come_ticks = received_later(come.ticks, at_clock - come.clock)
        zeros = np.zeros(len(stay), np.bool_)
        order = np.lexsort(
            (
                np.concatenate([stay.row, come.row]),
                np.concatenate([zeros, self._late[comes]]),
                np.concatenate([stay.row, at_row]),
                np.concatenate([stay.clock, at_clock]),
            )
        )
        released = list(_released(come, self._late[comes], self._overtakers[comes]))
        self._keep(~comes)
        return _joined(stay.ticks, come_ticks).take(order), released

    def flush(self, clock: int) -> tuple[Ticks | None, list[Released]]:
        """What is still held, as due; at the end of the stream."""
        if self._rows is None or len(self._rows) == 0:
            return None, []
        order = np.lexsort((self._rows.row, self._due))
        rows = self._rows.pick(order)
        released = list(_released(rows, self._late[order], self._overtakers[order]))
        self._keep(np.zeros(len(rows), np.bool_))
        return received_later(rows.ticks, clock - rows.clock), released

    def _keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        assert self._rows is not None
        self._rows = self._rows.pick(chosen)
        self._due, self._late = self._due[chosen], self._late[chosen]
        self._overtakers = self._overtakers[chosen]


def _first_place(places: Ints, code: Ints, from_row: Ints, n: int) -> Ints:
    """Index in the block of the first row of ``code`` at or after ``from_row``; -1 for none."""
    base = code * (n + 1)
    position = np.searchsorted(places, base + from_row)
    found = np.append(places, -1)[np.minimum(position, len(places))]
    return np.where((found >= base) & (found < base + n + 1), found - base, -1)


def received_later(ticks: Ticks, delay_ns: Ints) -> Ticks:
    """The same ticks, captured ``delay_ns`` later; an unknown capture time stays unknown."""
    columns = dict(ticks.columns)
    received = columns["ts_recv_ns"]
    columns["ts_recv_ns"] = np.where(received == 0, 0, received + delay_ns)
    return Ticks(ticks.symbols, columns, ticks.sequences, ticks.null_rows)


def _released(rows: Rows, late: Array, overtakers: Ints) -> Iterator[Released]:
    for i in range(len(rows)):
        yield Released(rows, i, bool(late[i]), int(overtakers[i]))


def _joined(first: Ticks, second: Ticks) -> Ticks:
    if first.symbols != second.symbols or first.null_rows is not None or second.null_rows is not None:
        return concat_ticks([first, second])
    columns = {name: np.concatenate([column, second.columns[name]]) for name, column in first.columns.items()}
    return Ticks(first.symbols, columns, first.sequences)
