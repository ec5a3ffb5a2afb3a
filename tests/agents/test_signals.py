"""Signals: when they enter, stay and leave, and what is said of one that cannot be used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from agents.configuration import partition_config
from agents.partition import Partition
from agents.signal_emission import window_text
from agents.signals import Decision, FeatureRows, SignalSpec, load_signals
from agents.signals.order_flow import order_flow
from examples.own_signal import queue_pressure
from schemas.codec import decode, loads
from schemas.errors import SettingsError
from schemas.features import FEATURE_VALUES
from schemas.messages import Signal
from schemas.settings import Settings
from tests.agents.test_partition import feed, messages_of, new_partition, random_ticks

BUILT_IN = "agents.signals.order_flow:order_flow"


def rows(**columns: list[float]) -> FeatureRows:
    n = len(next(iter(columns.values())))
    full: dict[str, npt.NDArray[np.generic]] = {name: np.full(n, np.nan) for name in FEATURE_VALUES}
    full |= {name: np.array(values, np.float64) for name, values in columns.items()}
    return FeatureRows(np.arange(n), 10**9, 10**18, full)


def decide(spec: SignalSpec, table: FeatureRows, sides: list[int], fee_bps: float = 0.0) -> Decision:
    return spec.decide(table, np.array(sides, np.int8), fee_bps)


def test_the_expected_move_must_pay_for_half_the_spread_and_the_fee_to_enter() -> None:
    table = rows(
        expected_move_bps=[0.9, 1.1, -1.1, 1.1, 1.1],
        mid=[100.0] * 5,
        spread=[0.02] * 5,  # half of it is 1 bps
        ofi_t=[3.0, 3.0, -3.0, 1.5, np.nan],
    )
    assert decide(order_flow, table, [0] * 5).side.tolist() == [0, 1, -1, 0, 0]
    assert decide(order_flow, table, [0] * 5, fee_bps=0.2).side.tolist() == [0] * 5


def test_a_side_is_kept_at_half_the_cost_and_given_up_below() -> None:
    table = rows(expected_move_bps=[0.6, 0.4, -0.6], mid=[100.0] * 3, spread=[0.02] * 3, ofi_t=[0.0] * 3)
    assert decide(order_flow, table, [1, 1, 1]).side.tolist() == [1, 0, 0]


def test_unknown_features_mean_staying_out_with_an_unknown_cost() -> None:
    decision = decide(order_flow, rows(ofi=[1.0]), [1])
    assert (decision.side.tolist(), decision.strength.tolist()) == ([0], [0.0])
    assert np.isnan(decision.cost_bps).all()


def test_the_example_enters_when_queue_and_trades_agree_in_a_calm_market() -> None:
    table = rows(
        queue_imbalance=[0.7, 0.7, 0.7, 0.3],
        trade_imbalance=[0.8, -0.8, 0.8, 0.3],
        vpin=[np.nan, 0.1, 0.9, 0.1],
        mid=[100.0] * 4,
        weighted_mid=[100.01] * 4,
        spread=[0.02] * 4,
    )
    assert decide(queue_pressure, table, [0, 0, 0, 1]).side.tolist() == [1, 0, 0, 1]


def test_signals_on_the_log_are_the_schema_and_say_what_they_rest_on() -> None:
    outputs = feed(new_partition(), messages_of(random_ticks(3000, 0), [700, 1500, 2200]))
    signals = [decode(Signal, value) for topic, value in outputs if topic == "market.signals"]
    assert signals
    sides: dict[str, int] = {}
    for found in signals:
        assert sides.get(found.symbol, 0) != found.side
        sides[found.symbol] = found.side
        assert 0 <= found.source.first_offset <= found.source.last_offset <= 3
        assert (found.kind, found.window, set(found.features)) == (
            "order_flow",
            "100ms",
            set(order_flow.features),
        )
    assert len({s.signal_id for s in signals}) == len(signals)


def test_two_signals_run_side_by_side_each_on_its_own_side() -> None:
    partition = new_partition(signals=(BUILT_IN, "examples.own_signal:queue_pressure"))
    outputs = feed(partition, messages_of(random_ticks(3000, 0), []))
    kinds = {loads(value)["kind"] for topic, value in outputs if topic == "market.signals"}
    assert kinds == {"order_flow", "queue_pressure"}


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (("nowhere:at_all",), "'nowhere:at_all' cannot be imported"),
        (("agents.signals.order_flow:absent",), "cannot be imported"),
        (("agents.signals.order_flow:ENTER",), "is a float"),
        (("no_colon",), "cannot be imported"),
        ((BUILT_IN, BUILT_IN), "two signals of kind 'order_flow'"),
        (("tests.agents.test_signals:slow",), "looks at windows of 60000 ms"),
    ],
)
def test_a_signal_that_cannot_be_used_is_named(addresses: tuple[str, ...], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_signals(addresses, (100, 1000))
    assert words in caught.value.problem


slow = SignalSpec("slow", order_flow.decide, (), "slow/1", 60_000)


def test_a_decision_of_the_wrong_shape_is_dead_lettered() -> None:
    settings = Settings(partitions=1, windows_ms=(100,), signals=("tests.agents.test_signals:short",))
    partition = Partition(partition_config(settings)(0))
    outputs = feed(partition, messages_of(random_ticks(500, 0), []))
    errors = [loads(value) for topic, value in outputs if topic == "dead.letters"]
    assert errors
    assert errors[0]["signal"] == "short"
    assert partition.accounting.signals == 0


def _short(rows: FeatureRows, sides: npt.NDArray[np.int8], fee_bps: float) -> Decision:
    empty = np.zeros(0)
    return Decision(empty.astype(np.int8), empty, empty, empty)


short = SignalSpec("short", _short, (), "short/1")


@pytest.mark.parametrize(
    ("ms", "text"),
    [(100, "100ms"), (1500, "1500ms"), (1000, "1s"), (90_000, "90s"), (300_000, "5m"), (86_400_000, "1d")],
)
def test_windows_are_written_as_people_do(ms: int, text: str) -> None:
    assert window_text(ms * 1_000_000) == text
