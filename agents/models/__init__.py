"""Prediction from bars: features, an LSTM, its training and registry, and what it says of given bars.

The names are brought in when they are asked for: torch takes seconds to import, and the tick worker, which
only looks whether a model is promoted, shall not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.models.registry import Registry
    from agents.models.scoring import Predictor, batch_prediction, neural_analysis

__all__ = ["Predictor", "Registry", "batch_prediction", "neural_analysis"]

_HOMES = {
    "Predictor": "agents.models.scoring",
    "Registry": "agents.models.registry",
    "batch_prediction": "agents.models.scoring",
    "neural_analysis": "agents.models.scoring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
