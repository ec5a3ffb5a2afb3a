"""From a file's named columns to ticks, by a map that the user gives or that the names themselves suggest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from schemas.errors import SourceError
from schemas.ticks import COLUMNS, QUOTE, TRADE, Array, Ticks, is_symbol, make_ticks
from streams.replay.formats import columns as convert
from streams.replay.formats.base import BadRows, ReadOptions, valid_rows

ALIASES: dict[str, tuple[str, ...]] = {
    "ts_event_ns": ("ts_event", "timestamp", "time", "datetime", "date_time"),
    "ts_recv_ns": ("ts_recv", "recv_time", "local_timestamp"),
    "symbol": ("sym", "ticker", "instrument"),
    "kind": ("type", "tick_type"),
    "bid_px": ("bid_price", "bid", "best_bid", "bidprice"),
    "ask_px": ("ask_price", "ask", "best_ask", "askprice", "ofr"),
    "bid_sz": ("bid_size", "bid_qty", "bid_amount", "bidsize"),
    "ask_sz": ("ask_size", "ask_qty", "ask_amount", "asksize", "ofrsiz"),
    "trade_px": ("trade_price", "price", "last"),
    "trade_sz": ("trade_size", "size", "qty", "quantity", "amount", "volume"),
    "aggressor": ("side", "aggressor_side", "is_buyer_maker"),
    "sequence": ("seq", "trade_id", "id"),
}
"""Names that other people's files give our columns, without regard to case."""

KINDS = {"0": QUOTE, "1": TRADE, "quote": QUOTE, "trade": TRADE, "q": QUOTE, "t": TRADE}
SIDES = {
    **dict.fromkeys(("1", "+1", "b", "buy", "buyer", "bid"), 1),
    **dict.fromkeys(("-1", "s", "sell", "seller", "ask", "a"), -1),
    **dict.fromkeys(("0", "", "n", "none"), 0),
}
"""How files name the aggressor."""
MAKERS = {"true": -1, "false": 1, "1": -1, "0": 1, "": 0}
"""``is_buyer_maker``: when the buyer made the price, the seller took it."""

_QUOTE, _TRADE = ("bid_px", "ask_px"), ("trade_px",)


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Tick column to file column, checked against a file's columns."""

    found: dict[str, str]

    @classmethod
    def of(cls, path: Path, names: Sequence[str], options: ReadOptions) -> ColumnMap:
        """Resolve the map.

        Raises
        ------
        SourceError
            Naming the column that is missing and how to say where it is.
        """
        found: dict[str, str] = {}
        by_lower = {name.lower(): name for name in reversed(names)}
        for ours in COLUMNS:
            given = options.columns.get(ours)
            if given is not None:
                if given not in names:
                    raise SourceError(
                        f"{path} has no column {given}, which the map gives for {ours}",
                        f"it has {', '.join(names)}",
                    )
                found[ours] = given
                continue
            named = next((by_lower[a] for a in (ours, *ALIASES[ours]) if a in by_lower), None)
            if named is not None and named not in options.columns.values():
                found[ours] = named
        quotes = all(name in found for name in _QUOTE)
        if not quotes:
            for name in _QUOTE:
                found.pop(name, None)
        needed = ["ts_event_ns"] if options.symbol else ["ts_event_ns", "symbol"]
        missing = [name for name in needed if name not in found]
        if not missing and not quotes and "trade_px" not in found:
            missing = ["bid_px and ask_px, or trade_px,"]
        if missing:
            hint = "or --symbol" if missing[0] == "symbol" else f"its columns are {', '.join(names)}"
            ours = missing[0].split()[0]
            raise SourceError(f"{path}: no column for {missing[0]}", f"give --map {ours}=COLUMN {hint}")
        return cls(found)

    def ticks(self, columns: dict[str, pa.Array], lines: Array, options: ReadOptions, bad: BadRows) -> Ticks:
        """The rows that are ticks; the others go to ``bad`` with their lines."""
        n = len(lines)
        given = {ours: columns[theirs] for ours, theirs in self.found.items()}
        out: dict[str, Array] = {}
        absent: dict[str, Array] = {}
        wrong = _blank_rows(given, n, bad)

        def take(name: str, found: convert.Converted) -> None:
            nonlocal wrong
            bad.add_where(found.bad & ~wrong, lines, f"{self.found[name]} is no {_NOUNS.get(name, 'number')}")
            wrong = wrong | found.bad
            out[name], absent[name] = found.values, found.absent

        for name, column in given.items():
            if name in ("ts_event_ns", "ts_recv_ns"):
                take(name, convert.times(column, options.time_unit, options.time_zone))
            elif name in ("bid_px", "ask_px", "trade_px"):
                take(name, convert.prices(column, options.price_scale))
            elif name in ("bid_sz", "ask_sz", "trade_sz"):
                take(name, convert.floats(column))
            elif name == "sequence":
                take(name, convert.integers(column))
            elif name == "aggressor":
                sides = MAKERS if "maker" in self.found[name].lower() else SIDES
                take(name, _words(column, sides, absent_value=0))
        kind = _words(given["kind"], KINDS, absent_value=-1) if "kind" in given else None
        if kind is not None:
            take("kind", kind)
        out["kind"] = _kinds(out.get("kind"), out, absent, n)
        symbols, out["symbol"], no_symbol = _symbols(given.get("symbol"), options.symbol, n)
        bad.add_where(no_symbol & ~wrong, lines, "no symbol of 1 to 64 printable characters")
        wrong = wrong | no_symbol
        out["sequence"] = np.maximum(out.get("sequence", np.zeros(n, np.int64)), 0)
        _blank_other_kind(out)
        ticks = make_ticks(symbols, None, **out)
        if wrong.any():
            ticks, lines = ticks.take(~wrong), lines[~wrong]
        return valid_rows(ticks, lines, bad)


