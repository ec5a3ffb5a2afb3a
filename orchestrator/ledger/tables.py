"""The rules of movement, as data: which record may take a task or a device from where to where.

A move that is not in its table is illegal: the fold ignores the record, and nothing changes.
"""

from __future__ import annotations

from collections import deque
from typing import Final, get_args

from schemas.devices import Health
from schemas.tasks import TerminalState

NEW: Final = "NEW"
"""Where a task comes from that the ledger has never seen."""

ENDS: tuple[str, ...] = get_args(TerminalState)

TASK_MOVES: dict[tuple[str, str], tuple[str, ...]] = {
    (NEW, "task_accepted"): ("QUEUED",),
    (NEW, "rejected"): ("REJECTED",),
    ("QUEUED", "granted"): ("GRANTED",),
    ("QUEUED", "rejected"): ("REJECTED",),
    ("QUEUED", "cancel_requested"): ("CANCELLED",),
    ("QUEUED", "deadline_passed"): ("DEADLINE_EXCEEDED",),
    ("GRANTED", "started"): ("RUNNING",),
    # The agent could not begin: the request's data are bad, its own child crashed.
    ("GRANTED", "ended"): ("RECLAIMING", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED"),
    ("GRANTED", "reclaiming"): ("RECLAIMING", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED"),
    # Noted; the agent, or the end of the lease, ends the attempt.
    ("GRANTED", "cancel_requested"): ("GRANTED",),
    ("GRANTED", "deadline_passed"): ("GRANTED",),
    ("RUNNING", "renewed"): ("RUNNING",),
    ("RUNNING", "ended"): ("SUCCEEDED", "RECLAIMING", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED"),
    ("RUNNING", "reclaiming"): ("RECLAIMING", "FAILED", "CANCELLED", "DEADLINE_EXCEEDED"),
    ("RUNNING", "cancel_requested"): ("RUNNING",),
    ("RUNNING", "deadline_passed"): ("RUNNING",),
    # Only when the bytes are back may the next attempt wait for a device.
    ("RECLAIMING", "released"): ("QUEUED",),
    ("RECLAIMING", "cancel_requested"): ("CANCELLED",),
    ("RECLAIMING", "deadline_passed"): ("DEADLINE_EXCEEDED",),
    # A task may be over before its bytes are back.
    ("SUCCEEDED", "released"): ("SUCCEEDED",),
    ("FAILED", "released"): ("FAILED",),
    ("CANCELLED", "released"): ("CANCELLED",),
    ("DEADLINE_EXCEEDED", "released"): ("DEADLINE_EXCEEDED",),
}
"""(state, kind of record) to the states that it may lead to."""

DEVICE_MOVES: dict[Health, tuple[Health, ...]] = {
    "UNKNOWN": ("HEALTHY", "SUSPECT", "LOST"),
    "HEALTHY": ("SUSPECT", "LOST"),
    "SUSPECT": ("HEALTHY", "QUARANTINED", "LOST"),
    "QUARANTINED": ("PROBATION", "LOST"),
    "PROBATION": ("HEALTHY", "QUARANTINED", "LOST"),
    "LOST": ("UNKNOWN",),
}
"""State of a device to the states that may follow it."""


def health_path(start: Health, wanted: Health) -> list[Health]:
    """The fewest moves from one state of health to another, without the first; empty when they are the same.

    For who reads reports, which may skip states: each step is a record of its own.
    """
    came_from: dict[Health, Health] = {}
    waiting = deque([start])
    while waiting and wanted not in came_from and wanted != start:
        state = waiting.popleft()
        for following in DEVICE_MOVES[state]:
            if following not in came_from and following != start:
                came_from[following] = state
                waiting.append(following)
    path: list[Health] = []
    state = wanted
    while state != start:
        path.append(state)
        state = came_from[state]
    return path[::-1]
