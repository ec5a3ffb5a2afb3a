"""Running the kernel on lists of ticks and holding its rows against the oracle's."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from agents.kernels import (
    BAR_FLOAT_NAMES,
    BAR_INT_NAMES,
    FEATURE_NAMES,
    INT_NAMES,
    KernelConfig,
    PartitionState,
    run,
)
from agents.kernels.run import NO_WATERMARK
from tests.oracles.formulas import roll_covariance
from tests.oracles.partition import Outcome
from tests.oracles.ticks import Tick, columns

LAST = 2**62
"""A watermark that closes every window."""


class Collected:
    """All that several calls returned, concatenated."""

    def __init__(self) -> None:
        self.classes: list[int] = []
        self.events: list[tuple[int, int, int, int]] = []
        self.parts: list[tuple[Any, ...]] = []

    def add(self, result: Any) -> None:
        start = len(self.classes)
        self.classes += result.classes.tolist()
        assert result.n_processed + result.n_late + result.n_duplicate + result.n_dead == len(result.classes)
        for code, row, a, b in zip(
            result.event_codes.tolist(),
            result.event_rows.tolist(),
            result.event_a.tolist(),
            result.event_b.tolist(),
            strict=True,
        ):
            self.events.append((code, start + row, a, b))
        self.parts.append(
            tuple(m.copy() for m in (result.feature_ints, result.features, result.bar_ints, result.bars))
        )

    def matrices(self) -> tuple[Any, ...]:
        return tuple(np.concatenate(m, axis=1) for m in zip(*self.parts, strict=True))

    def bits(self) -> tuple[Any, ...]:
        return (self.classes, self.events, *[m.tobytes() for m in self.matrices()])

    def rows(self) -> list[dict[str, Any]]:
        ints, floats, _, _ = self.matrices()
        return named(INT_NAMES, ints, FEATURE_NAMES, floats)

    def bars(self) -> list[dict[str, Any]]:
        _, _, ints, floats = self.matrices()
        return named(BAR_INT_NAMES, ints, BAR_FLOAT_NAMES, floats)


def named(int_names: Any, ints: Any, float_names: Any, floats: Any) -> list[dict[str, Any]]:
    return [
        dict(zip(int_names, i, strict=True)) | dict(zip(float_names, f, strict=True))
        for i, f in zip(ints.T.tolist(), floats.T.tolist(), strict=True)
    ]


def fresh(config: KernelConfig, n_symbols: int, micro: dict[int, Any] | None = None) -> PartitionState:
    state = PartitionState(config, 1)
    state.add_symbols(n_symbols)
    for symbol, (tick_size, table) in (micro or {}).items():
        state.set_micro_price(symbol, tick_size, table)
    return state


def run_all(
    config: KernelConfig,
    ticks: list[Tick],
    *,
    cuts: tuple[int, ...] = (),
    checkpoint: bool = False,
    micro: dict[int, Any] | None = None,
    dense: tuple[bool, bool] = (False, False),
    wm_before: list[int] | None = None,
    final_wm: int | None = LAST,
) -> tuple[Collected, PartitionState]:
    """Run the ticks, cut into frames at ``cuts``; with ``checkpoint``, through bytes at every cut."""
    state = fresh(config, max((t.symbol for t in ticks), default=0) + 1, micro)
    everything = columns(ticks)
    edges = [0, *sorted(cuts), len(ticks)]
    out = Collected()
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        last = i == len(edges) - 2
        out.add(
            run(
                state,
                **{name: column[a:b] for name, column in everything.items()},
                dense_quotes=dense[0],
                dense_trades=dense[1],
                wm_before=None if wm_before is None else np.array(wm_before[a:b], np.int64),
                final_wm=final_wm if last and final_wm is not None else NO_WATERMARK,
            )
        )
        if checkpoint:
            state = PartitionState.from_bytes(config, state.to_bytes())
    return out, state


def close_to(mine: float, oracle: float, rel: float = 1e-9, absolute: float = 0.0) -> bool:
    if math.isnan(mine) or math.isnan(oracle):
        return math.isnan(mine) and math.isnan(oracle)
    return abs(mine - oracle) <= max(rel * max(abs(mine), abs(oracle)), absolute)


# Values that are differences of larger ones: the error is relative to those.
SCALES = {
    "ofi": lambda row: 1e-12 * 1e4,
    "trade_imbalance": lambda row: 1e-12,
    "queue_imbalance": lambda row: 1e-12,
    "mid_move": lambda row: 1e-12 * row["mid"],
    "effective_spread": lambda row: 1e-12 * row["mid"],
    "realized_spread": lambda row: 1e-12 * row["mid"],
    "price_impact": lambda row: 1e-12 * row["mid"],
    "vpin": lambda row: 1e-12,
    "hawkes_branching": lambda row: 1e-9,
    "ofi_r2": lambda row: 1e-9,
}


def assert_agrees(out: Collected, oracle: Outcome) -> None:
    """Classes, events, integers and order exactly; floats to 1e-9, or of the terms they differ from."""
    assert out.classes == oracle.verdicts.classes
    assert out.events == oracle.verdicts.events
    rows, bars = out.rows(), out.bars()
    where = ("symbol_id", "window", "open_ns", "close_ns")
    for mine, theirs in ((rows, oracle.rows), (bars, oracle.bars)):
        assert [[r[k] for k in where] for r in mine] == [[r[k] for k in where] for r in theirs]
    for mine, theirs in zip(bars, oracle.bars, strict=True):
        for name in BAR_INT_NAMES:
            assert mine[name] == theirs[name], (name, mine, theirs)
        for name in BAR_FLOAT_NAMES:
            assert close_to(mine[name], theirs[name]), (name, mine[name], theirs[name])
    for mine, theirs in zip(rows, oracle.rows, strict=True):
        assert (mine["n_quotes"], mine["n_trades"]) == (theirs["n_quotes"], theirs["n_trades"])
        for name in FEATURE_NAMES:
            assert feature_agrees(name, mine, theirs), (name, mine[name], theirs[name], theirs)


def feature_agrees(name: str, mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    a, b = mine[name], theirs[name]
    if name == "roll":
        covariance = roll_covariance(theirs["roll_pairs"])
        scale = sum(abs(x * y) for x, y in theirs["roll_pairs"])
        if covariance is not None and abs(covariance) <= 1e-12 * scale:
            return math.isnan(a) or a <= 1e-6 * math.sqrt(scale) * 1e-9  # the sign itself is rounding
    if name in ("ofi_t", "expected_move_bps", "ofi_alpha", "ofi_beta") and theirs["ofi_r2"] > 1 - 1e-9:
        return name == "ofi_t" or close_to(a, b, 1e-6)  # a perfect fit has no error to divide by
    if name in ("ofi_alpha", "expected_move_bps", "ofi_beta", "kyle_lambda", "ofi_t"):
        return close_to(a, b, 1e-9, 1e-9 * abs(theirs["mid_move"] or 1e-3) + 1e-12)
    absolute = SCALES[name](theirs) if name in SCALES else 0.0
    return close_to(a, b, 1e-9, 0.0 if math.isnan(absolute) else absolute)
