"""Features of your own: columns more on market.features, computed on the CPU or on a GPU by the same lines.

Run a worker with them:

    export PYTHONPATH=examples
    export TAPESTREAM_FEATURES='["own_feature:block_share", "own_feature:widest_spread"]'
    tapestream worker

Each sees the ticks of one closed window of all symbols, as columns, and returns a value for each symbol. It
must be pure: what it returns may depend on its arguments alone.
"""

from __future__ import annotations

from agents.features import Column, TickFrame, Window, feature
from schemas.ticks import PRICE_SCALE

BLOCK = 50.0


@feature("block_share", columns=("trade_sz",))
def block_share(ticks: TickFrame, window: Window) -> Column:
    """Share of the volume that changed hands in trades of 50 and more; NaN without volume."""
    size = ticks["trade_sz"]
    return ticks.sum(size * (size >= BLOCK)) / ticks.sum(size)


@feature("widest_spread", columns=("bid_px", "ask_px"))
def widest_spread(ticks: TickFrame, window: Window) -> Column:
    """The widest spread quoted in the window, in the quote currency; trades have none and count as 0."""
    return ticks.max(ticks["ask_px"] - ticks["bid_px"]) / PRICE_SCALE
