"""``tapestream ingest``: JSON ticks of ``market.ticks.json`` packed into frames of ``market.ticks``.

Each JSON tick ends in exactly one frame, or alone in ``dead.letters``, also when the process is killed:
:mod:`streams.ingest.resume` says how.
"""

from streams.ingest.metrics import Totals
from streams.ingest.service import Ingest

__all__ = ["Ingest", "Totals"]
