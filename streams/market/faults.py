"""Plants faults at known places in any stream of ticks, and lists exactly what it planted.

Which tick gets which fault is decided by a hash of the seed and of the tick's row number in the stream, so
that the same stream gets the same faults however it is cut into blocks. Each tick has one fault at most, and
the first tick of a symbol and kind to come has none, so that a reader always has something to compare with.
A tick that is late or out of order is missing from its place until it comes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from schemas.ticks import QUOTE, Array, Ticks
from streams.market.delayed import Delayed, Ints, Released, Rows
from streams.market.fault_plan import FAULT_KINDS, FaultKind, FaultPlan, PlantedFault

__all__ = ["FAULT_KINDS", "FaultInjector", "FaultKind", "FaultPlan", "PlantedFault"]

GAP, DUPLICATE, REORDER, LATE, CROSSED, STALL, OUTAGE, BAD = range(len(FAULT_KINDS))
NO_FAULT = len(FAULT_KINDS)

_ALL = -1  # whom an outage silences
_MS = 1_000_000


class FaultInjector:
    """Plants the faults of a plan in a stream of ticks, block by block.

    The blocks that :meth:`apply` returns and what :meth:`finish` returns after the last of them are together
    the same whatever the blocks given were. No tick is lost in here: each comes out of :meth:`apply` or
    :meth:`finish`, or is listed as missing.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._thresholds = np.cumsum(plan.rates())
        self._row = 0
        self._clock = int(np.iinfo(np.int64).min)
        self._names: list[str] = []
        self._codes: dict[str, int] = {}
        self._symbols: tuple[str, ...] = ()
        self._lookup = np.empty(0, np.int64)
        self._delayed = Delayed()
        self._silent_until: dict[int, tuple[int, int]] = {}  # code -> its end, the row that began it
        self._silenced: dict[tuple[int, int], PlantedFault] = {}  # (row that began it, pair)
        self._listed: list[tuple[PlantedFault, int]] = []  # with its pair
        # A pair is a symbol and a kind: 2 * code + kind.
        self._first_came: dict[int, int] = {}
        self._last_came: dict[int, int] = {}

    @property
    def planted(self) -> list[PlantedFault]:
        """Every fault planted so far, by row; delayed ticks are listed when they come."""
        silenced = ((fault, pair) for (_, pair), fault in self._silenced.items())
        found = [self._judged(fault, pair) for fault, pair in (*self._listed, *silenced)]
        return sorted(found, key=lambda fault: fault.row)

    def apply(self, ticks: Ticks) -> Ticks:
        """The next block of the stream, with its faults and with what has become due.

        Parameters
        ----------
        ticks
            In the order in which they come; that of event time, as a rule.
        """
        if self.plan.is_empty or len(ticks) == 0:
            return ticks
        rows = self._numbered(ticks)
        pair = 2 * rows.code + (ticks.columns["kind"] != QUOTE)
        fault = np.searchsorted(self._thresholds, _uniform(self.plan.seed, 0, rows.row), side="right")
        silent = self._silence(rows, fault, pair)
        fault[silent | self._is_first(rows, pair, silent) | (fault == STALL) | (fault == OUTAGE)] = NO_FAULT
        rows = replace(rows, ticks=_crossed(ticks, fault))
        rows = replace(rows, ticks=_spoiled(rows.ticks, fault, _uniform(self.plan.seed, 1, rows.row)))
        for i in np.flatnonzero(np.isin(fault, (GAP, DUPLICATE, CROSSED, BAD))).tolist():
            self._listed.append((self._record(FAULT_KINDS[fault[i]], rows, i), int(pair[i])))
        is_held = (fault == REORDER) | (fault == LATE)
        stays = ~silent & ~is_held & (fault != GAP)
        self._note_came(pair[stays], rows.row[stays])
        self._hold(rows.pick(is_held), fault[is_held])
        stay = rows.pick(np.repeat(np.flatnonzero(stays), 1 + (fault[stays] == DUPLICATE)))
        merged, released = self._delayed.merge(stay, rows.clock, self._row)
        for one in released:
            self._list_delayed(one, certain=one.is_late or one.overtakers > 0)
        self._row += len(ticks)
        self._clock = int(rows.clock[-1])
        return merged

    def finish(self) -> Ticks | None:
        """What is still held, in the order in which it is due; None when nothing is."""
        ticks, released = self._delayed.flush(self._clock)
        for one in released:
            self._list_delayed(one, certain=not one.is_late and one.overtakers > 0)
        return ticks

    def _numbered(self, ticks: Ticks) -> Rows:
        if ticks.symbols is not self._symbols:  # blocks of one source share the tuple
            self._symbols = ticks.symbols
            self._lookup = np.array([self._code(symbol) for symbol in ticks.symbols], np.int64)
        row = np.arange(self._row, self._row + len(ticks), dtype=np.int64)
        clock = np.maximum(np.maximum.accumulate(ticks.columns["ts_event_ns"]), self._clock)
        return Rows(ticks, row, clock, self._lookup[ticks.columns["symbol"]])

    def _code(self, symbol: str) -> int:
        code = self._codes.setdefault(symbol, len(self._names))
        if code == len(self._names):
            self._names.append(symbol)
        return code

    def _silence(self, rows: Rows, fault: Array, pair: Array) -> npt.NDArray[np.bool_]:
        """Which rows fall into a stall or an outage; lists them."""
        silent = np.zeros(len(rows), np.bool_)
        clock = rows.clock
        self._silent_until = {who: end for who, end in self._silent_until.items() if end[0] > clock[0]}
        spans = [(who, 0, end, began) for who, (end, began) in self._silent_until.items()]
        for i in np.flatnonzero((fault == STALL) | (fault == OUTAGE)).tolist():
            who = _ALL if fault[i] == OUTAGE else int(rows.code[i])
            if any(clock[i] < self._silent_until.get(one, (clock[i], 0))[0] for one in (who, _ALL)):
                continue  # silent already
            end = int(clock[i]) + self.plan.stall_ms * _MS
            self._silent_until[who] = (end, int(rows.row[i]))
            spans.append((who, i, end, int(rows.row[i])))
        # Outages first: a tick that a stall and an outage silence is listed once, as the outage's.
        for who, first, end, began in sorted(spans):
            span = slice(first, int(np.searchsorted(clock, end)))
            hit = ~silent[span] if who == _ALL else (rows.code[span] == who) & ~silent[span]
            silent[span] |= hit
            self._list_silenced(
                "outage" if who == _ALL else "stall", rows, pair, first + np.flatnonzero(hit), began
            )
        return silent

    def _list_silenced(self, kind: FaultKind, rows: Rows, pair: Array, hit: Array, began: int) -> None:
        values, index, counts = np.unique(pair[hit], return_index=True, return_counts=True)
        firsts = hit[index].tolist()
        for value, i, count in zip(values.tolist(), firsts, counts.tolist(), strict=True):
            known = self._silenced.get((began, value))
            fault = replace(self._record(kind, rows, i), count=0) if known is None else known
            self._silenced[began, value] = replace(fault, count=fault.count + count)

    def _is_first(self, rows: Rows, pair: Array, silent: Array) -> npt.NDArray[np.bool_]:
        """The rows that are the first of their symbol and kind to come."""
        first = np.zeros(len(rows), np.bool_)
        heard = np.flatnonzero(~silent)
        values, index = np.unique(pair[heard], return_index=True)
        for value, i in zip(values.tolist(), heard[index].tolist(), strict=True):
            if value not in self._first_came:
                self._first_came[value] = int(rows.row[i])
                first[i] = True
        return first

    def _note_came(self, pair: Array, row: Ints) -> None:
        values, index = np.unique(pair[::-1], return_index=True)
        self._last_came.update(zip(values.tolist(), row[::-1][index].tolist(), strict=True))

    def _hold(self, rows: Rows, fault: Array) -> None:
        is_late = fault == LATE
        share = _uniform(self.plan.seed, 2, rows.row)
        wait = 1 + (share * (self.plan.reorder_ms * _MS)).astype(np.int64)
        self._delayed.hold(rows, rows.clock + np.where(is_late, self.plan.late_ms * _MS, wait), is_late)

    def _list_delayed(self, one: Released, *, certain: bool) -> None:
        fault = self._record("late" if one.is_late else "reorder", one.rows, one.index)
        self._listed.append((replace(fault, count=one.overtakers, certain=certain), -1))

    def _record(self, kind: FaultKind, rows: Rows, i: int) -> PlantedFault:
        columns = rows.ticks.columns
        return PlantedFault(
            kind,
            self._names[int(rows.code[i])],
            "quote" if columns["kind"][i] == QUOTE else "trade",
            int(rows.row[i]),
            int(columns["ts_event_ns"][i]),
            int(columns["sequence"][i]),
        )

    def _judged(self, fault: PlantedFault, pair: int) -> PlantedFault:
        if fault.fault not in ("gap", "stall", "outage"):
            return fault
        came_before = self._first_came.get(pair, fault.row) < fault.row
        return replace(fault, certain=came_before and fault.row < self._last_came.get(pair, -1))


