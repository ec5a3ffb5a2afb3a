"""Waiting for a feed."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.feed import Feed, Place

LIMIT_S = 60


async def first_of(feed: Feed, place: Place, count: int = 1) -> list[Any]:
    """The next messages of a partition, as soon as there are that many."""
    got: list[Any] = []
    async with asyncio.timeout(LIMIT_S):
        while len(got) < count:
            got += (await feed.get([place], 1.0)).get(place, [])
    return got
