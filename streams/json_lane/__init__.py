"""JSON ticks to columns: ``market.ticks.json`` in, :class:`schemas.ticks.Ticks` out. Pure.

One set of rules, :class:`schemas.messages.TickJson`, and two ways to apply it:
:mod:`~streams.json_lane.single` checks a tick at a time and words what is wrong;
:mod:`~streams.json_lane.columns` does whole blocks at once and leaves to the former whatever is not
plainly good.
"""

from streams.json_lane.block import BadTick, Block, JsonBlocks
from streams.json_lane.single import Lane

__all__ = ["BadTick", "Block", "JsonBlocks", "Lane"]
