"""The order-flow signal: the mid move that order-flow imbalance lets us expect, against its cost.

Cont, Kukanov and Stoikov (2014) regress the mid's move on order-flow imbalance (OFI) within a window;
traded is what is left of it in the *next* one. The kernels fit, by symbol and on closed windows alone,
``mid_move[k] = alpha + beta * ofi[k-1]`` and give ``expected_move_bps`` for the window to come.
"""

from __future__ import annotations

import numpy as np

from agents.signals import Decision, FeatureRows, Sides, signal

ENTER = 1.0
"""Enter when the expected move is at least this many times the cost …"""
LEAVE = 0.5
"""… and stay while it is above this many times: the hysteresis that keeps us from flickering."""
MIN_T = 2.0
"""A slope less sure than this many standard errors is no slope; it takes us in, never out."""
LEAST_COST_BPS = 1e-3


@signal(
    "order_flow",
    features=("ofi", "queue_imbalance", "mid", "spread", "ofi_beta", "ofi_t", "ofi_r2"),
    model="order_flow/1",
)
def order_flow(rows: FeatureRows, sides: Sides, fee_bps: float) -> Decision:
    """Take the side of the expected move when it pays for half the spread and the fee.

    Parameters
    ----------
    rows
        Rows that closed together.
    sides
        int8, a row: the side the row's symbol is on.
    fee_bps
        Fee of one side of a trade, in basis points.

    Returns
    -------
    Decision
        NaN features (too few windows yet) mean staying out.
    """
    expected = rows["expected_move_bps"]
    cost = rows["spread"] * 5e3 / rows["mid"] + fee_bps
    # A locked book has no spread, and without a fee no cost: then any expected move would be "strong".
    strength = np.abs(expected) / np.maximum(cost, LEAST_COST_BPS)
    known = strength < np.inf  # and so is neither of the two NaN
    strength = np.where(known, strength, 0.0)
    direction = np.sign(np.where(known, expected, 0.0)).astype(np.int8)
    enters = (strength >= ENTER) & (np.abs(rows["ofi_t"]) >= MIN_T)
    stays = (direction == sides) & (strength >= LEAVE)
    side = np.where(enters | stays, direction, np.int8(0))
    return Decision(side, strength, expected, cost)
