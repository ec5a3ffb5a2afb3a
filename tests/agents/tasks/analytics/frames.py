"""Messages of ``market.bars`` from rows."""

from __future__ import annotations

import numpy as np

from schemas.features import BAR_SCHEMA, RowEncoder
from schemas.ticks import PRICE_SCALE

SECOND = 1_000_000_000


def frame(*rows: tuple[str, int, int, float]) -> bytes:
    """A frame of bars: symbol, window and close in seconds, open and close (high and low are 0.5 off)."""
    symbols = sorted({row[0] for row in rows})
    ids = np.array([symbols.index(row[0]) for row in rows], np.int64)
    window_ns, close_ns = (np.array([row[k] for row in rows], np.int64) * SECOND for k in (1, 2))
    price = np.array([row[3] for row in rows])
    prices = [(price + off) * PRICE_SCALE for off in (0.0, 0.5, -0.5, 0.0)]
    ints = np.stack([close_ns - window_ns, close_ns, *(p.astype(np.int64) for p in prices), close_ns * 0 + 7])
    floats = np.stack([np.full(len(rows), 100.0), price * 100, price, np.full(len(rows), 50.0)])
    (payload,) = RowEncoder(BAR_SCHEMA).encode(symbols, ids, window_ns, ints, floats)
    return payload
