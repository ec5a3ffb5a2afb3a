"""What the children's allocators hold on GPUs: said by each child, added up by device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from agents.allocators import Held, held
from agents.tasks.protocol import Holding
from schemas.commands import AllocatorKind

EVERY_S = 1.0

Sum = tuple[int, int]
"""Bytes used, and bytes that may be."""


@contextmanager
def telling(
    tell: Callable[[Holding], None], look: Callable[[], list[Held]] = held, every_s: float = EVERY_S
) -> Iterator[None]:
    """Say once in a while, from a thread, what the allocators hold; only while the block works."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(every_s):
            found = look()
            if found:
                with suppress(ConnectionError):  # the runner is gone, and the child ends by that
                    tell(Holding(held=found))

    thread = threading.Thread(target=run, name="allocators", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def summed(
    children: Iterable[tuple[tuple[str, ...], Iterable[Held]]],
) -> dict[tuple[str, AllocatorKind], Sum]:
    """Each allocator's bytes on each device, over all children.

    Parameters
    ----------
    children
        The devices that each sees, in the order of its ordinals, and what it said last.
    """
    found: dict[tuple[str, AllocatorKind], Sum] = {}
    for devices, holdings in children:
        for one in holdings:
            key = (devices[one.ordinal], one.kind)
            used, limit = found.get(key, (0, 0))
            found[key] = (used + one.used_bytes, limit + one.limit_bytes)
    return found
