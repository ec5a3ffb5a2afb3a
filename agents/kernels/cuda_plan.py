"""What the host decides of a batch before a GPU runs it: watermarks, late ticks, where windows close.

All of it follows from event times and codes alone, so that the GPU never waits for it. Imports NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.kernels.scalar.layout import ALWAYS

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """The ticks of one message, as the arguments of :func:`agents.kernels.run.run`.

    Attributes
    ----------
    prices_and_sizes
        ``bid_px`` … ``sequence``, in the order of ``run``.
    """

    ts_event: Ints
    symbol_id: npt.NDArray[np.int32]
    kind: npt.NDArray[np.uint8]
    codes: npt.NDArray[np.uint8]
    prices_and_sizes: tuple[npt.NDArray[Any], ...]
    dense_quotes: bool = False
    dense_trades: bool = False
    wm_before: Ints | None = None
    final_wm: int = ALWAYS

    def __len__(self) -> int:
        return len(self.ts_event)

    @property
    def promises(self) -> tuple[bool, bool]:
        """What one launch must have in common."""
        return self.dense_quotes, self.dense_trades

    def check(self, n_symbols: int) -> None:
        """ValueError for columns of unequal length, IndexError for a symbol without a row."""
        n = len(self)
        columns: tuple[npt.NDArray[Any], ...] = (
            self.symbol_id,
            self.kind,
            self.codes,
            *self.prices_and_sizes,
        )
        if any(len(column) != n for column in columns):
            raise ValueError(f"columns differ in length: ts_event has {n}")
        ids = self.symbol_id[self.codes == 0]
        if len(ids) and not 0 <= ids.min() <= ids.max() < n_symbols:
            raise IndexError(
                f"symbol ids go from {ids.min()} to {ids.max()}, "
                f"the state has {n_symbols} symbols; add_symbols first"
            )


@dataclass(frozen=True, slots=True)
class Step:
    """Ticks to step, then the windows to close.

    Attributes
    ----------
    live
        Positions in the batch, in order of arrival.
    close_at
        Watermark whose windows close after them; None at the end of the batch.
    message
        The number of the message that closes them.
    """

    live: Ints
    close_at: int | None
    message: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch of messages, decided.

    Attributes
    ----------
    starts
        Position of each message's first tick, and the number of ticks.
    valid, late
        bool[n].
    watermark
        int64[n], after each tick.
    after
        Watermark after each message.
    """

    steps: tuple[Step, ...]
    starts: tuple[int, ...]
    valid: npt.NDArray[np.bool_]
    late: npt.NDArray[np.bool_]
    watermark: Ints
    after: tuple[int, ...]


def plan(messages: Sequence[Columns], before: int, base_ns: int) -> Plan:
    """Decide a batch, which starts from the watermark ``before``.

    A base window closes when a valid tick first reaches the next one, be that tick late itself or not;
    or when a message's final watermark does.
    """
    starts, after, turns = [0], [], []
    valid, watermarks = [], []
    for number, message in enumerate(messages):
        good = message.codes == 0
        ts = message.ts_event
        reached = ts if message.wm_before is None else np.maximum(ts, message.wm_before)
        watermark = np.maximum.accumulate(np.where(good, np.maximum(reached, before), before))
        window = watermark // base_ns
        moved = np.flatnonzero(good & (np.diff(window, prepend=before // base_ns) != 0))
        turns += [(starts[-1] + int(i), int(watermark[i]), number) for i in moved]
        before = int(watermark[-1]) if len(message) else before
        if message.final_wm > before:
            if message.final_wm // base_ns != before // base_ns:
                turns.append((starts[-1] + len(message), message.final_wm, number))
            before = message.final_wm
        starts.append(starts[-1] + len(message))
        after.append(before)
        valid.append(good)
        watermarks.append(watermark)
    all_valid, all_watermarks = np.concatenate(valid), np.concatenate(watermarks)
    times = np.concatenate([message.ts_event for message in messages])
    late = all_valid & (times < all_watermarks // base_ns * base_ns)
    live = np.flatnonzero(all_valid & ~late)
    cuts = np.searchsorted(live, [at for at, _, _ in turns]).tolist()
    edges = [0, *cuts, len(live)]
    ends = [(watermark, number) for _, watermark, number in turns] + [(None, len(messages) - 1)]
    steps = tuple(
        Step(live[edges[i] : edges[i + 1]], close_at, number) for i, (close_at, number) in enumerate(ends)
    )
    return Plan(steps, tuple(starts), all_valid, late, all_watermarks, tuple(after))


def by_symbol(live: Ints, symbol_id: npt.NDArray[np.int32]) -> tuple[Ints, Ints]:
    """Sort ticks by symbol, each symbol's in order of arrival: positions, and where each symbol starts."""
    ids = symbol_id[live]
    order = live[np.argsort(ids, kind="stable")]
    starts = np.flatnonzero(np.diff(symbol_id[order], prepend=-1, append=-1))
    return order, starts


WARP = 32
MOST_THREADS = 128
"""A step needs so many registers that larger blocks would not put more warps on a multiprocessor."""


def launch_shape(threads: int, multiprocessors: int) -> tuple[int, int]:
    """(blocks, threads a block) for so many independent threads.

    A block is one warp until every multiprocessor has one, since a few hundred symbols are fewer than the
    lanes of a GPU and each waits for its own memory; then blocks grow.
    """
    warps = -(-threads // WARP)
    block = min(threads, MOST_THREADS, WARP * max(1, warps // multiprocessors))
    return -(-threads // block), block
