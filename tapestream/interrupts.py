"""Being told to end: by Ctrl-C, or by SIGTERM, which supervisors and container engines send."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def sigterm_interrupts() -> None:
    """Make SIGTERM do what Ctrl-C does.

    By way of SIGINT, because asyncio turns that one into the cancelling of its main task; an exception that a
    handler raises by itself would come out in the middle of whatever the loop is at.
    """
    # Whoever starts us in the background may have SIGINT ignored, and we would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@contextmanager
def until_told(again: Callable[[], None], *numbers: signal.Signals) -> Iterator[threading.Event]:
    """An event that the first of these signals sets; every further one calls ``again``."""
    told = threading.Event()

    def tell(*_: object) -> None:
        if told.is_set():
            again()
        told.set()

    before = {number: signal.signal(number, tell) for number in numbers}
    try:
        yield told
    finally:
        for number, action in before.items():
            signal.signal(number, action)
