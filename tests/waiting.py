"""Waiting for what a test has caused, with an end to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Return when the condition holds; TimeoutError when it does not within the time."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - what we wait for has no event to set
            await asyncio.sleep(0.001)
