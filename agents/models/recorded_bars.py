"""Bars of ``market.bars`` as ``tapestream record`` wrote them, told by their columns. Pure.

A recording has a file a partition and rotation, each with bars of several lengths and symbols. So files are
taken together, one length is chosen, and a bar that is there twice counts once, as it was written last.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agents.models.bars import Bars, make_bars
from schemas.errors import ModelError
from schemas.features import BAR_PRICES
from schemas.ticks import PRICE_SCALE

NS_PER_MS = 1_000_000
NEEDED = ("log_offset", "symbol", "window_ns", "close_ns", *BAR_PRICES, "volume")
"""Columns of a recording of bars; no other file has all of them."""


def is_recording(columns: Collection[str]) -> bool:
    """Whether a file with these columns holds recorded bars."""
    return set(NEEDED) <= set(columns)


def recorded_bars(
    tables: Sequence[pa.Table],
    field: str,
    window_ms: int | None = None,
    usual_ms: int | None = None,
) -> list[Bars]:
    """The bars of one length in recordings, by symbol.

    Parameters
    ----------
    tables
        Of recorded files, with the columns :data:`NEEDED` at least, in any order.
    field
        What errors call the recording.
    window_ms
        The length.
    usual_ms
        The length when none is asked for and there are such bars; else it is the shortest.

    Raises
    ------
    ModelError
        When there are no bars, or none of that length; naming the column that has an empty value or none of
        the numbers that a recording has.
    """
    try:
        bars = pa.concat_tables([table.select(NEEDED) for table in tables])
        for name, column in zip(NEEDED, bars.columns, strict=True):
            if column.null_count:
                raise ModelError(f"{field}.{name}", "has empty values", "record the topic again")
        window_ns = bars["window_ns"].cast(pa.int64())
        chosen_ns = _chosen(sorted(pc.unique(window_ns).to_pylist()), field, window_ms, usual_ms)
        return _by_symbol(bars.filter(pc.equal(window_ns, chosen_ns)), field)
    except pa.ArrowException as exc:
        raise ModelError(field, f"is no recording of bars: {exc}", "record the topic again") from exc


def _chosen(there_ns: list[int], field: str, window_ms: int | None, usual_ms: int | None) -> int:
    if not there_ns:
        raise ModelError(field, "there are no bars in it", "record market.bars for longer")
    if window_ms is None:
        return usual_ms * NS_PER_MS if usual_ms and usual_ms * NS_PER_MS in there_ns else there_ns[0]
    if window_ms * NS_PER_MS not in there_ns:
        lengths = ", ".join(f"{ns / NS_PER_MS:g}" for ns in there_ns)
        raise ModelError(
            field, f"has no bars of {window_ms} ms, only of {lengths} ms", f"ask for one of {lengths}"
        )
    return window_ms * NS_PER_MS


def _by_symbol(bars: pa.Table, field: str) -> list[Bars]:
    codes = pc.dictionary_encode(bars["symbol"].cast(pa.string())).combine_chunks()
    names, places = codes.dictionary.to_pylist(), codes.indices.to_numpy()
    close_ns = bars["close_ns"].cast(pa.int64()).to_numpy()
    order = np.lexsort((bars["log_offset"].cast(pa.int64()).to_numpy(), close_ns, places))
    places, close_ns = places[order], close_ns[order]
    last = np.append((places[1:] != places[:-1]) | (close_ns[1:] != close_ns[:-1]), True)
    order, places, close_ns = order[last], places[last], close_ns[last]
    arrays = {
        name.removesuffix("_px"): bars[name].cast(pa.int64()).to_numpy()[order] / PRICE_SCALE
        for name in BAR_PRICES
    }
    arrays["volume"] = bars["volume"].cast(pa.float64()).to_numpy()[order]
    found = {}
    for place, name in enumerate(names):
        rows = slice(*places.searchsorted([place, place + 1]).tolist())
        columns = {column: array[rows] for column, array in arrays.items()}
        found[name] = make_bars(name, {**columns, "ts_ns": close_ns[rows]}, f"{field}.{name}")
    return [found[name] for name in sorted(found)]
