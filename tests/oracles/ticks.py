"""Ticks as objects, and the verdict on each: late, duplicate, gap, reset, crossed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

PROCESSED, LATE, DUPLICATE, DEAD = 0, 1, 2, 3
EVENT_LATE, EVENT_DUPLICATE, EVENT_GAP, EVENT_RESET, EVENT_CROSSED = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Tick:
    """One market event; a quote or a trade of the symbol with this id."""

    ts: int
    symbol: int
    kind: int  # 0 quote, 1 trade
    bid: int = 0
    ask: int = 0
    px: int = 0
    bid_sz: float = 0.0
    ask_sz: float = 0.0
    size: float = 0.0
    aggressor: int = 0
    sequence: int = 0
    code: int = 0


def quote(ts, bid, ask, bid_sz=1.0, ask_sz=1.0, symbol=0, sequence=0) -> Tick:
    return Tick(ts, symbol, 0, bid=bid, ask=ask, bid_sz=bid_sz, ask_sz=ask_sz, sequence=sequence)


def trade(ts, px, size=1.0, aggressor=0, symbol=0, sequence=0) -> Tick:
    return Tick(ts, symbol, 1, px=px, size=size, aggressor=aggressor, sequence=sequence)


def columns(ticks: list[Tick]) -> dict[str, Any]:
    """The keyword arguments of ``agents.kernels.run``."""

    def column(name: str, dtype: Any) -> Any:
        return np.array([getattr(t, name) for t in ticks], dtype)

    return {
        "ts_event": column("ts", np.int64),
        "symbol_id": column("symbol", np.int32),
        "kind": column("kind", np.uint8),
        "codes": column("code", np.uint8),
        "bid_px": column("bid", np.int64),
        "ask_px": column("ask", np.int64),
        "trade_px": column("px", np.int64),
        "bid_sz": column("bid_sz", np.float64),
        "ask_sz": column("ask_sz", np.float64),
        "trade_sz": column("size", np.float64),
        "aggressor": column("aggressor", np.int8),
        "sequence": column("sequence", np.uint64),
    }


@dataclass
class Numbers:
    """Sequence numbers seen of one (symbol, kind)."""

    high: int = 0
    high_ts: int = 0
    seen: set[int] = field(default_factory=set)

    def admit(self, t: Tick, dense: bool) -> tuple[bool, tuple[int, int, int] | None]:
        """(accepted, event or None)."""
        s = t.sequence
        if self.high == 0:
            self.high, self.high_ts, self.seen = s, t.ts, {s}
            return True, None
        if s > self.high:
            event = (EVENT_GAP, self.high + 1, s) if dense and s != self.high + 1 else None
            self.high, self.high_ts = s, t.ts
            self.seen.add(s)
            return True, event
        if s not in self.seen and s >= self.high - 64:
            self.seen.add(s)
            return True, None
        if t.ts > self.high_ts:
            event = (EVENT_RESET, self.high, s)
            self.high, self.high_ts, self.seen = s, t.ts, {s}
            return True, event
        return False, (EVENT_DUPLICATE, s, t.ts)


@dataclass
class Verdicts:
    """What became of each tick, and where the watermark ended."""

    classes: list[int] = field(default_factory=list)
    events: list[tuple[int, int, int, int]] = field(default_factory=list)  # code, row, a, b
    watermark: int | None = None


def judge(ticks, base_ns, dense_quotes=False, dense_trades=False, wm_before=None, final_wm=None) -> Verdicts:
    """Classes and events of ticks in order."""
    verdicts = Verdicts()
    numbers: dict[tuple[int, int], Numbers] = {}
    watermark = None
    for i, t in enumerate(ticks):
        if t.code:
            verdicts.classes.append(DEAD)
            continue
        reached = t.ts if wm_before is None else max(wm_before[i], t.ts)
        watermark = reached if watermark is None else max(watermark, reached)
        if t.ts // base_ns < watermark // base_ns:
            verdicts.classes.append(LATE)
            verdicts.events.append((EVENT_LATE, i, t.ts, watermark))
            continue
        accepted, event = True, None
        if t.sequence:
            known = numbers.setdefault((t.symbol, t.kind), Numbers())
            accepted, event = known.admit(t, dense_trades if t.kind else dense_quotes)
        if event:
            verdicts.events.append((event[0], i, event[1], event[2]))
        if accepted and t.kind == 0 and t.bid > t.ask:
            verdicts.events.append((EVENT_CROSSED, i, t.bid, t.ask))
        verdicts.classes.append(PROCESSED if accepted else DUPLICATE)
    if final_wm is not None:
        watermark = final_wm if watermark is None else max(watermark, final_wm)
    verdicts.watermark = watermark
    return verdicts
