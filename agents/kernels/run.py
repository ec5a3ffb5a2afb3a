"""Ticks in, rows out: one call a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agents.kernels import closing, drive
from agents.kernels.result import FrameResult, Scratch
from agents.kernels.scalar.layout import (
    ALWAYS,
    DEAD,
    DUPLICATE,
    EVENT_CROSSED,
    EVENT_DUPLICATE,
    EVENT_GAP,
    EVENT_LATE,
    EVENT_RESET,
    LATE,
    PROCESSED,
)
from agents.kernels.state import PartitionState

__all__ = [
    "DEAD",
    "DUPLICATE",
    "EVENT_CROSSED",
    "EVENT_DUPLICATE",
    "EVENT_GAP",
    "EVENT_LATE",
    "EVENT_RESET",
    "LATE",
    "NO_WATERMARK",
    "PROCESSED",
    "FrameResult",
    "run",
]

NO_WATERMARK = ALWAYS
"""The ``final_wm`` that says nothing."""

_NO_TIMES = np.zeros(0, np.int64)


def run(
    state: PartitionState,
    ts_event: npt.NDArray[np.int64],
    symbol_id: npt.NDArray[np.int32],
    kind: npt.NDArray[np.uint8],
    codes: npt.NDArray[np.uint8],
    bid_px: npt.NDArray[np.int64],
    ask_px: npt.NDArray[np.int64],
    trade_px: npt.NDArray[np.int64],
    bid_sz: npt.NDArray[np.float64],
    ask_sz: npt.NDArray[np.float64],
    trade_sz: npt.NDArray[np.float64],
    aggressor: npt.NDArray[np.int8],
    sequence: npt.NDArray[np.uint64],
    *,
    dense_quotes: bool = False,
    dense_trades: bool = False,
    wm_before: npt.NDArray[np.int64] | None = None,
    final_wm: int = NO_WATERMARK,
) -> FrameResult:
    """Take a frame into the state and return what it closed.

    The result is a function of the ticks in order and of nothing else: cut into frames in any other
    way they give the same rows, events and state, bit for bit.

    Parameters
    ----------
    state
        The partition's; changed in place. Every symbol id must have a row.
    ts_event ... sequence
        Columns of one length n, contiguous, of the dtypes given; times in ns, prices in 1e-9.
        ``kind`` 0 quote, 1 trade. Rows whose code (:func:`agents.kernels.validate.validate`) is not
        0 are skipped as dead.
    dense_quotes, dense_trades
        Whether that kind's sequence numbers rise by one, so that a step is a gap.
    wm_before : int64[n], optional
        Watermark before each tick, ns (:func:`agents.kernels.reorder.release`); without it, arrival
        order: each tick's own time raises the watermark.
    final_wm
        Watermark after the last tick, ns; a heartbeat with no ticks. :data:`NO_WATERMARK` for none.

    Returns
    -------
    FrameResult
        Over scratch memory; copy what must outlive the next call.

    Raises
    ------
    ValueError
        When columns differ in length; nothing has changed.
    IndexError
        For a symbol id without a row in a tick that is not dead; nothing has changed.
    """
    n = len(ts_event)
    scratch = state._scratch
    if scratch is None:
        scratch = state._scratch = Scratch()
    if n > scratch.ticks:
        scratch.fit_ticks(n)
    counts = scratch.counts
    loop = drive.compiled()
    at = 0
    while True:
        at = loop(
            state.table(),
            scratch.table,
            ts_event,
            symbol_id,
            kind,
            codes,
            bid_px,
            ask_px,
            trade_px,
            bid_sz,
            ask_sz,
            trade_sz,
            aggressor,
            sequence,
            dense_quotes,
            dense_trades,
            _NO_TIMES if wm_before is None else wm_before,
            wm_before is not None,
            final_wm,
            at,
        )
        if at > n:
            break
        if at < 0:
            raise _refusal(at, n, symbol_id, state)
        scratch.grow_rows(int(counts[closing.N_ROWS]) + state.n_symbols * len(state.config.windows_ns) * 2)
    return FrameResult(n, counts.tolist(), scratch.per_tick, scratch.matrices)


def _refusal(at: int, n: int, symbol_id: npt.NDArray[np.int32], state: PartitionState) -> Exception:
    if at == -1:
        return ValueError(f"columns differ in length: ts_event has {n}")
    return IndexError(
        f"symbol ids go from {symbol_id.min()} to {symbol_id.max()}, "
        f"the state has {state.n_symbols} symbols; add_symbols first"
    )
