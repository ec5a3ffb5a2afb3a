"""The kernel on recorded Binance ticks: against the oracle, cut anywhere, and the sign rules' hit rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.kernels import LEE_READY, TICK, KernelConfig
from tests.agents.kernels.compare import LAST, assert_agrees, run_all
from tests.agents.kernels.recorded import COIN_M, SPOT, USDM, in_exchange_time, recorded
from tests.oracles import partition

FILES = [USDM, SPOT, COIN_M]
MS = 1_000_000
CONFIG = KernelConfig(
    windows_ns=(100 * MS, 1_000 * MS, 5_000 * MS),
    impact_horizon_ns=250 * MS,
    rolling_windows=30,
    vpin_buckets=5,
    vpin_bucket_trades=16,
)


def hits(ticks, rule):
    """Share of trades whose sign by rule is the exchange's own, and how many trades there are.

    The kernel is not told the aggressor. With the sizes of one side's trades set to 1 and the other's
    to 0, its buy and sell volumes count how that side was signed.
    """
    config = KernelConfig(windows_ns=(60_000 * MS,), sign_rule=rule)
    right = total = 0
    for side, name in ((1, "buy_volume"), (-1, "sell_volume")):
        blind = [
            replace(t, aggressor=0, size=float(t.aggressor == side), sequence=0) if t.kind else t
            for t in ticks
        ]
        out, _ = run_all(config, blind)
        right += sum(row[name] for row in out.rows())
        total += sum(row["volume"] for row in out.rows())
    return right / total, total


def test_lee_ready_is_right_on_998_of_1000_joined_strictly_before_in_exchange_time():
    share, n = hits(in_exchange_time(recorded(USDM)[0]), LEE_READY)
    assert (round(share, 3), n) == (0.998, 21_313)


def test_lee_ready_is_right_on_866_of_1000_joined_by_receipt():
    ticks, received = recorded(USDM)
    by_receipt = [replace(t, ts=at) for t, at in zip(ticks, received, strict=True)]
    share, _ = hits(by_receipt, LEE_READY)
    assert round(share, 3) == 0.866


def test_the_tick_rule_is_right_on_969_of_1000_where_quotes_carry_no_exchange_time():
    share, n = hits([t for t in recorded(SPOT)[0] if t.kind], TICK)
    assert (round(share, 3), n) == (0.969, 9_757)


@pytest.mark.parametrize("name", FILES)
def test_recorded_ticks_give_the_oracles_rows(name):
    ticks = in_exchange_time(recorded(name)[0])[:2_500]
    out, _ = run_all(CONFIG, ticks)
    assert_agrees(out, partition.run(CONFIG, ticks, final_wm=LAST))
    assert len(out.rows()) > 60


@pytest.mark.parametrize("name", FILES)
def test_cutting_a_recording_anywhere_changes_no_bit(name):
    ticks = recorded(name)[0]
    whole, state = run_all(CONFIG, ticks, dense=(False, True))
    cuts = tuple(np.random.default_rng(3).integers(0, len(ticks), 40).tolist())
    parts, other = run_all(CONFIG, ticks, dense=(False, True), cuts=cuts, checkpoint=True)
    assert parts.bits() == whole.bits()
    assert other.to_bytes() == state.to_bytes()
