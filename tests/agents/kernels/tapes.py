"""Random tapes of ticks for the kernel tests: one by Hypothesis, one from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from agents.kernels import KernelConfig
from tests.oracles.ticks import Tick

BASE = 20_000
CONFIG = KernelConfig(
    windows_ns=(BASE, 3 * BASE, 6 * BASE),
    impact_horizon_ns=7_000,
    rolling_windows=12,
    vpin_buckets=3,
    vpin_bucket_trades=4,
    hawkes_decay_per_s=2e4,
)
PX = 100 * 10**9
STEP = 10**7

sizes = st.sampled_from([0.0, 0.25, 1.0, 1.5, 2.0, 7.0, 40.0])
jumps = st.sampled_from([0, 0, 0, 1, 30, 700, 2_500, 9_000, BASE - 1, BASE, 3 * BASE + 5, -1, -400, -9_000])


@st.composite
def tapes(draw: Any, max_size: int = 60, symbols: int = 3, numbered: bool = True) -> list[Tick]:
    """Ticks around a drifting price, with ties, steps back in time, idle spells, crossings, duplicates."""
    now = draw(st.integers(0, 5 * BASE)) + 1_000 * BASE
    ticks: list[Tick] = []
    counters: dict[tuple[int, int], int] = {}
    for _ in range(draw(st.integers(0, max_size))):
        now = max(1, now + draw(jumps))
        symbol = draw(st.integers(0, symbols - 1))
        kind = draw(st.integers(0, 1))
        number = 0
        if numbered and draw(st.booleans()):
            step = draw(st.sampled_from([1, 1, 1, 1, 2, 3, 70, 0, -1, -2, -66]))
            number = max(0, counters.get((symbol, kind), 0) + step)
            counters[symbol, kind] = number
        code = draw(st.sampled_from([0] * 19 + [2]))
        level = draw(st.integers(-3, 3))
        if kind:
            half = draw(st.sampled_from([0, 0, STEP // 2, 3 * STEP // 10, STEP // 5]))
            ticks.append(
                Tick(
                    now,
                    symbol,
                    1,
                    px=PX + level * STEP + half,
                    size=draw(sizes),
                    aggressor=draw(st.sampled_from([0, 0, 0, 1, -1])),
                    sequence=number,
                    code=code,
                )
            )
        else:
            wide = draw(st.sampled_from([1, 1, 1, 2, 5, 0, -1]))
            bid = PX + level * STEP
            ticks.append(
                Tick(
                    now,
                    symbol,
                    0,
                    bid=bid,
                    ask=bid + wide * STEP,
                    bid_sz=draw(sizes),
                    ask_sz=draw(sizes),
                    sequence=number,
                    code=code,
                )
            )
    return ticks


def seeded_tape(
    n: int, symbols: int = 2, seed: int = 0, mean_gap_ns: int = 900, mixed: bool = True
) -> list[Tick]:
    """A longer tape: a random walk, a third trades at the touch, long enough to fill every ring."""
    rng = np.random.default_rng(seed)
    now = 1_000 * BASE
    level = dict.fromkeys(range(symbols), 0)
    counters: dict[tuple[int, int], int] = {}
    ticks: list[Tick] = []
    for _ in range(n):
        now += int(rng.exponential(mean_gap_ns))
        at = now - int(rng.integers(0, 300)) if mixed and rng.random() < 0.2 else now
        symbol = int(rng.integers(symbols))
        kind = int(rng.random() < 0.4)
        counters[symbol, kind] = counters.get((symbol, kind), 0) + (2 if mixed and rng.random() < 0.01 else 1)
        number = counters[symbol, kind] - (3 if mixed and rng.random() < 0.01 else 0)
        px = PX + level[symbol] * STEP
        if kind:
            aggressor = int(rng.integers(-1, 2)) if mixed else 0
            px += STEP * int(rng.integers(0, 3)) // 2
            ticks.append(
                Tick(
                    at,
                    symbol,
                    1,
                    px=px,
                    size=float(rng.integers(1, 40)) / 4,
                    aggressor=aggressor,
                    sequence=max(1, number),
                )
            )
        else:
            level[symbol] += int(rng.integers(-1, 2))
            px = PX + level[symbol] * STEP
            wide = int(rng.choice([1, 1, 1, 2, -1 if mixed else 1]))
            ticks.append(
                Tick(
                    at,
                    symbol,
                    0,
                    bid=px,
                    ask=px + wide * STEP,
                    bid_sz=float(rng.integers(0, 30)),
                    ask_sz=float(rng.integers(0, 30)),
                    sequence=max(1, number),
                )
            )
        if mixed and rng.random() < 0.02:
            ticks.append(ticks[-1])  # sent twice
    return ticks
