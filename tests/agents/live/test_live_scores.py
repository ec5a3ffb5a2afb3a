"""Live scores are those of batch scoring of the same bars, however the log is cut and wherever it goes on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.messages import Message
from agents.models.scoring import Predictor
from agents.partition import Partition
from schemas.codec import dumps, loads
from schemas.errors import CheckpointError, SettingsError
from schemas.headers import H_ERROR, H_MODEL, get_header
from schemas.messages import Signal
from streams.writer.batches import EMPTY_FRAME
from tests.agents.live.making import (
    MODELS,
    Models,
    a_model,
    bars_on,
    live_partition,
    log_of,
    notice,
    promotion,
)
from tests.agents.test_partition import MS, feed, random_ticks, rows_on

TICKS = random_ticks(3000, 0)
PROMOTIONS = {0: "v0001", 1600: "v0002"}


def lstm_signals(outputs: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    found = [loads(value) for topic, value in outputs if topic == "market.signals"]
    kept = [{k: v for k, v in s.items() if k not in ("signal_id", "source", "latency_us")} for s in found]
    return sorted((s for s in kept if s["kind"] == "lstm"), key=lambda s: (s["ts_event_ns"], s["symbol"]))


def outputs_of(partition: Partition, messages: list[Message]) -> list[list[Any]]:
    return [partition.process(message) for message in messages]


def test_each_live_score_is_the_batch_score_of_the_bars_up_to_it_bit_for_bit() -> None:
    outputs = feed(live_partition(), log_of(TICKS, [700, 1900], {0: "v0001"}))
    series = bars_on(outputs, 100 * MS)
    predictor: Predictor = MODELS.open(promotion("v0001"))
    signals = lstm_signals(outputs)
    assert len(signals) > 15
    for signal in signals:
        bars = series[signal["symbol"]]
        known = bars.head(bars.ts_ns.tolist().index(signal["ts_event_ns"]) + 1)
        (found,) = predictor.last([known])
        assert list(signal["probabilities"].values()) == found.tolist()
        assert signal["expected_move_bps"] == predictor.expected_move_bps(found[None])[0]
        assert (signal["model"], signal["window"]) == ("lstm/v0001", "100ms")


def test_a_score_becomes_a_signal_by_the_rules_of_the_order_flow_signal() -> None:
    outputs = feed(live_partition(), log_of(TICKS, [], {0: "v0001"}))
    side: dict[str, int] = {}
    for signal in lstm_signals(outputs):
        message = Signal.model_validate(signal | {"signal_id": "", "source": _SOURCE, "latency_us": {}})
        features = message.features
        cost = features["spread"] * 5e3 / features["mid"] + 0.3
        assert message.cost_bps == cost
        assert message.strength == abs(message.expected_move_bps) / cost
        towards = 1 if message.expected_move_bps > 0 else -1
        assert message.side == (towards if message.strength >= 1.0 else 0)
        assert message.side != side.get(message.symbol, 0)
        side[message.symbol] = message.side


_SOURCE = {"partition": 0, "first_offset": 0, "last_offset": 0}


@given(cuts=st.lists(st.integers(0, 3000), max_size=8))
@settings(max_examples=10, deadline=None)
def test_cutting_the_log_anywhere_changes_no_bit_of_scores_and_indicators(cuts: list[int]) -> None:
    whole, cut = live_partition(), live_partition()
    a, b = feed(whole, log_of(TICKS, [], PROMOTIONS)), feed(cut, log_of(TICKS, cuts, PROMOTIONS))
    assert lstm_signals(a) == lstm_signals(b)
    assert rows_on(a, "market.indicators") == rows_on(b, "market.indicators")
    assert whole.model.pack(3) == cut.model.pack(3)


def test_later_ticks_change_no_earlier_score() -> None:
    messages = log_of(TICKS, list(range(0, 3000, 300)), PROMOTIONS)
    whole, part = live_partition(), live_partition()
    assert outputs_of(whole, messages)[:7] == outputs_of(part, messages[:7])


@pytest.mark.parametrize("at", [1, 4, 8, 9])
def test_a_restored_checkpoint_goes_on_with_the_same_scores_and_indicators(at: int) -> None:
    messages = log_of(TICKS, list(range(0, 3000, 300)), PROMOTIONS)
    undisturbed, first, second = live_partition(), live_partition(), live_partition()
    wanted = outputs_of(undisturbed, messages)
    before = outputs_of(first, messages[:at])
    second.restore(first.snapshot())
    assert before + outputs_of(second, messages[at:]) == wanted
    assert second.snapshot() == undisturbed.snapshot()


def test_without_a_promotion_nothing_is_scored_and_nothing_is_kept() -> None:
    partition = live_partition()
    outputs = feed(partition, log_of(TICKS, [], {}))
    assert lstm_signals(outputs) == []
    assert partition.model.pack(3) == (None, [])


def test_a_promotion_changes_the_model_between_two_frames_and_keeps_the_bars() -> None:
    outputs = feed(live_partition(), log_of(TICKS, [], PROMOTIONS))
    change_ns = int(TICKS.columns["ts_event_ns"][1600])
    by_model = {
        model: [s["ts_event_ns"] for s in lstm_signals(outputs) if s["model"] == model]
        for model in ("lstm/v0001", "lstm/v0002")
    }
    assert max(by_model["lstm/v0001"]) <= change_ns < min(by_model["lstm/v0002"]) + 100 * MS
    assert min(by_model["lstm/v0002"]) < change_ns + 10 * 100 * MS  # and not after 26 new bars


def test_a_model_of_longer_bars_begins_with_none_and_scores_those() -> None:
    ticks = random_ticks(12_000, 1)
    outputs = feed(live_partition(), log_of(ticks, [], {0: "v0001", 3000: "v0003"}))
    windows = {s["model"]: s["window"] for s in lstm_signals(outputs)}
    assert windows == {"lstm/v0001": "100ms", "lstm/v0003": "1s"}


@pytest.mark.parametrize(
    ("library", "version", "problem"),
    [
        (MODELS, "v0009", "models.v0009: is damaged"),
        (Models(v0001=a_model(1), v0009=a_model(1, bar_ms=300)), "v0009", "it scores bars of 300 ms"),
        (Models(v0001=a_model(1), v0009=a_model(1, bar_ms=None)), "v0009", "of which length its bars were"),
    ],
)
def test_a_model_that_cannot_be_used_is_dead_lettered_and_the_one_in_use_goes_on(
    library: Models, version: str, problem: str
) -> None:
    partition, other = live_partition(library), live_partition(library)
    outputs = outputs_of(partition, log_of(TICKS, [], {0: "v0001", 1600: version}))
    (letter,) = [o for outs in outputs for o in outs if o.topic == "dead.letters"]
    error = (get_header(letter.headers, H_ERROR) or b"").decode()
    assert error.startswith("market.ticks[0]@2: ")
    assert problem in error
    assert "lstm/v0001 stays in use" in error
    feed(other, log_of(TICKS, [1600], {0: "v0001"}))
    assert partition.model.pack(3) == other.model.pack(3)
    assert (partition.accounting.promotions, partition.accounting.dead) == (1, 0)


def test_a_notice_that_cannot_be_read_is_dead_lettered() -> None:
    partition = live_partition()
    (letter,) = partition.process(Message(5, 0, [(H_MODEL, b"v0001")], EMPTY_FRAME))
    assert b"must be a JSON object of version and sha256" in (get_header(letter.headers, H_ERROR) or b"")
    assert partition.accounting.balanced


def test_a_checkpoint_whose_model_is_gone_goes_on_without_one_and_says_so() -> None:
    partition, poorer = live_partition(), live_partition(Models())
    feed(partition, log_of(TICKS, [], {0: "v0001"}))
    poorer.restore(partition.snapshot())
    assert "models.v0001: is damaged" in str(poorer.model_trouble)
    assert (poorer.model.promotion, poorer.model.is_scoring) == (None, False)


def test_who_has_no_library_takes_no_notice() -> None:
    partition = live_partition(None)
    partition.process(notice("v0001"))
    assert (partition.model.promotion, partition.accounting.dead) == (None, 0)


def test_a_damaged_state_of_the_model_is_an_error() -> None:
    partition = live_partition()
    feed(partition, log_of(TICKS, [], {0: "v0001"}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        live_partition().restore(partition.snapshot().replace(b'"bars":24', b'"bars":25'))


def test_the_kind_of_the_models_signals_is_taken() -> None:
    with pytest.raises(SettingsError, match="a signal of kind 'lstm': that is the promoted model's"):
        live_partition(signals=("tests.agents.live.own_signal:lstm",))


def test_the_setting_decides_which_bars_are_scored() -> None:
    ticks = random_ticks(12_000, 1)
    outputs = feed(live_partition(model_window_ms=1000), log_of(ticks, [], {0: "v0001"}))
    assert {s["window"] for s in lstm_signals(outputs)} == {"1s"}
    with pytest.raises(SettingsError, match="TAPESTREAM_MODEL_WINDOW_MS: 300 is none of the windows"):
        live_partition(model_window_ms=300)


def test_a_notice_reads_back_as_it_was_written() -> None:
    headers = promotion("v0007").headers()
    assert loads(get_header(headers, H_MODEL) or b"") == promotion("v0007").as_dict()
    assert dumps(promotion("v0007").as_dict()) == get_header(headers, H_MODEL)
