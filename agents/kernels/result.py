"""The rows, bars and events of a frame, and the memory that they stand in. Imports NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.kernels.addresses import addresses
from agents.kernels.closing import N_COUNTS
from agents.kernels.names import BAR_FLOAT_NAMES, BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES


class FrameResult:
    """What a frame brought. The arrays are scratch: the next call on the same state overwrites them.

    A view is made when it is asked for: most frames close no window.

    Attributes
    ----------
    n_processed, n_late, n_duplicate, n_dead
        How many ticks of each class; they add up to n.
    n_events, n_rows, n_bars
        Events, feature rows and bars.
    """

    __slots__ = (
        "_matrices",
        "_n",
        "_per_tick",
        "n_bars",
        "n_dead",
        "n_duplicate",
        "n_events",
        "n_late",
        "n_processed",
        "n_rows",
    )

    def __init__(
        self, n: int, counts: list[int], per_tick: tuple[Any, ...], matrices: tuple[Any, ...]
    ) -> None:
        self._n = n
        self._per_tick = per_tick
        self._matrices = matrices
        self.n_rows, self.n_bars, self.n_events = counts[:3]
        self.n_processed, self.n_late, self.n_duplicate, self.n_dead = counts[3:]

    @property
    def classes(self) -> npt.NDArray[np.uint8]:
        """uint8[n]: 0 ``PROCESSED``, 1 ``LATE``, 2 ``DUPLICATE``, 3 ``DEAD`` (its code was not 0)."""
        return self._per_tick[0][: self._n]  # type: ignore[no-any-return]

    @property
    def event_codes(self) -> npt.NDArray[np.uint8]:
        """uint8[n_events], in the order of the ticks.

        With (a, b): ``EVENT_LATE`` (event time, watermark), ``EVENT_DUPLICATE`` (sequence, event
        time), ``EVENT_GAP`` (expected sequence, got), ``EVENT_RESET`` (highest sequence, got),
        ``EVENT_CROSSED`` (bid, ask). Sequences are the bits of the uint64 seen as int64.
        """
        return self._per_tick[1][: self.n_events]  # type: ignore[no-any-return]

    @property
    def event_rows(self) -> npt.NDArray[np.int64]:
        """int64[n_events]: the tick's position in the frame."""
        return self._per_tick[2][: self.n_events]  # type: ignore[no-any-return]

    @property
    def event_a(self) -> npt.NDArray[np.int64]:
        """int64[n_events]: the first coordinate, see :attr:`event_codes`."""
        return self._per_tick[3][: self.n_events]  # type: ignore[no-any-return]

    @property
    def event_b(self) -> npt.NDArray[np.int64]:
        """int64[n_events]: the second coordinate."""
        return self._per_tick[4][: self.n_events]  # type: ignore[no-any-return]

    @property
    def feature_ints(self) -> npt.NDArray[np.int64]:
        """int64[len(INT_NAMES), n_rows]: a row a closed (window, symbol), in the order of closing.

        Each column, ``feature_ints[j]``, is contiguous; so are those of the three below.
        """
        return self._matrices[0][:, : self.n_rows]  # type: ignore[no-any-return]

    @property
    def features(self) -> npt.NDArray[np.float64]:
        """float64[len(FEATURE_NAMES), n_rows], NaN where undefined."""
        return self._matrices[1][:, : self.n_rows]  # type: ignore[no-any-return]

    @property
    def bar_ints(self) -> npt.NDArray[np.int64]:
        """int64[len(BAR_INT_NAMES), n_bars]: a row a closed (window, symbol) with trades."""
        return self._matrices[2][:, : self.n_bars]  # type: ignore[no-any-return]

    @property
    def bars(self) -> npt.NDArray[np.float64]:
        """float64[len(BAR_FLOAT_NAMES), n_bars]."""
        return self._matrices[3][:, : self.n_bars]  # type: ignore[no-any-return]


class Scratch:
    """The result's memory, kept with a state and grown when a frame needs more.

    Attributes
    ----------
    ticks
        Ticks that there is room for.
    counts : int64[N_COUNTS]
        Rows, bars and events written, and ticks by class.
    per_tick
        Classes, event codes, event rows and the two coordinates; at most two events a tick.
    matrices
        As the four of :class:`FrameResult`, with room to spare.
    table : int64
        Addresses of all these, in the order in which :mod:`agents.kernels.drive` unpacks them.
    """

    __slots__ = ("counts", "matrices", "per_tick", "table", "ticks")

    table: npt.NDArray[np.int64]

    def __init__(self) -> None:
        self.ticks = 0
        self.counts = np.zeros(N_COUNTS, np.int64)
        self.per_tick: tuple[Any, ...] = ()
        self.matrices: tuple[Any, ...] = ()
        self.fit_ticks(4096)
        self.grow_rows(4096)

    def fit_ticks(self, n: int) -> None:
        """Make room for ``n`` ticks."""
        self.ticks = max(n, 2 * self.ticks)
        dtypes = (np.uint8, np.int64, np.int64, np.int64)
        events = (np.zeros(2 * self.ticks + 1, dtype) for dtype in dtypes)
        self.per_tick = (np.zeros(self.ticks, np.uint8), *events)
        self.table = addresses((self.counts, *self.per_tick, *self.matrices))

    def grow_rows(self, rows: int) -> None:
        """Make room for at least ``rows`` rows and bars; what is written stays."""
        before = self.matrices
        if before:
            rows = max(rows, 2 * before[0].shape[1])
        # A cache line past a multiple of eight: columns a power of two apart would share few cache sets.
        rows = rows // 64 * 64 + 72
        shapes = (
            (INT_NAMES, np.int64),
            (FEATURE_NAMES, np.float64),
            (BAR_INT_NAMES, np.int64),
            (BAR_FLOAT_NAMES, np.float64),
        )
        self.matrices = tuple(np.empty((len(names), rows), dtype) for names, dtype in shapes)
        for matrix, old in zip(self.matrices, before, strict=False):
            matrix[:, : old.shape[1]] = old
        self.table = addresses((self.counts, *self.per_tick, *self.matrices))
