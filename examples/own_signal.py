"""A signal of your own: follow the side that both the queue and the trades lean to, in calm markets only.

Run a worker with it (and with the built-in one):

    export PYTHONPATH=examples
    export TAPESTREAM_SIGNALS='["agents.signals.order_flow:order_flow", "own_signal:queue_pressure"]'
    tapestream worker

The function must be pure: what it returns may depend on its arguments alone, or replaying the log would
not give the same signals. It sees all symbols that closed a window at one instant, as columns.
"""

from __future__ import annotations

import numpy as np

from agents.signals import Decision, FeatureRows, Sides, signal

ENTER, LEAVE = 0.6, 0.2
CALM_VPIN = 0.5


@signal(
    "queue_pressure",
    features=("queue_imbalance", "trade_imbalance", "vpin", "spread"),
    model="queue_pressure/1",
)
def queue_pressure(rows: FeatureRows, sides: Sides, fee_bps: float) -> Decision:
    """Enter when both imbalances agree and are large, leave when they no longer do.

    What may be expected is the way from the mid to the weighted mid, which leans to the thinner queue.
    """
    queue = np.nan_to_num(rows["queue_imbalance"])
    trades = np.nan_to_num(rows["trade_imbalance"])
    agreed = np.where(queue * trades > 0, np.sign(queue) * np.minimum(abs(queue), abs(trades)), 0.0)
    calm = ~(rows["vpin"] > CALM_VPIN)  # NaN, before VPIN has its buckets, counts as calm
    direction = np.sign(agreed).astype(np.int8)
    enters = (abs(agreed) >= ENTER) & calm
    stays = (direction == sides) & (abs(agreed) >= LEAVE)
    side = np.where(enters | stays, direction, 0).astype(np.int8)
    to_bps = 1e4 / rows["mid"]
    expected = np.nan_to_num((rows["weighted_mid"] - rows["mid"]) * to_bps)
    cost = 0.5 * rows["spread"] * to_bps + fee_bps
    return Decision(side, abs(agreed) / ENTER, expected, cost)
