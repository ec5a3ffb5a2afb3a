"""A signal with a defect, as users write them."""

from __future__ import annotations

from agents.signals import Decision, FeatureRows, Sides, signal


@signal("faulty", features=("ofi",), model="faulty/1")
def faulty(rows: FeatureRows, sides: Sides, fee_bps: float) -> Decision:
    """Divide by zero."""
    raise ZeroDivisionError("no spread")
