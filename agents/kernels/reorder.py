"""Event-time order within an allowed lateness: which ticks to release, in which order, which to hold.

The watermark is W = (largest event time among arrivals) − lateness. A tick with ts > W waits. An
arrival that advances W releases the waiting ticks with ts <= W, itself included, ordered by event
time, trades before quotes, then arrival. A tick that arrives with ts <= W, a straggler, is released
on the spot: its window may still be open.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from agents.kernels.entry import compiled_for, given, own
from agents.kernels.scalar.layout import ALWAYS
from agents.kernels.scalar.target import jit

__all__ = ["Released", "release"]


@dataclass(frozen=True, slots=True)
class Released:
    """Indices count the held ticks first, in the order in which they were given, then the arrivals.

    Attributes
    ----------
    order : int64[r]
        Ticks released, in order.
    wm_before : int64[r]
        Watermark before each, ns; at or above its event time.
    held : int64[h]
        Ticks still held, in the order in which to give them to the next call.
    running_max : int64
        Largest event time so far.
    final_wm : int64
        Watermark after the last arrival, ns; int64's least before the first.
    """

    order: npt.NDArray[np.int64]
    wm_before: npt.NDArray[np.int64]
    held: npt.NDArray[np.int64]
    running_max: int
    final_wm: int


def release(
    held_ts: npt.NDArray[np.int64],
    held_kind: npt.NDArray[np.uint8],
    ts: npt.NDArray[np.int64],
    kind: npt.NDArray[np.uint8],
    running_max: int,
    lateness_ns: int,
    heartbeat_ns: int = ALWAYS,
) -> Released:
    """Take arrivals among the held ticks. Any cut of the arrivals into calls releases the same sequence.

    Parameters
    ----------
    held_ts, held_kind : int64[h], uint8[h]
        Event times in ns and kinds of the ticks that the last call left held, in its order.
    ts, kind : int64[n], uint8[n]
        The same of the arrivals, valid ones only, in arrival order.
    running_max
        As the last call returned it; int64's least at first.
    lateness_ns
        Allowed lateness, > 0.
    heartbeat_ns
        Event time of a heartbeat that arrives after the ticks, if any.
    """
    n = len(held_ts) + len(ts)
    order, wm_before, held = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    queue, heap = np.empty(n, np.int64), np.empty(n, np.int64)
    all_ts = np.concatenate([held_ts, ts]) if len(held_ts) else ts
    all_kind = np.concatenate([held_kind, kind]) if len(held_kind) else kind
    released, running_max, watermark = _compiled()(
        all_ts, all_kind, len(held_ts), running_max, lateness_ns, heartbeat_ns,
        order, wm_before, held, queue, heap,
    )  # fmt: skip
    return Released(order[:released], wm_before[:released], held[: n - released], running_max, watermark)


def _release(  # type: ignore[no-untyped-def]
    ts, kind, n_held, running_max, lateness, heartbeat, order, wm_before, held, queue, heap
):
    """Ticks that arrive in order wait in ``queue``, the others in a binary ``heap``; two heads to compare."""
    head = 0
    tail = 0
    size = 0
    for i in range(n_held):
        queue[tail] = i
        tail += 1
    released = 0
    watermark = running_max - lateness if running_max != ALWAYS else ALWAYS
    n = len(ts)
    for i in range(n_held, n + 1):
        arrival = heartbeat if i == n else ts[i]
        if i < n:
            if arrival <= watermark:
                order[released] = i
                wm_before[released] = watermark
                released += 1
                continue
            if tail == head or not _before(ts, kind, i, queue[tail - 1]):
                queue[tail] = i
                tail += 1
            else:
                size = _push(ts, kind, heap, size, i)
        if arrival <= running_max:
            continue
        running_max = arrival
        reached = running_max - lateness
        while head < tail or size > 0:
            from_heap = head == tail or (size > 0 and _before(ts, kind, heap[0], queue[head]))
            first = heap[0] if from_heap else queue[head]
            if ts[first] > reached:
                break
            if from_heap:
                size = _pop(ts, kind, heap, size)
            else:
                head += 1
            order[released] = first
            wm_before[released] = ts[first]  # above the last watermark, or it would not have waited
            released += 1
        watermark = reached
    waiting = 0
    while head < tail or size > 0:
        if head == tail or (size > 0 and _before(ts, kind, heap[0], queue[head])):
            held[waiting] = heap[0]
            size = _pop(ts, kind, heap, size)
        else:
            held[waiting] = queue[head]
            head += 1
        waiting += 1
    return released, running_max, watermark


@jit
def _before(ts, kind, a, b):  # type: ignore[no-untyped-def]
    """Whether tick a goes before tick b: event time, trades before quotes, arrival."""
    if ts[a] != ts[b]:
        return ts[a] < ts[b]
    if (kind[a] == 1) != (kind[b] == 1):
        return kind[a] == 1
    return a < b


@jit
def _push(ts, kind, heap, size, item):  # type: ignore[no-untyped-def]
    at = size
    while at > 0:
        parent = (at - 1) // 2
        if not _before(ts, kind, item, heap[parent]):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = item
    return size + 1


@jit
def _pop(ts, kind, heap, size):  # type: ignore[no-untyped-def]
    size -= 1
    item = heap[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _before(ts, kind, heap[child + 1], heap[child]):
            child += 1
        if not _before(ts, kind, heap[child], item):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = item
    return size


@cache
def _compiled() -> Any:
    i8 = types.int64
    signature = types.UniTuple(i8, 3)(given(i8), given(types.uint8), *[i8] * 4, *[own(i8)] * 5)
    return compiled_for(signature, _release)
