"""The tasks that wait, in order, and the times at which something must happen to a task.

A view of the ledger's tasks, kept by the scheduler as tasks change.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from sortedcontainers import SortedList

from schemas.allocations import Lane

Rank = tuple[Any, ...]
"""Sort key; the task id is its last part."""


class Queue:
    """Who waits for which lane, first come first."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, SortedList[Rank]] = {"gpu": SortedList(), "cpu": SortedList()}
        self._places: dict[str, tuple[Lane, Rank]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._places

    def ids(self) -> list[str]:
        """All that wait, in no order that means anything."""
        return sorted(self._places)

    def enter(self, task_id: str, lane: Lane, rank: Rank) -> None:
        """Let a task wait; ``rank`` ends with its id."""
        self._places[task_id] = (lane, rank)
        self._lanes[lane].add(rank)

    def leave(self, task_id: str) -> None:
        """A task waits no more; nothing happens when it did not."""
        place = self._places.pop(task_id, None)
        if place is not None:
            self._lanes[place[0]].remove(place[1])

    def ranks(self, lane: Lane) -> Iterator[Rank]:
        """Those that wait for a lane, first come first; the queue may not change meanwhile."""
        return iter(self._lanes[lane])


class Timers:
    """The next time of each task at which someone must look at it."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._next: dict[str, int] = {}

    def set(self, task_id: str, at_ns: int | None) -> None:
        """One time a task; None for no time."""
        if at_ns is None:
            self._next.pop(task_id, None)
        elif self._next.get(task_id) != at_ns:
            self._next[task_id] = at_ns
            heapq.heappush(self._heap, (at_ns, task_id))

    def due(self, now_ns: int) -> list[str]:
        """The tasks whose time has come, by time and id; each must be set anew."""
        found = []
        while self._heap and self._heap[0][0] <= now_ns:
            at_ns, task_id = heapq.heappop(self._heap)
            if self._next.get(task_id) == at_ns:  # else it was set to another time since
                del self._next[task_id]
                found.append(task_id)
        return found
