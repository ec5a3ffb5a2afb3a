"""SIGTERM as Ctrl-C: supervisors and container engines send the one, people the other."""

from __future__ import annotations

import signal


def sigterm_interrupts() -> None:
    """Make SIGTERM do what Ctrl-C does.

    By way of SIGINT, because asyncio turns that one into the cancelling of its main task; an exception that a
    handler raises by itself would come out in the middle of whatever the loop is at.
    """
    # Whoever starts us in the background may have SIGINT ignored, and we would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
