"""Features of one's own: values by an obvious loop, laws of the log, and what is said of unusable ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from agents.features import FeatureSpec, Window, feature, load_features
from agents.frames import Column, TickFrame
from agents.frames.host import HostTable
from agents.signals import Decision, FeatureRows, Sides, signal
from examples.own_feature import BLOCK
from schemas.codec import loads
from schemas.errors import SettingsError
from schemas.headers import H_ERROR, get_header
from schemas.ticks import PRICE_SCALE, TRADE, Ticks
from tests.agents.test_partition import feed, messages_of, new_partition, random_ticks, rows_on, signals_of

OWN = ("examples.own_feature:block_share", "examples.own_feature:widest_spread")
HERE = "tests.agents.test_own_features"
MS = 1_000_000


@feature("slow_rate", columns=("kind",), window_ms=1_000)
def slow_rate(ticks: TickFrame, window: Window) -> Column:
    return ticks.sum(ticks["kind"] == TRADE) / window.seconds


@feature("broken", columns=())
def broken(ticks: TickFrame, window: Window) -> Column:
    raise ZeroDivisionError("of its own making")


@feature("short", columns=())
def short(ticks: TickFrame, window: Window) -> Column:
    return np.zeros(len(ticks) + 1)


@signal("blocks", features=("block_share",), model="blocks/1")
def blocks(rows: FeatureRows, sides: Sides, fee_bps: float) -> Decision:
    share = np.nan_to_num(rows["block_share"])
    return Decision((share > 0.9).astype(np.int8), share, share, share)


def naive(ticks: Ticks, row: dict[str, Any]) -> tuple[float, float, float]:
    """Block share, widest spread and trades a second of one row's window, by a loop over all ticks."""
    columns = {name: column.tolist() for name, column in ticks.columns.items()}
    volume = block = trades = widest = 0.0
    for i, ts in enumerate(columns["ts_event_ns"]):
        if ticks.symbols[columns["symbol"][i]] != row["symbol"] or not row["open_ns"] <= ts < row["close_ns"]:
            continue
        size = columns["trade_sz"][i]
        volume, block = volume + size, block + (size if size >= BLOCK else 0.0)
        trades += columns["kind"][i] == TRADE
        widest = max(widest, (columns["ask_px"][i] - columns["bid_px"][i]) / PRICE_SCALE)
    return block / volume if volume else math.nan, widest, trades * 1e9 / row["window_ns"]


def test_values_are_those_of_a_loop_over_all_ticks_and_nan_in_windows_of_other_lengths() -> None:
    ticks = random_ticks(1200, 0)
    outputs = feed(new_partition(features=(*OWN, f"{HERE}:slow_rate")), messages_of(ticks, [100, 617]))
    rows = rows_on(outputs, "market.features")
    assert {row["window_ns"] for row in rows} == {100 * MS, 1000 * MS}
    for row in rows:
        share, widest, rate = naive(ticks, row)
        base = row["window_ns"] == 100 * MS
        expected = (share, widest, math.nan) if base else (math.nan, math.nan, rate)
        found = [row[name] for name in ("block_share", "widest_spread", "slow_rate")]
        assert found == ["nan" if value != value else value for value in expected]


@pytest.mark.parametrize("lateness_ms", [0, 40])
def test_neither_cuts_nor_checkpoints_change_a_bit(lateness_ms: int) -> None:
    ticks = random_ticks(1500, 1, jitter_ms=30 if lateness_ms else 0)
    options = {"features": (*OWN, f"{HERE}:slow_rate"), "allowed_lateness_ms": lateness_ms}
    whole, cut = new_partition(**options), new_partition(**options)
    expected = rows_on(feed(whole, messages_of(ticks, [])), "market.features")
    found = []
    for message in messages_of(ticks, [1, 200, 203, 900, 1400]):
        found += rows_on(feed(cut, [message]), "market.features")
        saved = cut.snapshot()
        cut = new_partition(**options)
        cut.restore(saved)
    assert found == expected
    assert cut.own.to_bytes() == whole.own.to_bytes()


def test_a_signal_sees_the_feature_like_any_other() -> None:
    partition = new_partition(features=OWN, signals=(f"{HERE}:blocks",))
    found = signals_of(feed(partition, messages_of(random_ticks(1500, 0), [])))
    assert {signal["kind"] for signal in found} == {"blocks"}
    assert any(signal["features"]["block_share"] > 0.9 for signal in found)


@pytest.mark.parametrize(
    ("name", "words"),
    [("broken", "ZeroDivisionError: of its own making"), ("short", "returned shape")],
)
def test_a_feature_that_fails_is_dead_lettered_with_the_window_and_nan_there(name: str, words: str) -> None:
    partition = new_partition(features=(f"{HERE}:{name}", *OWN))
    outputs = [o for m in messages_of(random_ticks(300, 0), []) for o in partition.process(m)]
    letters = [o for o in outputs if o.topic == "dead.letters"]
    said = [(get_header(o.headers, H_ERROR) or b"").decode() for o in letters]
    assert all(f"market.ticks[0]@0: feature {name!r} raised" in text and words in text for text in said)
    assert loads(letters[0].value)["symbols"] == ["NVDA", "MSFT", "AAPL"]
    rows = rows_on([(o.topic, o.value) for o in outputs], "market.features")
    base = [row for row in rows if row["window_ns"] == 100 * MS]
    assert {row[name] for row in base} == {"nan"}
    assert all(row["widest_spread"] != "nan" for row in base)


far = FeatureSpec("far", broken.compute, (), 60_000)
unknown = FeatureSpec("unknown", broken.compute, ("colour", "ts_recv_ns"))
mid = FeatureSpec("mid", broken.compute, ())


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (("nowhere:at_all",), "feature 'nowhere:at_all' cannot be imported"),
        ((f"{HERE}:MS",), "is a int"),
        ((f"{HERE}:far",), "looks at windows of 60000 ms"),
        ((f"{HERE}:unknown",), "reads colour, ts_recv_ns"),
        ((f"{HERE}:mid",), "there is a feature 'mid' already"),
        ((OWN[0], OWN[0]), "there is a feature 'block_share' already"),
        ((OWN[0],) * 17, "17 features of one's own, at most 16 fit into a message"),
    ],
)
def test_a_feature_that_cannot_be_used_is_named(addresses: tuple[str, ...], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_features(addresses, (100, 1000))
    assert words in caught.value.problem


def test_the_reductions_are_numpys_by_symbol() -> None:
    columns = {"ts_event_ns": [1, 2, 3, 4], "symbol": [7, 2, 7, 7], "trade_sz": [1.5, 4.0, -2.0, 8.0]}
    table = HostTable.from_host({name: np.array(values) for name, values in columns.items()})
    ticks = table.ticks(np.array([2, 7]))
    size = ticks["trade_sz"]
    found = [method(size).tolist() for method in (ticks.sum, ticks.mean, ticks.min, ticks.max)]
    assert (len(ticks), found) == (4, [[4.0, 7.5], [4.0, 2.5], [4.0, -2.0], [4.0, 8.0]])