_NOUNS = {
    "ts_event_ns": "time",
    "ts_recv_ns": "time",
    "aggressor": "side",
    "kind": "quote or trade",
    "sequence": "whole number",
    **dict.fromkeys(("bid_px", "ask_px", "trade_px"), "price"),
}


def _blank_rows(given: dict[str, pa.Array], n: int, bad: BadRows) -> Array:
    """Rows without anything in them, such as the last line of many a file."""
    blank = np.ones(n, bool)
    for column in given.values():
        if not pa.types.is_string(column.type):
            return np.zeros(n, bool)
        blank &= np.asarray(convert.is_blank(column))
        if not blank.any():
            return blank
    bad.skip("blank line", int(blank.sum()))
    return blank


def _words(column: pa.Array, meanings: dict[str, int], absent_value: int) -> convert.Converted:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.string())
    codes, words = convert.texts(column)
    values = [meanings.get(word.lower()) if word is not None else None for word in words]
    if absent_value < 0:
        values = [absent_value if word == "" else value for word, value in zip(words, values, strict=True)]
    lookup = np.array([0 if value is None else value for value in values] + [absent_value], np.int64)
    unknown = np.array([value is None for value in values] + [False])
    return convert.Converted(lookup[codes], unknown[codes], codes < 0)


def _kinds(stated: Array | None, out: dict[str, Array], absent: dict[str, Array], n: int) -> Array:
    """What each row is: as it says, else a trade where it has a trade's price."""
    if "trade_px" not in out:
        inferred = np.full(n, QUOTE)
    elif "bid_px" not in out:
        inferred = np.full(n, TRADE)
    else:
        inferred = np.where(absent["trade_px"] | (out["trade_px"] == 0), QUOTE, TRADE)
    return inferred if stated is None else np.where(stated < 0, inferred, stated)


def _symbols(column: pa.Array | None, fixed: str, n: int) -> tuple[tuple[str, ...], Array, Array]:
    if column is None or fixed:
        return (fixed,), np.zeros(n, np.int32), np.zeros(n, bool)
    codes, found = convert.texts(column)
    fine = [is_symbol(text) for text in map(_text, found)]
    wrong = ~np.array([*fine, False])[codes]
    places = np.cumsum([*fine, False]) - 1
    symbols = tuple(_text(text) for text, ok in zip(found, fine, strict=True) if ok)
    return symbols, np.where(wrong, 0, places[codes]).astype(np.int32), wrong


def _text(text: str | None) -> str:
    return text or ""


def _blank_other_kind(out: dict[str, Array]) -> None:
    """A row of a wide file may carry both; a quote keeps no trade and a trade no quote."""
    trade = out["kind"] == TRADE
    for name in ("bid_px", "ask_px", "bid_sz", "ask_sz"):
        if name in out:
            out[name] = np.where(trade, 0, out[name])
    for name in ("trade_px", "trade_sz", "aggressor"):
        if name in out:
            out[name] = np.where(trade, out[name], 0)
