"""A signal that takes the name of the model's, and one of another kind, for tests."""

import numpy as np

from agents.signals import Decision, FeatureRows, Sides, signal


@signal("lstm", features=("mid",), model="own/1")
def lstm(rows: FeatureRows, sides: Sides, fee_bps: float) -> Decision:
    raise AssertionError("is never asked")


@signal("imbalance", features=("queue_imbalance",), model="imbalance/1")
def imbalance(rows: FeatureRows, sides: Sides, fee_bps: float) -> Decision:
    """The side of the longer queue."""
    lean = np.nan_to_num(rows["queue_imbalance"])
    return Decision(np.sign(lean).astype(np.int8), np.abs(lean), lean, np.full(len(rows), fee_bps))
