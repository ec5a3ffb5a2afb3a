"""The producer of ``market.ticks``: ticks in columns go in, frames on their partitions come out.

:class:`TickWriter` is what replay, ingest, the simulated market and users' own programs write with::

    async with TickWriter(settings) as writer:
        await writer.write(ticks)

It decides nothing about bytes and partitions itself: :mod:`streams.writer.batches` is pure and can be
tested without a broker.
"""

from streams.writer.batches import Frame, SourceRows
from streams.writer.memory import MemoryProducer
from streams.writer.writer import TickWriter

__all__ = ["Frame", "MemoryProducer", "SourceRows", "TickWriter"]
