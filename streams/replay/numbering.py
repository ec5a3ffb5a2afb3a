"""Sequence numbers and times of ticks that are sent again, or that the venue did not number. Vectorised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.ticks import Array, Sequences, Ticks

_HIGHEST = np.iinfo(np.uint64).max


class Numbering:
    """Numbers ticks from 1 by symbol and kind, without a gap."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int] = {}

    def apply(self, ticks: Ticks) -> Ticks:
        """The next block with numbers of ours."""
        pair = _pairs(ticks)
        order = np.argsort(pair, kind="stable")
        counts = np.bincount(pair, minlength=2 * len(ticks.symbols))
        starts = np.cumsum(counts) - counts
        sequence = np.empty(len(ticks), np.uint64)
        base = np.zeros(len(counts), np.int64)
        for number in np.flatnonzero(counts):
            key = (ticks.symbols[number // 2], int(number % 2))
            base[number] = self._next.get(key, 1)
            self._next[key] = int(base[number] + counts[number])
        ranks = np.arange(len(ticks)) - starts[pair[order]]
        sequence[order] = (ranks + base[pair[order]]).astype(np.uint64)
        return Ticks(ticks.symbols, ticks.columns | {"sequence": sequence}, Sequences(True, True))


class PassShift:
    """What a further pass over the same ticks adds to their times and numbers.

    Times rise by a multiple of the grid, so that windows cut the ticks of each pass in the same places.
    Numbers go on after the highest of the pass before, so that dense ones stay dense; 0 stays 0.

    Parameters
    ----------
    grid_ns
        The least common multiple of the window lengths, say.
    """

    def __init__(self, grid_ns: int) -> None:
        self._grid_ns = grid_ns
        self._first_ns: int | None = None
        self._last_ns = 0
        self._span: dict[tuple[str, int], tuple[int, int]] = {}

    @property
    def step_ns(self) -> int:
        """What each pass is later than the one before."""
        span = self._last_ns - (self._first_ns or 0)
        return (span // self._grid_ns + 1) * self._grid_ns

    def observe(self, ticks: Ticks) -> None:
        """Take note of a block of the first pass."""
        ts = ticks.columns["ts_event_ns"]
        low, high = int(ts.min()), int(ts.max())
        self._first_ns = low if self._first_ns is None else min(low, self._first_ns)
        self._last_ns = max(high, self._last_ns)
        sequence, pair = ticks.columns["sequence"], _pairs(ticks)
        given = sequence > 0
        lows = np.full(2 * len(ticks.symbols), _HIGHEST, np.uint64)
        highs = np.zeros(2 * len(ticks.symbols), np.uint64)
        np.minimum.at(lows, pair[given], sequence[given])
        np.maximum.at(highs, pair[given], sequence[given])
        for number in np.flatnonzero(highs):
            key = (ticks.symbols[number // 2], int(number % 2))
            known = self._span.get(key, (int(lows[number]), int(highs[number])))
            self._span[key] = (min(known[0], int(lows[number])), max(known[1], int(highs[number])))

    def apply(self, ticks: Ticks, number: int) -> Ticks:
        """A block as it is in the pass of that number; 0 is the first."""
        columns = dict(ticks.columns)
        later = number * self.step_ns
        columns["ts_event_ns"] = columns["ts_event_ns"] + later
        received = columns["ts_recv_ns"]
        columns["ts_recv_ns"] = np.where(received > 0, received + later, received)
        steps = np.zeros(2 * len(ticks.symbols), np.uint64)
        for code, symbol in enumerate(ticks.symbols):
            for kind in (0, 1):
                low, high = self._span.get((symbol, kind), (1, 0))
                steps[2 * code + kind] = number * (high - low + 1)
        sequence = columns["sequence"]
        columns["sequence"] = np.where(sequence > 0, sequence + steps[_pairs(ticks)], sequence)
        return replace(ticks, columns=columns)


def _pairs(ticks: Ticks) -> Array:
    """A number a symbol and kind."""
    return 2 * ticks.columns["symbol"].astype(np.int64) + ticks.columns["kind"]
