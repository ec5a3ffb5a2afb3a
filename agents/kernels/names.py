"""The columns of the result matrices, in the order in which the scalar code writes them. Imports nothing."""

from __future__ import annotations

INT_NAMES = ("symbol_id", "window", "open_ns", "close_ns", "n_quotes", "n_trades")
"""Integer columns of a feature row; ``window`` is the index into ``KernelConfig.windows_ns``."""

FEATURE_NAMES = (
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
"""Float columns of a feature row, NaN where undefined; prices in units of the quote currency."""

BAR_INT_NAMES = (
    "symbol_id",
    "window",
    "open_ns",
    "close_ns",
    "open_px",
    "high_px",
    "low_px",
    "close_px",
    "n_trades",
)
"""Integer columns of a bar; prices fixed-point 1e-9."""

BAR_FLOAT_NAMES = ("volume", "notional", "vwap", "buy_volume")
"""Float columns of a bar; ``notional`` Σ p·v and ``vwap`` in units of the quote currency."""
