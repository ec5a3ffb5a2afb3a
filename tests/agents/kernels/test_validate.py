"""Codes of ticks that cannot be computed with, and configurations refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agents.kernels import CODES, KernelConfig, PartitionState, run, validate
from tests.oracles.ticks import columns, quote

NOW = 1_700_000_000_000_000_000
GOOD_QUOTE = {"kind": 0, "bid_px": 5, "ask_px": 6, "bid_sz": 0.0, "ask_sz": 1.0}
GOOD_TRADE = {"kind": 1, "trade_px": 5, "trade_sz": 1.0, "aggressor": 1}
DTYPES = {
    "ts_event": np.int64,
    "ts_recv": np.int64,
    "kind": np.uint8,
    "bid_px": np.int64,
    "ask_px": np.int64,
    "trade_px": np.int64,
    "bid_sz": np.float64,
    "ask_sz": np.float64,
    "trade_sz": np.float64,
    "aggressor": np.int8,
}


def codes(*rows):
    table = [{"ts_event": NOW, "ts_recv": NOW, **row} for row in rows]
    columns = [np.array([row.get(name, 0) for row in table], dtype) for name, dtype in DTYPES.items()]
    return validate(*columns, 1_000).tolist()


def test_a_valid_tick_has_code_0_whatever_its_other_kinds_columns_hold():
    wild = {"trade_px": -1, "trade_sz": math.nan, "aggressor": 9}
    assert codes(GOOD_QUOTE, GOOD_TRADE, GOOD_QUOTE | wild) == [0, 0, 0]
    assert codes(GOOD_TRADE | {"bid_px": -1, "ask_sz": math.inf}) == [0]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (GOOD_TRADE | {"kind": 2}, "unknown_kind"),
        (GOOD_QUOTE | {"kind": 255}, "unknown_kind"),
        (GOOD_QUOTE | {"bid_px": 0}, "quote_price"),
        (GOOD_QUOTE | {"ask_px": -3}, "quote_price"),
        (GOOD_TRADE | {"trade_px": 0}, "trade_price"),
        (GOOD_QUOTE | {"bid_px": 4 * 10**18 + 1}, "price_too_large"),
        (GOOD_QUOTE | {"ask_px": 2**63 - 1}, "price_too_large"),
        (GOOD_TRADE | {"trade_px": 4 * 10**18 + 1}, "price_too_large"),
        (GOOD_QUOTE | {"bid_sz": -1.0}, "size"),
        (GOOD_QUOTE | {"ask_sz": math.nan}, "size"),
        (GOOD_TRADE | {"trade_sz": math.inf}, "size"),
        (GOOD_TRADE | {"aggressor": 2}, "aggressor"),
        (GOOD_TRADE | {"aggressor": -2}, "aggressor"),
        (GOOD_QUOTE | {"ts_event": 0}, "event_time"),
        (GOOD_TRADE | {"ts_event": -(2**63)}, "event_time"),
        (GOOD_TRADE | {"ts_event": 631_151_999_999_999_999}, "event_time"),
        (GOOD_TRADE | {"ts_event": 7_258_118_400_000_000_000, "ts_recv": 0}, "event_time"),
        (GOOD_TRADE | {"ts_recv": NOW - 1_001}, "event_time_ahead"),
    ],
)
def test_each_fault_has_its_code(row, name):
    (code,) = codes(row)
    assert CODES[code][0] == name


def test_event_time_may_run_ahead_by_the_skew_and_by_anything_of_an_unknown_receipt():
    assert codes(GOOD_TRADE | {"ts_recv": NOW - 1_000}, GOOD_TRADE | {"ts_recv": 0}) == [0, 0]


def test_the_largest_price_still_adds_up():
    assert codes(GOOD_QUOTE | {"bid_px": 4 * 10**18, "ask_px": 4 * 10**18}) == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"windows_ns": ()}, "ascending"),
        ({"windows_ns": (10, 5)}, "ascending"),
        ({"windows_ns": (10, 25)}, "multiples of the first"),
        ({"impact_horizon_ns": 1_023}, "impact_horizon_ns"),
        ({"sign_rule": 9}, "sign_rule"),
        ({"rolling_windows": 0}, "rolling_windows"),
        ({"hawkes_decay_per_s": 0.0}, "hawkes_decay_per_s"),
        ({"hawkes_decay_per_s": math.nan}, "hawkes_decay_per_s"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        KernelConfig(**change)


def test_a_micro_price_table_needs_a_known_symbol_a_tick_and_two_dimensions():
    state = PartitionState(KernelConfig())
    state.add_symbols(1)
    for symbol, tick, table in ((1, 10, [[0.0]]), (0, 0, [[0.0]]), (0, 10, [0.0])):
        with pytest.raises(ValueError, match=r"symbol_id|tick size"):
            state.set_micro_price(symbol, tick, table)


def test_run_refuses_columns_of_different_length_and_symbols_without_a_row():
    state = PartitionState(KernelConfig())
    state.add_symbols(2)
    frame = columns([quote(NOW, 9, 11), quote(NOW, 9, 11, symbol=2)])
    with pytest.raises(ValueError, match="differ in length: ts_event has 2"):
        run(state, **frame | {"aggressor": np.zeros(1, np.int8)})
    with pytest.raises(ValueError, match="differ in length"):
        run(state, **frame, wm_before=np.zeros(1, np.int64))
    with pytest.raises(IndexError, match="from 0 to 2, the state has 2 symbols"):
        run(state, **frame)
    with pytest.raises(IndexError, match="from -1 to -1"):
        run(state, **columns([quote(NOW, 9, 11, symbol=-1)]))
    assert state.watermark_ns == -(2**63)
    dead = run(state, **frame | {"codes": np.array([0, 1], np.uint8)})
    assert dead.classes.tolist() == [0, 3]
