"""Feature, bar and indicator frames: what the tick worker writes to ``market.features`` and the like.

All are Arrow IPC streams of one record batch, a row a (symbol, window). Definitions and sources of
the features are in the kernels and in ``docs/features.md``; here are names, types and the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.ipc import END_OF_STREAM, blank_stream, split_stream, template_of, write_batch

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


def feature_schema(own: tuple[str, ...] = ()) -> pa.Schema:
    """The schema of feature frames with features of one's own, float64 columns behind the others."""
    return pa.schema([*FEATURE_SCHEMA, *(pa.field(name, pa.float64()) for name in own)])


def indicator_schema(columns: Sequence[str]) -> pa.Schema:
    """The schema of ``market.indicators``: the keys, then a float64 column a value, such as ``rsi(14)``."""
    return pa.schema([*_KEYS, *(pa.field(name, pa.float64()) for name in columns)])


MAX_ROWS = 2_000
"""Rows a message: 2,000 rows of 40 columns stay below Kafka's 1 MiB."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class RowEncoder:
    """Writes rows of one schema as frames, with the bytes that pyarrow would write.

    Parameters
    ----------
    schema
        :data:`FEATURE_SCHEMA`, :data:`BAR_SCHEMA` or one of :func:`indicator_schema`.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._template = template_of(schema)
        self._start: tuple[int, bytes] = (-1, b"")

    def encode(
        self, symbols: list[str], symbol_ids: Ints, window_ns: Ints, ints: Ints, floats: Floats
    ) -> Iterator[bytes]:
        """Frames of at most :data:`MAX_ROWS` rows; the same bytes for the same rows, always.

        Parameters
        ----------
        symbols
            Names by symbol id. A frame's dictionary holds all of them when most are used, else those used.
        symbol_ids, window_ns
            One a row.
        ints
            (columns, rows): ``open_ns``, ``close_ns``, then the schema's other integers, in order.
        floats
            (columns, rows): the schema's float columns, in order.
        """
        for start in range(0, len(symbol_ids), MAX_ROWS):
            rows = slice(start, start + MAX_ROWS)
            names, codes = symbols, symbol_ids[rows]
            n = len(codes)
            if len(symbols) > 4 * n:
                used, codes = np.unique(codes, return_inverse=True)
                names = [symbols[i] for i in used]
            if self._template is None:
                yield self.plain(names, codes, window_ns[rows], ints[:, rows], floats[:, rows])
                continue
            padded = np.zeros(n + n % 2, np.int32)
            padded[:n] = codes
            yield b"".join(
                (
                    self._stream_start(names, names is symbols),
                    self._template.head(n),
                    padded.tobytes(),
                    window_ns[rows].tobytes(),
                    ints[:, rows].tobytes(),
                    floats[:, rows].tobytes(),
                    END_OF_STREAM,
                )
            )

    def _stream_start(self, names: list[str], lasting: bool) -> bytes:
        """Schema and dictionary; those of all symbols are kept until there are more of them."""
        if lasting and self._start[0] == len(names):
            return self._start[1]
        start = split_stream(blank_stream(self._schema, 1, names))[0]
        if lasting:
            self._start = (len(names), start)
        return start

    def plain(self, names: list[str], codes: Ints, window_ns: Ints, ints: Ints, floats: Floats) -> bytes:
        """The frame as pyarrow writes it: slow, and what :meth:`encode` must equal."""
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names, pa.utf8())),
            pa.array(window_ns),
            *(pa.array(column) for column in ints),
            *(pa.array(column) for column in floats),
        ]
        return write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
