"""Models come back as they were saved or are refused by name; requests are answered or refused by field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.models.bars import COLUMNS, Bars
from agents.models.evaluation import Model
from agents.models.features import FEATURES
from agents.models.network import new_network
from agents.models.registry import Registry
from agents.models.samples import Scaler
from agents.models.scoring import Predictor, batch_prediction, neural_analysis
from schemas.codec import dumps
from schemas.errors import ModelError
from tests.agents.models.planted import walk

WINDOW = 10


def model(seed: int = 1) -> Model:
    scaler = Scaler(np.zeros(8, np.float32), np.full(8, 0.01, np.float32))
    return Model(new_network(8, 16, seed), scaler, 0.01, np.array([-0.02, 0.0, 0.03]), WINDOW, 5, 16)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    registry = Registry(tmp_path)
    registry.promote(registry.save(model(), {}))
    return tmp_path


def columns(bars: Bars) -> dict[str, Any]:
    return {name: getattr(bars, name).tolist() for name in ("ts_ns", *COLUMNS)}


def request(*series: Bars) -> dict[str, Any]:
    return {"bars": {bars.symbol: columns(bars) for bars in series}}


def test_a_model_reads_back_with_the_same_bits(data: Path) -> None:
    version, back = Registry(data).load()
    x = np.random.default_rng(0).standard_normal((20, WINDOW, 8), np.float32)
    first, second = Predictor("a", model()), Predictor(version, back)
    assert version == "v0001"
    assert (back.band, back.mean_returns.tolist()) == (0.01, [-0.02, 0.0, 0.03])
    assert first._probabilities(x).tobytes() == second._probabilities(x).tobytes()


def test_versions_are_promoted_and_rolled_back(data: Path) -> None:
    registry = Registry(data)
    second = registry.save(model(2), {})
    assert (second, registry.promoted()) == ("v0002", "v0001")
    registry.promote(second)
    registry.promote(second)
    assert [(e.version, e.promoted) for e in registry.entries()] == [("v0001", False), ("v0002", True)]
    assert (registry.roll_back(), registry.promoted()) == ("v0001", "v0001")
    with pytest.raises(ModelError, match="no version was promoted before"):
        registry.roll_back()


def _edit_card(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text()) | changes
        (folder / "card.json").write_text(json.dumps({k: v for k, v in card.items() if v is not None}))

    return edit


def _flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a flipped bit": (_flip_a_bit, "models.v0001.model.safetensors"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "models.v0001.model.safetensors"),
    "other features": (_edit_card(features=["x", "y"]), "models.v0001.features"),
    "another size": (_edit_card(hidden=7), "models.v0001.model.safetensors"),
    "a card without a band": (_edit_card(band=None), "models.v0001.card.band"),
    "a band that is no number": (_edit_card(band="x"), "models.v0001.model.safetensors"),
    "a card that is no JSON": (lambda f: (f / "card.json").write_text("{"), "models.v0001.card"),
    "a card that is a list": (lambda f: (f / "card.json").write_text("[]"), "models.v0001.card"),
    "no card": (lambda f: (f / "card.json").unlink(), "models.v0001.card"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_model_is_refused_and_never_promoted(tmp_path: Path, name: str) -> None:
    registry = Registry(tmp_path)
    version = registry.save(model(), {})
    damage, field = DAMAGE[name]
    damage(registry.folder / version)
    for attempt in (registry.load, registry.promote):
        with pytest.raises(ModelError) as caught:
            attempt(version)
        assert (caught.value.field, bool(caught.value.remedy)) == (field, True)
    assert registry.promoted() is None


@pytest.mark.parametrize("name", ["../../etc", "v1", "v0009", "", "v0001/.."])
def test_a_version_that_is_none_is_refused(data: Path, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        Registry(data).card(name)
    assert caught.value.field == "model"


def test_a_damaged_pointer_is_refused(data: Path) -> None:
    (data / "models" / "promoted.json").write_text('{"history": 5}')
    with pytest.raises(ModelError, match="has no history"):
        Registry(data).load()


def test_a_thousand_symbols_are_answered_in_one_call_as_each_alone(data: Path) -> None:
    series = [walk(40 + seed % 30, f"S{seed:04d}", seed) for seed in range(1_000)]
    answer = batch_prediction(request(*series), data)
    found = np.array([answer["probabilities"][name] for name in ("sell", "hold", "buy")]).T
    assert answer["symbols"] == [bars.symbol for bars in series]
    assert (answer["model"], answer["horizon_bars"], answer["band_bps"]) == ("v0001", 5, 100.0)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(answer["expected_move_bps"], found @ [-200.0, 0.0, 300.0], atol=1e-9)
    for at in (0, 17, 999):
        alone = batch_prediction(request(series[at]), data)
        assert {k: v[0] for k, v in alone["probabilities"].items()} == {
            k: v[at] for k, v in answer["probabilities"].items()
        }
        assert alone["ts_ns"] == [answer["ts_ns"][at]]


def test_an_analysis_looks_back_as_the_live_scores_would_have_been(data: Path) -> None:
    bars = walk(60)
    answer = neural_analysis({**request(bars), "history": 5}, data)["symbols"]["A"]
    then = [batch_prediction(request(bars.head(60 - back)), data) for back in (4, 3, 2, 1, 0)]
    assert answer["history"]["probabilities"]["buy"] == [one["probabilities"]["buy"][0] for one in then]
    assert answer["history"]["ts_ns"] == [one["ts_ns"][0] for one in then]
    assert (answer["side"], answer["close"]) == (then[-1]["side"][0], bars.close[-1])
    assert answer["strength"] == answer["probabilities"]["buy"] - answer["probabilities"]["sell"]


def test_history_stops_where_the_bars_do(data: Path) -> None:
    answer = neural_analysis({**request(walk(32)), "history": 50}, data)["symbols"]["A"]
    assert len(answer["history"]["ts_ns"]) == 3  # 30 bars are needed for the first


def write_parquet(path: Path, *series: Bars) -> None:
    parts = [pa.table({"symbol": [b.symbol] * len(b), **columns(b)}) for b in series]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables(parts), path)


def test_a_parquet_file_is_answered_like_its_bars(data: Path) -> None:
    series = [walk(50, "A", 1), walk(60, "B", 2)]
    write_parquet(data / "in" / "bars.parquet", *series)
    from_file = batch_prediction({"path": "in/bars.parquet"}, data)
    assert from_file == batch_prediction(request(*series), data)
    assert batch_prediction({"path": "in/bars.parquet", "symbols": ["B"]}, data)["symbols"] == ["B"]


def test_answers_are_json(data: Path) -> None:
    for entry in (batch_prediction, neural_analysis):
        assert b"NaN" not in dumps(entry(request(walk(50)), data))


SHORT = {name: values[:29] for name, values in columns(walk(29)).items()}
BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "bars"),
    ({"bars": {}}, "bars"),
    ({"bars": [1]}, "bars"),
    ({"bars": {"A": 5}}, "bars"),
    ({"bars": {"A": {}}}, "bars.A.open"),
    ({"bars": {"A": SHORT}}, "bars.A"),
    ({"bars": {"A": SHORT}, "path": "x"}, "bars"),
    ({"path": 5}, "path"),
    ({"path": "../secret.parquet"}, "path"),
    ({"path": "/etc/passwd"}, "path"),
    ({"path": "link/bars.parquet"}, "path"),
    ({"path": "absent.parquet"}, "path"),
    ({"path": "text.parquet"}, "path"),
    ({"path": "columns.parquet"}, "path"),
    ({"bars": {"A": columns(walk(40))}, "symbols": ["B"]}, "symbols[0]"),
    ({"bars": {"A": columns(walk(40))}, "symbols": "A"}, "symbols"),
    ({"bars": {"A": columns(walk(40))}, "model": 7}, "model"),
    ({"bars": {"A": columns(walk(40))}, "model": "v0404"}, "model"),
    ({"bars": {"A": columns(walk(40))}, "model": "../x"}, "model"),
    ({"bars": {"A": columns(walk(40))}, "modle": "v0001"}, "modle"),
    ({"bars": {"A": {**columns(walk(40)), "close": [float("nan")] * 40}}}, "bars.A.close[0]"),
]


@pytest.mark.parametrize(("bad", "field"), BAD)
def test_a_bad_request_is_refused_by_its_field(
    data: Path, tmp_path_factory: pytest.TempPathFactory, bad: dict[str, Any], field: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write_parquet(outside / "bars.parquet", walk(50))
    (data / "link").symlink_to(outside)
    (data / "text.parquet").write_text("not Parquet")
    pq.write_table(pa.table({"close": [1.0]}), data / "columns.parquet")
    for entry in (batch_prediction, neural_analysis):
        with pytest.raises(ModelError) as caught:
            entry(bad, data)
        assert (caught.value.field, bool(caught.value.remedy)) == (field, True)


@pytest.mark.parametrize("history", [0, -1, "x", True, 10**9])
def test_a_history_out_of_bounds_is_refused(data: Path, history: Any) -> None:
    with pytest.raises(ModelError) as caught:
        neural_analysis({**request(walk(50)), "history": history}, data)
    assert caught.value.field == "history"


def test_without_a_promoted_model_the_remedy_is_to_train(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tapestream train"):
        batch_prediction(request(walk(50)), tmp_path)


def test_features_that_a_card_names_are_those_there_are(data: Path) -> None:
    assert Registry(data).card("v0001")["features"] == list(FEATURES)
