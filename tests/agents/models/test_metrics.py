"""The figures of a report, on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from agents.models.baselines import BASELINES, Part
from agents.models.evaluation import NETWORK, verdict
from agents.models.metrics import Costs, calibration_error, interval, reliability, score

SURE = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8]])


def test_a_trade_pays_the_spread_and_the_fee_twice() -> None:
    y = np.array([0, 1, 2, 0])
    moves = np.log1p(np.array([-0.02, 0.05, 0.01, -0.01]))
    found = score(SURE, y, moves, Costs(half_spread_bps=2.0, fee_bps=1.0))
    # sold before -2 %: +200; held; bought before +1 %: +100; bought before -1 %: -100; each less 6
    assert (found["trades"], found["right_side"]) == (3, pytest.approx(2 / 3))
    assert (found["gross_bps"], found["net_bps"]) == (pytest.approx(200 / 3), pytest.approx(200 / 3 - 6))
    assert found["pnl"] == pytest.approx(0.02 - 3 * 0.0006)
    assert found["answers"] == {"sell": 0.25, "hold": 0.25, "buy": 0.5}


def test_a_constant_answer_has_no_skill_and_no_trades() -> None:
    found = score(np.tile([0.2, 0.6, 0.2], (4, 1)), np.array([0, 1, 2, 1]), np.zeros(4), Costs())
    assert (found["mcc"], found["trades"], found["net_bps"], found["right_side"]) == (0.0, 0, 0.0, 0.0)
    assert found["log_loss"] == pytest.approx(-np.log([0.2, 0.6, 0.2, 0.6]).mean())


def test_reliability_compares_sureness_with_success() -> None:
    table = reliability(SURE, np.array([0, 1, 2, 0]))
    assert table == [{"from": 0.8, "samples": 4, "predicted": pytest.approx(0.8), "observed": 0.75}]
    assert calibration_error(table) == pytest.approx(0.05)


def test_the_interval_is_students() -> None:
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776 * np.std([1, 2, 3, 4, 5], ddof=1) / 5**0.5
    assert (found["mean"], found["low"]) == (3.0, pytest.approx(3 - half))
    assert interval([7.0]) == {"mean": 7.0, "low": 7.0, "high": 7.0}


@pytest.mark.parametrize(
    ("loss", "mcc", "beats"),
    [((0.90, 0.92), (0.2, 0.3), True), ((0.90, 0.97), (0.2, 0.3), False), ((0.9, 0.92), (0.05, 0.3), False)],
)
def test_the_network_beats_only_with_its_whole_interval(
    loss: tuple[float, float], mcc: tuple[float, float], beats: bool
) -> None:
    def figures(loss: tuple[float, float], mcc: tuple[float, float]) -> dict[str, dict[str, float]]:
        other = {"mean": 1.0, "low": 1.0, "high": 1.0}
        pairs = {"log_loss": loss, "mcc": mcc}
        named = {k: {"mean": sum(v) / 2, "low": v[0], "high": v[1]} for k, v in pairs.items()}
        return {**named, "net_bps": other, "right_side": other}

    models = {"logistic": figures((0.95, 0.95), (0.1, 0.1)), NETWORK: figures(loss, mcc)}
    found = verdict(models, 5)
    assert found["beats"] is beats
    assert found["words"].startswith("The network beats" if beats else "The network does not beat")


@pytest.mark.parametrize("name", BASELINES)
def test_every_simple_model_gives_three_probabilities_also_for_a_class_never_seen(name: str) -> None:
    rng = np.random.default_rng(1)
    train = Part(rng.standard_normal((200, 4), np.float32), rng.integers(0, 3, 200))
    test = Part(rng.standard_normal((50, 4), np.float32), rng.integers(0, 3, 50))
    y = (train.flat[:, 0] > 0).astype(np.int64) + 1  # never a sell
    found = BASELINES[name](train, y, test, 1)
    assert found.shape == (50, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found > 0).all()


def test_persistence_repeats_the_past_class() -> None:
    past = np.array([0, 1, 2] * 30)
    train, test = (Part(np.zeros((len(p), 2), np.float32), p) for p in (past, np.array([2, 0, 1])))
    assert BASELINES["persistence"](train, past, test, 1).argmax(axis=1).tolist() == [2, 0, 1]
    against = (past + 1) % 3  # also where training says that it does not help
    assert BASELINES["persistence"](train, against, test, 1).argmax(axis=1).tolist() == [2, 0, 1]
