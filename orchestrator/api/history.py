"""The last minutes in samples, so that charts are not empty when a page is opened."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from orchestrator.api import bodies, views
from orchestrator.api.model import ReadModel

EVERY_S = 2.0
KEPT = 300


class HistoryOfMinutes:
    """Samples of the read model."""

    def __init__(self, model: ReadModel, every_s: float = EVERY_S, kept: int = KEPT) -> None:
        self._model = model
        self._every_s = every_s
        self._moments: deque[bodies.Moment] = deque(maxlen=kept)

    def sample(self, at_ms: int) -> None:
        """Take one."""
        self._moments.append(views.moment(self._model, at_ms))

    def body(self) -> bodies.History:
        """What there is, the oldest first."""
        return bodies.History(every_ms=round(self._every_s * 1_000), moments=list(self._moments))

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            if self._model.caught_up:
                self.sample(time.time_ns() // 1_000_000)
            await asyncio.sleep(self._every_s)
