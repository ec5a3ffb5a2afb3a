"""Streaming is the batch, bit for bit; so cuts, later bars, threads and checkpoints change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.indicators import LiveIndicators, compute
from agents.kernels.indicators import TABLE
from schemas.errors import BarsError, CheckpointError
from tests.agents.indicators.making import walk

ALL = [*TABLE, "bbands(7,2,2,1)", "stoch(9,3,2,5,1)", "vwap(9)", "ema(1)", "sma(1)"]
SYMBOLS, BARS = 7, 150
WALK = walk(SYMBOLS, BARS, seed=3)
WHOLE = np.stack(list(compute(WALK, ALL).values()))
"""(columns, symbols, bars)"""


def stream(live: LiveIndicators, batches: list[list[tuple[int, int]]]) -> np.ndarray:
    """Feed batches of (symbol, bar); the result as :data:`WHOLE` is."""
    out = np.full_like(WHOLE, -1.0)
    for batch in batches:
        at = tuple(np.array(batch, int).reshape(-1, 2).T)
        rows = live.update([f"S{s}" for s in at[0]], {name: column[at] for name, column in WALK.items()})
        out[:, at[0], at[1]] = rows.T
    return out


def test_a_bar_at_a_time_gives_the_batchs_bits():
    batches = [[(s, t) for s in range(SYMBOLS)] for t in range(BARS)]
    live = LiveIndicators(ALL)
    assert stream(live, batches).tobytes() == WHOLE.tobytes()
    assert len(live.columns) == len(WHOLE)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 200), st.booleans())
def test_any_order_of_symbols_and_any_cuts_give_the_batchs_bits(random, size, checkpoint):
    """Symbols interleave as they like, also several bars of one in a call; each keeps its own order."""
    owners = [s for s in range(SYMBOLS) for _ in range(BARS)]
    random.shuffle(owners)
    seen = [0] * SYMBOLS
    events = []
    for s in owners:
        events.append((s, seen[s]))
        seen[s] += 1
    live = LiveIndicators(ALL)
    out = np.full_like(WHOLE, -1.0)
    for i in range(0, len(events), size):
        part = stream(live, [events[i : i + size]])
        out = np.where(part == -1.0, out, part)
        if checkpoint and i // size % 5 == 0:
            live = LiveIndicators.from_bytes(live.to_bytes())
    assert out.tobytes() == WHOLE.tobytes()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, BARS))
def test_later_bars_change_no_earlier_value(cut):
    prefix = compute({name: column[:, :cut] for name, column in WALK.items()}, ALL, short="nan")
    assert np.stack(list(prefix.values())).tobytes() == WHOLE[:, :, :cut].tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(threads):
    big = walk(60, 1_000, seed=9)
    alone = compute(big, ["macd", "adx", "kc"], threads=1)
    shared = compute(big, ["macd", "adx", "kc"], threads=threads)
    assert {k: v.tobytes() for k, v in shared.items()} == {k: v.tobytes() for k, v in alone.items()}


def test_a_symbol_does_not_depend_on_its_neighbours():
    alone = compute({name: column[4] for name, column in WALK.items()}, ALL)
    assert np.stack(list(alone.values())).tobytes() == np.ascontiguousarray(WHOLE[:, 4]).tobytes()


def test_a_bar_that_cannot_be_changes_no_state():
    live = LiveIndicators(["rsi", "atr"])
    good = {name: column[:2, 0] for name, column in WALK.items()}
    live.update(["A", "B"], good)
    before = live.to_bytes()
    for wrong in (
        {**good, "close": np.array([1.0, np.nan])},
        {**good, "high": good["low"] - 1.0},
        {"close": good["close"]},
        {name: column[:1] for name, column in good.items()},
    ):
        with pytest.raises(BarsError):
            live.update(["A", "C"], wrong)
        assert live.to_bytes() == before


def test_an_error_of_a_live_bar_names_its_symbol():
    with pytest.raises(BarsError, match=r"^B bar 0: close is nan"):
        LiveIndicators("rsi").update(["A", "B"], {"close": [1.0, np.nan]})


def test_a_damaged_state_is_refused():
    live = LiveIndicators(["rsi", "macd"])
    live.update(["A"], {"close": [1.0]})
    saved = live.to_bytes()
    assert LiveIndicators.from_bytes(saved).to_bytes() == saved
    for wrong in (b"", b"x" * 40, saved[:-1], saved + b"0", saved[:50] + b"?" + saved[51:]):
        with pytest.raises(CheckpointError):
            LiveIndicators.from_bytes(wrong)


def test_no_bars_are_no_rows():
    assert LiveIndicators(["rsi", "macd"]).update([], {}).shape == (0, 4)
