"""Ticks, files and clocks for the tests of replay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.frame import write_promise
from schemas.ticks import PRICE_SCALE, QUOTE, TRADE, Sequences, Ticks, make_ticks

T = 1_723_161_600_000_000_000
MS = 1_000_000


def ticks_at(
    times_ms: Sequence[float],
    kinds: str | None = None,
    *,
    symbols: Sequence[str] | None = None,
    first: int = 1,
    sequences: Sequences | None = None,
) -> Ticks:
    """Ticks at those times; ``kinds`` is a q or t a tick; sizes and sequences count from ``first``."""
    n = len(times_ms)
    quote = np.array([kind == "q" for kind in kinds or "q" * n], bool)
    names = list(symbols or ["A"] * n)
    known = list(dict.fromkeys(names))
    number = np.arange(first, first + n)
    return make_ticks(
        tuple(known),
        sequences,
        ts_event_ns=T + (np.array(times_ms, np.float64) * MS).astype(np.int64),
        symbol=[known.index(name) for name in names],
        kind=np.where(quote, QUOTE, TRADE),
        bid_px=np.where(quote, PRICE_SCALE, 0),
        ask_px=np.where(quote, 2 * PRICE_SCALE, 0),
        trade_px=np.where(quote, 0, PRICE_SCALE),
        bid_sz=np.where(quote, number, 0),
        trade_sz=np.where(quote, 0, number),
        sequence=number,
    )


def marks(ticks: Ticks) -> list[int]:
    """The sizes that :func:`ticks_at` counted: which tick is which."""
    return [int(size) for size in ticks.columns["bid_sz"] + ticks.columns["trade_sz"]]


def parquet(path: Path, ticks: Ticks, metadata: dict[bytes, bytes] | None = None) -> Path:
    """The ticks as a Parquet file that needs no map."""
    columns = {name: pa.array(values) for name, values in ticks.columns.items() if name != "symbol"}
    codes = pa.array(ticks.columns["symbol"])
    columns["symbol"] = pa.DictionaryArray.from_arrays(codes, pa.array(ticks.symbols)).cast(pa.utf8())
    table = pa.table(columns)
    described = (write_promise(ticks.sequences) or {}) | (metadata or {})
    pq.write_table(table.replace_schema_metadata(described), path)
    return path


class FakeClock:
    """Stands still until somebody sleeps; sleeps late by ``lag_s``, as real clocks do."""

    def __init__(self, lag_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.lag_s = lag_s

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds + self.lag_s
        await asyncio.sleep(0)


class FakeWriter:
    """Keeps what it is given, acknowledged or not, and can be told to fail."""

    def __init__(self, clock: FakeClock | None = None, fail_after: int | None = None) -> None:
        self.written: list[tuple[float, Ticks]] = []
        self.acknowledged = 0
        self.heartbeats: list[int] = []
        self.flushes = 0
        self._clock = clock or FakeClock()
        self._fail_after = fail_after

    @property
    def ticks(self) -> int:
        return sum(len(ticks) for _, ticks in self.written)

    async def write(self, ticks: Ticks) -> None:
        if self._fail_after is not None and self.ticks + len(ticks) > self._fail_after:
            raise ConnectionError("the broker went away")
        self.written.append((self._clock.now(), ticks))

    async def flush(self) -> None:
        self.flushes += 1
        self.acknowledged = self.ticks

    async def heartbeat(self, ts_event_ns: int) -> None:
        self.heartbeats.append(ts_event_ns)
