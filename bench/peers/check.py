"""Did a peer really do the work? Its outputs held against ours, as values.

A difference is a text, empty when there is none.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from typing import Any

import pyarrow as pa

from agents.verification import timeless
from bench.peers.common import BARS, OUTPUTS, WINDOW_NS, Window, add, bar, begin_window, opened
from schemas import codec
from schemas.settings import Settings
from schemas.ticks import PRICE_SCALE
from streams import topics
from streams.log_reader import LogReader

Outputs = dict[str, Counter[str]]
"""Topic to the digests of its messages' values."""
Bars = dict[tuple[str, int], dict[str, Any]]
"""Symbol and open to the bar of a second."""

COMMON = ("open", "high", "low", "close", "volume", "n_trades")
"""Columns of a bar that the worker writes too."""


async def read_outputs(settings: Settings) -> Outputs:
    """What is on the output topics, whatever the order and the partitions that a peer chooses."""
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    async with LogReader(settings) as reader:
        for base in OUTPUTS:
            for partition in range(settings.partitions):
                async for record in reader.rest(topics.name(settings, base), partition):
                    found[base].append(timeless(base, record.value) or b"")
    return {base: Counter(sha256(value).hexdigest() for value in values) for base, values in found.items()}


def differing_outputs(ours: Outputs, theirs: Outputs) -> str:
    """How a peer's outputs differ from ours, by topic."""
    said = []
    for base in OUTPUTS:
        mine, others = ours.get(base, Counter()), theirs.get(base, Counter())
        missing, foreign = (mine - others).total(), (others - mine).total()
        if missing or foreign:
            said.append(f"{base}: {missing} of {mine.total()} missing, {foreign} that ours has not")
    return "; ".join(said)


def expected_bars(ticks: Iterable[bytes]) -> Bars:
    """The bars of JSON ticks, computed in a plain loop."""
    windows: dict[tuple[str, int], Window] = {}
    for payload in ticks:
        tick = codec.loads(payload)
        add(windows.setdefault((tick["symbol"], opened(tick)), begin_window()), tick)
    return {place: bar(*place, window) for place, window in windows.items()}


async def read_bars(settings: Settings) -> list[dict[str, Any]]:
    """The JSON bars that a peer has written."""
    return [codec.loads(value) async for value in _values(settings)]


async def read_our_bars(settings: Settings) -> list[dict[str, Any]]:
    """The worker's bars of one second, with the names that :func:`bench.peers.common.bar` has."""
    return [row async for value in _values(settings) for row in _rows(value)]


async def _values(settings: Settings) -> AsyncIterator[bytes]:
    async with LogReader(settings) as reader:
        for partition in range(settings.partitions):
            async for record in reader.rest(topics.name(settings, BARS), partition):
                yield record.value


def _rows(frame: bytes) -> Iterator[dict[str, Any]]:
    for row in pa.ipc.open_stream(BytesIO(frame)).read_all().to_pylist():
        if row["window_ns"] == WINDOW_NS:
            prices = {name: row[f"{name}_px"] / PRICE_SCALE for name in COMMON[:4]}
            yield {name: row[name] for name in ("symbol", "open_ns", "volume", "n_trades")} | prices


def differing_bars(expected: Bars, found: list[dict[str, Any]], names: tuple[str, ...] = ()) -> str:
    """How bars differ from the expected ones.

    Parameters
    ----------
    names
        Columns to compare; all when empty.

    Notes
    -----
    Only a later tick closes a window, so those of the last second may be there or not. Windows without a
    trade have no bar of ours, and are compared where they are found.
    """
    last = max(open_ns for _, open_ns in expected)
    by_place = {(row["symbol"], row["open_ns"]): row for row in found}
    missing = [
        place
        for place, row in expected.items()
        if place[1] < last and (row["n_trades"] or not names) and place not in by_place
    ]
    wrong = [
        place
        for place, row in by_place.items()
        if place not in expected or not _same(expected[place], row, names or tuple(expected[place]))
    ]
    said = {"repeated": len(found) - len(by_place), "missing": len(missing), "wrong": len(wrong)}
    return ", ".join(f"{count} {what}" for what, count in said.items() if count)


def _same(expected: dict[str, Any], row: dict[str, Any], names: tuple[str, ...]) -> bool:
    return all(_equal(expected[name], row.get(name)) for name in names)


def _equal(a: Any, b: Any) -> bool:
    """Equal, sums up to the order in which they were added."""
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)
