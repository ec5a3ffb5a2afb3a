"""Feature and bar frames: what the tick worker writes to ``market.features`` and ``market.bars``.

Both are Arrow IPC streams of one record batch, a row a (symbol, window). Definitions and sources of
the features are in the kernels and in ``docs/features.md``; here are names, types and the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.frame import write_batch

KEY_FIELDS = ("symbol", "window_ns", "open_ns", "close_ns")

FEATURE_COUNTS = ("n_quotes", "n_trades")
FEATURE_VALUES = (
    "volume",
    "buy_volume",
    "sell_volume",
    "vwap",
    "ofi",
    "trade_imbalance",
    "queue_imbalance",
    "mid",
    "spread",
    "spread_twa",
    "weighted_mid",
    "micro_price",
    "effective_spread",
    "realized_spread",
    "price_impact",
    "kyle_lambda",
    "amihud",
    "roll",
    "vpin",
    "rv",
    "bipower",
    "medrv",
    "hawkes_intensity",
    "hawkes_branching",
    "mid_move",
    "ofi_beta",
    "ofi_alpha",
    "ofi_t",
    "ofi_r2",
    "expected_move_bps",
)

BAR_PRICES = ("open_px", "high_px", "low_px", "close_px")
BAR_COUNTS = ("n_trades",)
BAR_VALUES = ("volume", "notional", "vwap", "buy_volume")

_SYMBOL = pa.dictionary(pa.int32(), pa.utf8())
_KEYS = [pa.field("symbol", _SYMBOL), *(pa.field(name, pa.int64()) for name in KEY_FIELDS[1:])]

FEATURE_SCHEMA = pa.schema(
    [
        *_KEYS,
        *(pa.field(name, pa.int64()) for name in FEATURE_COUNTS),
        *(pa.field(name, pa.float64()) for name in FEATURE_VALUES),
    ]
)
BAR_SCHEMA = pa.schema(
    [
        *_KEYS,
        *(pa.field(name, pa.int64()) for name in (*BAR_PRICES, *BAR_COUNTS)),
        *(pa.field(name, pa.float64()) for name in BAR_VALUES),
    ]
)

MAX_ROWS = 2_000
"""Rows a message: 2,000 rows of 40 columns stay below Kafka's 1 MiB."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def encode_rows(
    schema: pa.Schema,
    symbols: list[str],
    symbol_ids: Ints,
    window_ns: Ints,
    ints: Ints,
    floats: Floats,
) -> Iterator[bytes]:
    """Write rows as frames of at most :data:`MAX_ROWS`; the same bytes for the same rows.

    Parameters
    ----------
    schema
        :data:`FEATURE_SCHEMA` or :data:`BAR_SCHEMA`.
    symbols
        Names by symbol id.
    symbol_ids, window_ns
        One a row.
    ints
        (columns, rows): ``open_ns``, ``close_ns``, then the schema's other integers, in order.
    floats
        (columns, rows): the schema's float columns, in order.
    """
    for start in range(0, len(symbol_ids), MAX_ROWS):
        rows = slice(start, start + MAX_ROWS)
        used, codes = np.unique(symbol_ids[rows], return_inverse=True)
        names = pa.array([symbols[i] for i in used], pa.utf8())
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names),
            pa.array(window_ns[rows]),
            *(pa.array(column[rows]) for column in ints),
            *(pa.array(column[rows]) for column in floats),
        ]
        yield write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
