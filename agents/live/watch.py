"""Sees in the registry which model is promoted, and writes it to the logs of this worker's partitions.

A partition changes its model when it reads that, not when the registry changes: so every worker that
computes the partition, now or after a crash, changes at the same message. Two workers, or one that was cut
off, may write the same twice: the second notice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from agents.live.library import RegistryLibrary
from agents.live.model import bar_window_ns
from schemas.errors import DeliveryError, ModelError
from schemas.promotions import Promotion

log = logging.getLogger("tapestream.worker")

LOOK_S = 1.0

InUse = Callable[[], Mapping[int, Promotion | None]]
"""The model that each partition of this worker is at, by number."""
Announce = Callable[[int, Promotion], Awaitable[int]]
"""Writes a promotion to the log of a partition and returns its offset."""


class ModelWatch:
    """Looks at the registry now and then.

    Parameters
    ----------
    windows_ns, window_ms
        As of :class:`agents.live.model.LiveModel`: a model that finds no bars is not announced.
    """

    def __init__(
        self,
        library: RegistryLibrary,
        windows_ns: tuple[int, ...],
        window_ms: int,
        in_use: InUse,
        announce: Announce,
    ) -> None:
        self._library, self._windows_ns, self._window_ms = library, windows_ns, window_ms
        self._in_use, self._announce = in_use, announce
        self._announced: dict[int, Promotion] = {}
        self._refused = ""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Announce what is promoted to the partitions that are at another model."""
        try:
            promotion = await asyncio.to_thread(self._promoted)
        except ModelError as exc:
            self._refuse(exc)
            return
        self._refused = ""
        if promotion is None:
            return
        in_use = self._in_use()
        self._announced = {number: told for number, told in self._announced.items() if number in in_use}
        for number, current in in_use.items():
            if current == promotion or self._announced.get(number) == promotion:
                continue
            try:
                offset = await self._announce(number, promotion)
            except DeliveryError as exc:
                log.warning("%s; trying again", exc)
                return
            self._announced[number] = promotion
            log.info("partition %d: model %s is in use from offset %d on", number, promotion.version, offset)

    def _promoted(self) -> Promotion | None:
        """What is promoted, opened, so that neither a faulty model nor the wait for it gets to the ticks."""
        promotion = self._library.promoted()
        if promotion is not None:
            bar_window_ns(self._library.open(promotion), self._windows_ns, self._window_ms)
        return promotion

    def _refuse(self, exc: ModelError) -> None:
        """Say it once; the partitions go on with what they have."""
        if str(exc) != self._refused:
            self._refused = str(exc)
            log.error("the promoted model is not used: %s", exc)
