"""What the kernels found wrong, in words: for ``market.quality`` and for dead letters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agents.kernels.scalar import layout
from agents.kernels.validate import CODES
from agents.outputs import Trouble
from schemas.ticks import PRICE_SCALE, Ticks

NULL_CODE = 255
"""Our own code for a row with a null, beside the kernel's."""

EVENTS = {
    layout.EVENT_LATE: "late",
    layout.EVENT_DUPLICATE: "duplicate",
    layout.EVENT_GAP: "gap",
    layout.EVENT_RESET: "sequence_reset",
    layout.EVENT_CROSSED: "crossed",
}


def describe(code: int, a: int, b: int) -> tuple[int, str]:
    """How many ticks a finding is about, and what it says, from the kernel's two numbers."""
    if code == layout.EVENT_LATE:
        return 1, f"event time {a} came after the watermark {b} had closed its window"
    if code == layout.EVENT_DUPLICATE:
        return 1, f"sequence {a} at event time {b} was there before"
    if code == layout.EVENT_GAP:
        return b - a, f"expected sequence {a}, got {b}"
    if code == layout.EVENT_RESET:
        return 1, f"sequence fell from {a} to {b} as time went on"
    return 1, f"bid {a / PRICE_SCALE:g} above ask {b / PRICE_SCALE:g}"


def findings(
    codes: npt.NDArray[np.integer],
    rows: npt.NDArray[np.integer],
    a: npt.NDArray[np.integer],
    b: npt.NDArray[np.integer],
    symbol_names: list[str],
    symbol_ids: npt.NDArray[np.integer],
    origins: tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]] | int,
) -> list[Trouble]:
    """The kernel's events as troubles.

    Parameters
    ----------
    rows
        Positions in the arrays that the kernel saw.
    origins
        The message offset of all rows; or, when ticks waited for their turn, offset and row of each.
    """
    troubles = []
    for code, row, first, second in zip(codes.tolist(), rows.tolist(), a.tolist(), b.tolist(), strict=True):
        count, detail = describe(code, first, second)
        if isinstance(origins, int):
            offset, origin_row = origins, row
        else:
            offset, origin_row = int(origins[0][row]), int(origins[1][row])
        symbol = symbol_names[int(symbol_ids[row])]
        troubles.append(Trouble(EVENTS[code], symbol, offset, origin_row, count, detail))
    return troubles


_FAULTY = {
    "unknown_kind": ("kind",),
    "quote_price": ("bid_px", "ask_px"),
    "trade_price": ("trade_px",),
    "price_too_large": ("bid_px", "ask_px", "trade_px"),
    "size": ("bid_sz", "ask_sz", "trade_sz"),
    "aggressor": ("aggressor",),
    "event_time": ("ts_event_ns",),
    "event_time_ahead": ("ts_event_ns", "ts_recv_ns"),
}


def bad_tick(ticks: Ticks, code: int, row: int) -> str:
    """Why a row cannot be used, and its values."""
    if code == NULL_CODE:
        return "a null where a value must be"
    name, text = CODES[code]
    values = [_show(column, ticks.columns[column][row]) for column in _FAULTY[name]]
    return f"{text}, was {' and '.join(values)}"


def _show(column: str, value: np.generic) -> str:
    return f"{value.item() / PRICE_SCALE}" if column.endswith("_px") else f"{value}"
