"""How good probabilities of sell, hold and buy were. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.models.bars import Floats
from agents.models.samples import CLASSES, HOLD, Rows

BINS = 10
BPS = 1e4


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one side of a trade, in basis points of its value; a round trip pays them twice."""

    half_spread_bps: float = 2.0
    fee_bps: float = 1.0

    @property
    def round_trip(self) -> float:
        """As a fraction."""
        return 2 * (self.half_spread_bps + self.fee_bps) / BPS


def score(probabilities: Floats, y: Rows, tradable: Floats, costs: Costs) -> dict[str, Any]:
    """All figures of one model on one test part.

    MCC after Gorodkin 2004 (0 for a constant answer), log-loss in nats, ``ece`` the expected calibration
    error of the likeliest class in ten bins (Guo et al. 2017). A trade is a sell or buy answer, entered at
    the next open and left at the horizon's end; ``right_side`` is the share that had the direction right,
    ``net_bps`` the mean of a trade after costs, ``pnl`` the sum of all
    as log return.

    Parameters
    ----------
    probabilities
        float64 (n, 3), rows add to one.
    y
        int64 (n,), what happened.
    tradable
        float64 (n,), log return from the next open.
    """
    from sklearn.metrics import f1_score, log_loss, matthews_corrcoef

    answer = probabilities.argmax(axis=1)
    side = answer - HOLD
    traded = side != 0
    gross = (side * np.expm1(tradable))[traded]
    net = gross - costs.round_trip
    table = reliability(probabilities, y)
    return {
        "mcc": float(matthews_corrcoef(y, answer)),
        "macro_f1": float(f1_score(y, answer, labels=[0, 1, 2], average="macro", zero_division=0.0)),
        "log_loss": float(log_loss(y, probabilities, labels=[0, 1, 2])),
        "accuracy": float((answer == y).mean()),
        "ece": calibration_error(table),
        "reliability": table,
        "answers": shares(answer),
        "trades": int(traded.sum()),
        "right_side": float((gross > 0).mean()) if len(gross) else 0.0,
        "gross_bps": float(gross.mean() * BPS) if len(gross) else 0.0,
        "net_bps": float(net.mean() * BPS) if len(net) else 0.0,
        "pnl": float(net.sum()),
    }


def shares(classes: Rows) -> dict[str, float]:
    """Share of each class, by name."""
    counts = np.bincount(classes, minlength=3) / max(len(classes), 1)
    return dict(zip(CLASSES, counts.tolist(), strict=True))


def reliability(probabilities: Floats, y: Rows) -> list[dict[str, float]]:
    """Of the likeliest class, by bins of its probability: how often it was right against how sure it was."""
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    return [
        {
            "from": k / BINS,
            "samples": int(inside.sum()),
            "predicted": float(sure[inside].mean()),
            "observed": float(right[inside].mean()),
        }
        for k in range(BINS)
        if (inside := bins == k).any()
    ]


def calibration_error(table: Sequence[dict[str, float]]) -> float:
    """Mean absolute distance between sureness and success, weighted by samples."""
    total = sum(row["samples"] for row in table)
    return float(sum(row["samples"] * abs(row["predicted"] - row["observed"]) for row in table) / total)


_T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean, and the 95 % interval of the mean by Student's t over the seeds."""
    array = np.array(values, np.float64)
    n = len(array)
    half = _T_95.get(n - 1, 1.96) * float(array.std(ddof=1)) / n**0.5 if n > 1 else 0.0
    mean = float(array.mean())
    return {"mean": mean, "low": mean - half, "high": mean + half}
