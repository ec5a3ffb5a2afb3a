"""Prefix and split invariance, order of rows, checkpoints: exact to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.kernels import KernelConfig, PartitionState, release, run
from agents.kernels.run import DEAD, NO_WATERMARK
from tests.agents.kernels.compare import LAST, Collected, fresh, run_all
from tests.agents.kernels.tapes import BASE, CONFIG, STEP, seeded_tape, tapes
from tests.oracles import reorder as slow
from tests.oracles.ticks import columns, quote, trade

MICRO = {0: (STEP, [[0.001 * i for i in range(10)]])}
cut_points = st.lists(st.integers(0, 60), max_size=8)


@settings(max_examples=150, deadline=None)
@given(tapes(), cut_points, st.booleans())
def test_cutting_a_tape_anywhere_changes_no_bit(ticks, cuts, checkpoint):
    cuts = tuple(min(cut, len(ticks)) for cut in cuts)
    whole, state = run_all(CONFIG, ticks, micro=MICRO, dense=(True, True))
    parts, other = run_all(CONFIG, ticks, micro=MICRO, dense=(True, True), cuts=cuts, checkpoint=checkpoint)
    assert parts.bits() == whole.bits()
    assert other.to_bytes() == state.to_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_cutting_a_long_tape_with_checkpoints_changes_no_bit(seed):
    rng = np.random.default_rng(seed)
    ticks = seeded_tape(3_000, symbols=70, seed=seed, mean_gap_ns=60)
    whole, state = run_all(CONFIG, ticks)
    cuts = tuple(rng.integers(0, len(ticks), 25).tolist())
    parts, other = run_all(CONFIG, ticks, cuts=cuts, checkpoint=True)
    assert parts.bits() == whole.bits()
    assert other.to_bytes() == state.to_bytes()


@settings(max_examples=80, deadline=None)
@given(tapes(), st.integers(0, 60))
def test_rows_of_a_prefix_are_the_first_rows_of_the_whole(ticks, cut):
    prefix, _ = run_all(CONFIG, ticks[:cut], final_wm=None)
    whole, _ = run_all(CONFIG, ticks, final_wm=None)
    for mine, theirs in zip(prefix.matrices(), whole.matrices(), strict=True):
        assert mine.tobytes() == theirs[:, : mine.shape[1]].tobytes()
    assert prefix.classes == whole.classes[:cut]


def test_a_result_larger_than_the_scratch_grows_without_a_change():
    """More rows in one call than the scratch holds at first, so that the loop stops and resumes."""
    config = KernelConfig(windows_ns=(2_000,), impact_horizon_ns=7_000, rolling_windows=4)
    ticks = [quote(10**9 + 1_000 * i, 100 + i % 7, 103 + i % 5, symbol=i % 9) for i in range(20_000)]
    whole, state = run_all(config, ticks)
    parts, other = run_all(config, ticks, cuts=tuple(range(0, 20_000, 500)))
    assert len(whole.rows()) > 8_000
    assert parts.bits() == whole.bits()
    assert other.to_bytes() == state.to_bytes()


def test_many_symbols_whose_records_are_fetched_ahead_change_no_bit():
    """Also around dead ticks, whose symbol may have no record."""
    ticks = columns(seeded_tape(3_000, symbols=3, mean_gap_ns=60))
    dead = np.random.default_rng(0).random(len(ticks["codes"])) < 0.1
    ticks["codes"][dead], ticks["symbol_id"][dead] = 1, 2**31 - 1
    few, many = Collected(), Collected()
    few.add(run(fresh(CONFIG, 3), **ticks, final_wm=LAST))
    many.add(run(fresh(CONFIG, 300), **ticks, final_wm=LAST))
    assert few.bits() == many.bits()
    assert few.classes.count(DEAD) == dead.sum() > 200


def through_reorder(ticks, cuts, lateness, heartbeats=()):
    """Arrivals through ``release`` into ``run``, a call a cut; rows, events without rows, final state."""
    heartbeats = dict(heartbeats)
    state = fresh(CONFIG, max((t.symbol for t in ticks), default=0) + 1)
    out, held, running_max = Collected(), [], NO_WATERMARK
    edges = sorted({0, len(ticks), *cuts, *heartbeats})
    for a, b in zip([0, *edges], edges, strict=False):
        arrivals = ticks[a:b]
        ask = columns(held), columns(arrivals)
        r = release(
            *(part[name] for part in ask for name in ("ts_event", "kind")),
            running_max,
            lateness,
            heartbeats.get(b, NO_WATERMARK),
        )
        pool = held + arrivals
        now = columns([pool[i] for i in r.order])
        out.add(run(state, **now, wm_before=r.wm_before, final_wm=r.final_wm))
        held, running_max = [pool[i] for i in r.held], r.running_max
    return out, state, held


@settings(max_examples=150, deadline=None)
@given(
    tapes(),
    cut_points,
    st.sampled_from([1, 350, 5_000, 4 * BASE]),
    st.dictionaries(st.integers(0, 60), st.integers(1_000 * BASE, 1_020 * BASE), max_size=2),
)
def test_allowed_lateness_is_invariant_to_cuts_too(ticks, cuts, lateness, heartbeats):
    ticks = [t for t in ticks if t.code == 0]
    heartbeats = {min(k, len(ticks)): v for k, v in heartbeats.items()}
    cuts = [min(cut, len(ticks)) for cut in cuts]
    whole, state, held = through_reorder(ticks, [], lateness, heartbeats)
    parts, other, still = through_reorder(ticks, cuts, lateness, heartbeats)
    assert parts.bits() == whole.bits()
    assert other.to_bytes() == state.to_bytes()
    assert still == held


def test_rows_come_by_close_then_window_then_symbol_however_far_the_watermark_jumps():
    """Windows of 1, 2 and 3: a jump past several closes and the same way in steps give one order."""
    config = KernelConfig(windows_ns=(1_000, 2_000, 3_000), impact_horizon_ns=2_000)
    start = 6_000_000
    ticks = [quote(start + 2_100, 9, 11, symbol=1), trade(start + 2_200, 10, symbol=0)]
    jump, _ = run_all(config, ticks)
    state = fresh(config, 2)
    steps = Collected()
    steps.add(run(state, **columns(ticks)))
    for watermark in range(start + 2_300, start + 9_000, 100):
        steps.add(run(state, **columns([]), final_wm=watermark))
    assert [(r["close_ns"] - start, r["window"], r["symbol_id"]) for r in jump.rows()] == [
        (3_000, 0, 0),
        (3_000, 0, 1),
        (3_000, 2, 0),
        (3_000, 2, 1),
        (4_000, 1, 0),
        (4_000, 1, 1),
    ]
    assert steps.matrices()[1].tobytes() == jump.matrices()[1].tobytes()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), max_size=40),
    st.integers(1, 12),
    cut_points,
    st.dictionaries(st.integers(0, 40), st.integers(0, 50), max_size=3),
)
def test_release_agrees_with_the_list_version_for_any_cut(arrivals, lateness, cuts, heartbeats):
    ts, kind = [t for t, _ in arrivals], [k for _, k in arrivals]
    heartbeats = {min(k, len(ts)): v for k, v in heartbeats.items()}
    order, held, watermark = slow.release(ts, kind, lateness, heartbeats)
    edges = sorted({0, len(ts), *(min(cut, len(ts)) for cut in cuts), *heartbeats})
    got, waiting, running_max, final = [], [], NO_WATERMARK, NO_WATERMARK
    for a, b in zip([0, *edges], edges, strict=False):
        pool = waiting + list(range(a, b))
        r = release(
            np.array([ts[i] for i in waiting], np.int64),
            np.array([kind[i] for i in waiting], np.uint8),
            np.array(ts[a:b], np.int64),
            np.array(kind[a:b], np.uint8),
            running_max,
            lateness,
            heartbeats.get(b, NO_WATERMARK),
        )
        got += [(pool[i], w) for i, w in zip(r.order.tolist(), r.wm_before.tolist(), strict=True)]
        waiting, running_max, final = [pool[i] for i in r.held], r.running_max, r.final_wm
    assert got == order
    assert waiting == held
    assert final == (NO_WATERMARK if watermark is None else watermark)


def test_a_checkpoint_of_another_configuration_or_cut_short_is_refused():
    _, state = run_all(CONFIG, seeded_tape(200))
    saved = state.to_bytes()
    assert PartitionState.from_bytes(CONFIG, saved).to_bytes() == saved
    with pytest.raises(ValueError, match="another configuration"):
        PartitionState.from_bytes(KernelConfig(), saved)
    for wrong in (b"", b"x" * 100, saved[:60], saved[:-8], saved + b"12345678"):
        with pytest.raises(ValueError, match="checkpoint"):
            PartitionState.from_bytes(CONFIG, wrong)


def test_a_heartbeat_closes_what_is_open_and_makes_later_ticks_late():
    state = fresh(CONFIG, 1)
    start = 1_000 * BASE
    assert run(state, **columns([quote(start, 9, 11)])).n_rows == 0
    assert run(state, **columns([]), final_wm=start + BASE - 1).n_rows == 0
    closed = run(state, **columns([]), final_wm=start + BASE)
    assert closed.feature_ints[:4].T.tolist() == [[0, 0, start, start + BASE]]
    late = run(state, **columns([quote(start + BASE - 1, 9, 11), quote(start + BASE, 9, 11)]))
    assert late.classes.tolist() == [1, 0]
    assert (late.event_codes.tolist(), late.event_a.tolist(), late.event_b.tolist()) == (
        [1],
        [start + BASE - 1],
        [start + BASE],
    )
    assert state.watermark_ns == start + BASE
    assert run(state, **columns([]), final_wm=LAST).n_rows == 3
