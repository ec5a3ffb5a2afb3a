"""From the market's part of the read model to what is answered. Pure: the time is an argument."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from orchestrator.api import bodies
from orchestrator.api.model import Market
from schemas.messages import Signal

MEASURED = 200
"""Signals that latencies are taken from."""

COUNTS = ("ticks_in", "processed", "late", "duplicate", "dead", "held", "bars", "signals", "symbols")


def stats(market: Market, at_ms: int) -> bodies.MarketStats:
    """The stream in a few numbers."""
    parts = market.partitions()
    counts = {name: sum(getattr(part, name) for part in parts) for name in COUNTS}
    classes = ("processed", "late", "duplicate", "dead", "held")
    return bodies.MarketStats(
        at_ms=at_ms,
        **counts,
        balanced=counts["ticks_in"] == sum(counts[name] for name in classes),
        lag_messages=sum(part.lag_messages or 0 for part in parts),
        lag_seconds=lag_seconds(market, at_ms),
        latency_us=latencies(islice(market.signals(), MEASURED)),
        workers=market.workers(at_ms),
    )


def lag_seconds(market: Market, at_ms: int) -> float | None:
    """How long the worker that is furthest behind is behind; None when none of them knows."""
    known = [
        part.lag_seconds
        for said in market.workers(at_ms)
        for part in said.partitions
        if part.lag_seconds is not None
    ]
    return max(known, default=None)


def latencies(signals: Iterable[Signal]) -> dict[str, bodies.Spread]:
    """The latency of each stage over some signals."""
    by_stage: dict[str, list[float]] = defaultdict(list)
    for signal in signals:
        for stage, value in signal.latency_us.items():
            by_stage[stage].append(value)
    return {stage: _spread(sorted(values)) for stage, values in sorted(by_stage.items())}


def _spread(values: list[float]) -> bodies.Spread:
    last = len(values) - 1
    return bodies.Spread(p50=values[round(0.5 * last)], p99=values[round(0.99 * last)])


def signals(market: Market, limit: int, kind: str | None, symbol: str | None) -> bodies.Signals:
    """The latest signals of a kind and a symbol, where these are named."""
    wanted = (
        signal
        for signal in market.signals()
        if kind in (None, signal.kind) and symbol in (None, signal.symbol)
    )
    return bodies.Signals(signals=list(islice(wanted, limit)))
