"""When each tick is due, and by how much it was missed. The clock is an argument."""

from __future__ import annotations

import numpy as np

from schemas.ticks import Array, Ticks

_BINS_A_DECADE = 200
_LOWEST_S, _DECADES = 1e-6, 11


class Schedule:
    """Event time to clock time, from the first tick on.

    Parameters
    ----------
    speed
        Seconds of event time in a second.
    start_s
        When the first tick is due.
    max_gap_s
        A longer silence, such as a night, is cut to this many seconds of the clock; None for never.
    """

    def __init__(self, speed: float, start_s: float, max_gap_s: float | None = None) -> None:
        self._ns_a_second = 1e9 * speed
        self._due_s = start_s
        self._max_gap_s = max_gap_s
        self._high_ns: int | None = None

    def due_s(self, ticks: Ticks) -> Array:
        """When each tick is due, never falling: a tick from the past is due at once. float64[n]"""
        ts = ticks.columns["ts_event_ns"]
        high = int(ts[0]) if self._high_ns is None else self._high_ns
        reached = np.maximum.accumulate(np.concatenate([[high], ts]))
        self._high_ns = int(reached[-1])
        waits = np.diff(reached) / self._ns_a_second
        if self._max_gap_s is not None:
            waits = np.minimum(waits, self._max_gap_s)
        due = self._due_s + np.cumsum(waits)
        self._due_s = float(due[-1])
        return due


class PacingError:
    """How much later than due ticks were sent: quantiles within 1.2 %, in bounded memory."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS_A_DECADE * _DECADES + 1, np.int64)
        self._worst_s = 0.0

    def add(self, late_s: Array) -> None:
        """Take in float64[n] seconds; a tick sent before it was due counts as on time."""
        decades = np.log10(np.maximum(late_s, _LOWEST_S) / _LOWEST_S)
        bins = np.minimum(np.ceil(decades * _BINS_A_DECADE).astype(np.int64), len(self._counts) - 1)
        self._counts += np.bincount(bins, minlength=len(self._counts))
        self._worst_s = max(self._worst_s, float(late_s.max(initial=0.0)))

    def quantile_ms(self, share: float) -> float:
        """So many ms late, or less, was that share of the ticks; NaN when none was sent."""
        total = int(self._counts.sum())
        if not total:
            return float("nan")
        place = int(np.searchsorted(np.cumsum(self._counts), share * total))
        upper_s: float = _LOWEST_S * 10 ** (place / _BINS_A_DECADE) if place else 0.0
        return min(upper_s, self._worst_s) * 1e3

    @property
    def worst_ms(self) -> float:
        """The latest."""
        return self._worst_s * 1e3
