"""The order-flow signal: the mid move that order-flow imbalance lets us expect, against its cost.

Cont, Kukanov and Stoikov (2014) regress the mid's move on order-flow imbalance (OFI) within a window;
traded is what is left of it in the *next* one. The kernels fit, by symbol and on closed windows alone,
``mid_move[k] = alpha + beta * ofi[k-1]`` and give ``expected_move_bps`` for the window to come.
"""

from __future__ import annotations

from agents.kernels.expected_move import take_sides
from agents.signals import Decision, FeatureRows, Sides, signal

ENTER = 1.0
"""Enter when the expected move is at least this many times the cost …"""
LEAVE = 0.5
"""… and stay while it is above this many times: the hysteresis that keeps us from flickering."""
MIN_T = 2.0
"""A slope less sure than this many standard errors is no slope; it takes us in, never out."""


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
    side, strength, cost = take_sides(
        expected,
        rows["spread"],
        rows["mid"],
        rows["ofi_t"],
        sides,
        fee_bps=fee_bps,
        enter=ENTER,
        leave=LEAVE,
        least_t=MIN_T,
    )
    return Decision(side, strength, expected, cost)