def _crossed(ticks: Ticks, fault: Array) -> Ticks:
    """Exchange bid and ask where chosen; clears ``fault`` where that would not cross them."""
    bid, ask = ticks.columns["bid_px"], ticks.columns["ask_px"]
    can = (ticks.columns["kind"] == QUOTE) & (bid > 0) & (bid < ask)
    fault[(fault == CROSSED) & ~can] = NO_FAULT
    chosen = fault == CROSSED
    if not chosen.any():
        return ticks
    columns = ticks.columns | {"bid_px": np.where(chosen, ask, bid), "ask_px": np.where(chosen, bid, ask)}
    return Ticks(ticks.symbols, columns, ticks.sequences, ticks.null_rows)


def _spoiled(ticks: Ticks, fault: Array, share: npt.NDArray[np.float64]) -> Ticks:
    """Make chosen ticks unusable, each in one of three ways."""
    chosen = fault == BAD
    if not chosen.any():
        return ticks
    columns = dict(ticks.columns)
    way = np.where(chosen, (3 * share).astype(np.int8), -1)
    is_quote = columns["kind"] == QUOTE
    for mine, price, size in ((is_quote, "bid_px", "ask_sz"), (~is_quote, "trade_px", "trade_sz")):
        negative = -np.abs(columns[price])
        columns[price] = np.where(mine & (way == 0), 0, np.where(mine & (way == 1), negative, columns[price]))
        columns[size] = np.where(mine & (way == 2), np.nan, columns[size])
    return Ticks(ticks.symbols, columns, ticks.sequences, ticks.null_rows)


def _uniform(seed: int, stream: int, row: Ints) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each row, by splitmix64 of the seed, the stream and the row."""
    key = np.uint64((seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & 0xFFFF_FFFF_FFFF_FFFF)
    z = _mixed(_mixed(np.full(1, key)) + row.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
