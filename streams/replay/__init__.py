"""Recorded files as ticks: formats, order of time, pace, and going on after a stop.

``Source`` turns files into one stream of ticks, ``Replay`` sends it::

    source = Source(SourceSpec((Path("day.csv.gz"),)))
    replay = Replay(settings, source, ReplayOptions(speed=10))
    await replay.run()
"""

from streams.replay.run import Replay, ReplayOptions
from streams.replay.source import Source, SourceSpec

__all__ = ["Replay", "ReplayOptions", "Source", "SourceSpec"]
