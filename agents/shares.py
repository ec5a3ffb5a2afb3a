"""Partitions shared among workers in proportion to what each can carry. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def counts(
    partitions: int, capacities: Mapping[str, float], held: Mapping[str, int] | None = None
) -> dict[str, int]:
    """How many partitions each member gets.

    One after the other goes to the member whose load, partitions over capacity, stays the smallest, so that
    the largest load is as small as it can be (the method of D'Hondt). A tie goes to one that keeps by it what
    it has.

    Parameters
    ----------
    partitions
        To share out.
    capacities
        Of each member, above zero; in any unit that all share.
    held
        Partitions that each member has now.

    Examples
    --------
    >>> counts(8, {"cpu": 1.0, "gpu": 3.0})
    {'cpu': 2, 'gpu': 6}
    """
    held = held or {}
    shares = dict.fromkeys(sorted(capacities), 0)
    for _ in range(partitions):
        lightest = min(
            shares,
            key=lambda member: (
                (shares[member] + 1) / capacities[member],
                shares[member] >= held.get(member, 0),
                member,
            ),
        )
        shares[lightest] += 1
    return shares


def share(
    partitions: Collection[int], capacities: Mapping[str, float], held: Mapping[str, Collection[int]]
) -> dict[str, list[int]]:
    """Which partitions each member gets: what it holds as far as its share goes, then what is free.

    Parameters
    ----------
    partitions
        All of them.
    capacities
        Of each member, above zero.
    held
        What each member has now. Of two that claim the same partition the first by name keeps it; a
        partition that is not among ``partitions`` is let go.

    Returns
    -------
    dict
        Each member's partitions, ascending; together each partition once.
    """
    free = set(partitions)
    kept: dict[str, list[int]] = {}
    for member in sorted(capacities):
        kept[member] = sorted(free.intersection(held.get(member, ())))
        free.difference_update(kept[member])
    wanted = counts(len(partitions), capacities, {member: len(mine) for member, mine in kept.items()})
    for member, mine in kept.items():
        free.update(mine[wanted[member] :])
        del mine[wanted[member] :]
    for partition in sorted(free):
        member = next(member for member, mine in kept.items() if len(mine) < wanted[member])
        kept[member].append(partition)
    return {member: sorted(mine) for member, mine in kept.items()}
