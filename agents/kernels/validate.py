"""Which ticks can be computed with; the others are dead, with a code that says why."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from agents.kernels.entry import compiled_for, given, own
from agents.kernels.scalar.layout import MAX_PRICE

_EARLIEST = 631_152_000_000_000_000  # 1990-01-01
_LATEST = 7_258_118_400_000_000_000  # 2200-01-01

CODES: dict[int, tuple[str, str]] = {
    1: ("unknown_kind", "kind must be 0 (quote) or 1 (trade)"),
    2: ("quote_price", "bid_px and ask_px must be > 0"),
    3: ("trade_price", "trade_px must be > 0"),
    4: ("price_too_large", f"prices must be at most {MAX_PRICE} (1e-9 units)"),
    5: ("size", "sizes must be finite and >= 0"),
    6: ("aggressor", "aggressor must be -1, 0 or 1"),
    7: ("event_time", "ts_event_ns must lie in 1990..2200"),
    8: ("event_time_ahead", "ts_event_ns must not be further ahead of ts_recv_ns than the allowed skew"),
}
"""Code of a dead tick to its name and what would have been right; 0 means valid."""


def _validate(  # type: ignore[no-untyped-def]
    ts_event, ts_recv, kind, bid_px, ask_px, trade_px, bid_sz, ask_sz, trade_sz, aggressor, max_skew, codes
):
    # Every check is made of every row and the right one chosen: the kind of the next tick cannot be
    # guessed, and without branches the loop runs on vectors.
    for i in range(len(ts_event)):
        t = ts_event[i]
        bid, ask, px = bid_px[i], ask_px[i], trade_px[i]
        quote_sizes = (bid_sz[i] >= 0.0) & (bid_sz[i] < np.inf) & (ask_sz[i] >= 0.0) & (ask_sz[i] < np.inf)
        trade_size = (trade_sz[i] >= 0.0) & (trade_sz[i] < np.inf)
        side = (aggressor[i] >= -1) & (aggressor[i] <= 1)
        quote = 2 if (bid <= 0) | (ask <= 0) else 4 if (bid > MAX_PRICE) | (ask > MAX_PRICE) else 0
        quote = quote if quote else 0 if quote_sizes else 5
        trade = 3 if px <= 0 else 4 if px > MAX_PRICE else 5 if not trade_size else 0 if side else 6
        ahead = (ts_recv[i] > 0) & (t - max_skew > ts_recv[i])
        when = 7 if (t < _EARLIEST) | (t >= _LATEST) else 8 if ahead else 0
        code = quote if kind[i] == 0 else trade if kind[i] == 1 else 1
        codes[i] = code if code else when
    return 0


@cache
def _compiled() -> Any:
    i8, f8, u1 = types.int64, types.float64, types.uint8
    columns = map(given, [i8, i8, u1, i8, i8, i8, f8, f8, f8, types.int8])
    return compiled_for(i8(*columns, i8, own(u1)), _validate, nogil=False)


def validate(
    ts_event: npt.NDArray[np.int64],
    ts_recv: npt.NDArray[np.int64],
    kind: npt.NDArray[np.uint8],
    bid_px: npt.NDArray[np.int64],
    ask_px: npt.NDArray[np.int64],
    trade_px: npt.NDArray[np.int64],
    bid_sz: npt.NDArray[np.float64],
    ask_sz: npt.NDArray[np.float64],
    trade_sz: npt.NDArray[np.float64],
    aggressor: npt.NDArray[np.int8],
    max_skew_ns: int,
) -> npt.NDArray[np.uint8]:
    """Code each tick: 0 when it is valid, else the first fault found, see :data:`CODES`.

    Only the columns of a row's own kind are looked at. ``ts_recv`` of 0 or less means unknown; event
    time is checked against it only when it is known.

    Parameters
    ----------
    ts_event ... aggressor
        Columns of one length n, contiguous, times in ns, prices in 1e-9.
    max_skew_ns
        How far event time may run ahead of receipt, ns, in 0 .. 2^62.

    Returns
    -------
    uint8[n]
        Codes, in memory of their own.
    """
    codes = np.empty(len(ts_event), np.uint8)
    _compiled()(
        ts_event, ts_recv, kind, bid_px, ask_px, trade_px, bid_sz, ask_sz, trade_sz, aggressor,
        max_skew_ns, codes,
    )  # fmt: skip
    return codes
