"""The worker beside other stream processors doing the same work on the same topics.

Each peer runs one script of this folder in an environment of its own, because its pins contradict ours.
The scripts import :mod:`bench.peers.common` and, in the frames lane, our own partition; nothing else here.
"""

from __future__ import annotations

from typing import Any


def run(
    ticks: int = 16_000_000,
    messages: int = 100_000,
    rounds: int = 3,
    only: tuple[str, ...] = (),
    lanes: tuple[str, ...] = ("frames", "json"),
) -> dict[str, Any]:
    """Measure ours and each peer, by turns; starts a broker a lane, and makes environments on first use.

    Parameters
    ----------
    ticks
        Of the frames lane, in frames of 4,096.
    messages
        Of the JSON lane, one tick each.
    rounds
        How often each reads the whole topic; medians are reported.
    only
        Names of peers; all of :data:`bench.peers.roster.PEERS` when empty.
    lanes
        Which of the two.

    Returns
    -------
    dict
        By lane: ``ours``, and a peer's ``ticks_per_s``, ``ticks_per_cpu_s``, ``ours_over_peer`` (both rates)
        and ``outputs``, "same as ours" or what differs; or ``absent`` with the reason.
    """
    from bench.peers.measure import measure  # not importable where the scripts run

    return measure(ticks, messages, rounds, only, lanes)
