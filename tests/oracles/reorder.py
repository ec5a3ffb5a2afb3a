"""Allowed lateness, one arrival at a time over a plain list."""

from __future__ import annotations


def release(ts, kind, lateness, heartbeats=()):
    """Order of release, watermark before each, what is still held, final watermark.

    ``heartbeats`` maps a number of arrivals to the event time of a heartbeat that comes after them.
    """
    held: list[int] = []
    order: list[tuple[int, int]] = []
    running_max = None
    watermark = None
    heartbeats = dict(heartbeats)
    arrivals = []
    for j in range(len(ts)):
        if j in heartbeats:
            arrivals.append((None, heartbeats[j]))
        arrivals.append((j, ts[j]))
    if len(ts) in heartbeats:
        arrivals.append((None, heartbeats[len(ts)]))
    for j, t in arrivals:
        before = watermark
        if j is not None and watermark is not None and t <= watermark:
            order.append((j, watermark))
            continue
        if j is not None:
            held.append(j)
        running_max = t if running_max is None else max(running_max, t)
        watermark = running_max - lateness
        ready = [i for i in held if ts[i] <= watermark]
        held = [i for i in held if ts[i] > watermark]
        ready.sort(key=lambda i: (ts[i], kind[i] != 1, i))
        order += [(i, ts[i] if before is None else max(before, ts[i])) for i in ready]
    return order, sorted(held, key=lambda i: (ts[i], kind[i] != 1, i)), watermark
