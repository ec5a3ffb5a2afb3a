"""What patterns found, as rows of one table. Pure."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from agents.models.bars import Bars
from agents.patterns import Level, Line, Match, Shape, Triangle

_LINE = pa.struct([("bar", pa.int64()), ("price", pa.float64()), ("slope", pa.float64())])

ROWS = pa.schema(
    [
        ("symbol", pa.utf8()),
        ("finding", pa.utf8()),
        ("kind", pa.utf8()),
        ("known_at", pa.int64()),
        ("known_ns", pa.int64()),
        ("bars", pa.list_(pa.int64())),
        ("prices", pa.list_(pa.float64())),
        ("touches", pa.int64()),
        ("strength", pa.float64()),
        ("upper", _LINE),
        ("lower", _LINE),
        ("apex", pa.float64()),
        ("breakout_bar", pa.int64()),
        ("breakout", pa.int8()),
        ("distance", pa.float64()),
    ]
)
"""Bars are counted from 0 in the bars that were searched; what a kind of finding does not have is null."""

Finding = Shape | Triangle | Level | Match


def row_of(bars: Bars, found: Finding, name: str = "") -> dict[str, Any]:
    """A row of :data:`ROWS`.

    Parameters
    ----------
    name
        Of the template, for a match.
    """
    known_ns = int(bars.ts_ns[found.known_at]) if found.known_at < len(bars) else None
    common = {"symbol": bars.symbol, "known_at": found.known_at, "known_ns": known_ns}
    if isinstance(found, Shape):
        return {**common, "finding": "shape", "kind": found.kind, "bars": found.bars, "prices": found.prices}
    if isinstance(found, Level):
        return {**common, "finding": "level", "kind": found.side(float(bars.close[-1])), **_level(found)}
    if isinstance(found, Triangle):
        return {**common, "finding": "triangle", "kind": found.kind, **_triangle(found)}
    last = found.bar + found.length - 1
    prices = [float(bars.close[found.bar]), float(bars.close[last])]
    own = {"bars": [found.bar, last], "prices": prices, "distance": found.distance}
    return {**common, "finding": "match", "kind": name, **own}


def _level(found: Level) -> dict[str, Any]:
    return {
        "bars": [found.first_bar, found.last_bar],
        "prices": [found.price],
        "touches": found.touches,
        "strength": found.strength,
    }


def _triangle(found: Triangle) -> dict[str, Any]:
    return {
        "bars": [swing.bar for swing in found.swings],
        "prices": [swing.price for swing in found.swings],
        "touches": len(found.swings),
        "upper": _line(found.upper),
        "lower": _line(found.lower),
        "apex": found.apex,
        "breakout_bar": found.breakout_bar,
        "breakout": found.breakout,
    }


def _line(line: Line) -> dict[str, float]:
    return {"bar": line.bar, "price": line.price, "slope": line.slope}
