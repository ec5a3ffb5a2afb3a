"""Indicators on the stream are those of the batch over the bars that are on ``market.bars``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from agents import indicators
from agents.configuration import partition_config
from agents.indicators import LiveIndicators
from schemas.errors import CheckpointError, SettingsError
from schemas.ipc import read_batch
from schemas.settings import Settings, load_settings
from tests.agents.live.making import INDICATORS, WINDOWS_MS, live_partition, log_of
from tests.agents.test_partition import MS, feed, random_ticks

TICKS = random_ticks(3000, 0)


def table_of(outputs: list[tuple[str, bytes]], topic: str) -> pa.Table:
    table = pa.Table.from_batches([read_batch(value) for name, value in outputs if name == topic])
    symbols = table.column("symbol").cast(pa.utf8())
    return table.set_column(0, "symbol", symbols)


def test_the_stream_gives_the_bits_of_the_batch_over_the_bars_of_the_topic() -> None:
    outputs = feed(live_partition(), log_of(TICKS, [500, 501, 2000], {}))
    bars, rows = table_of(outputs, "market.bars"), table_of(outputs, "market.indicators")
    keys = ["symbol", "window_ns", "open_ns", "close_ns"]
    assert rows.select(keys).equals(bars.select(keys))
    for window_ms in WINDOWS_MS:
        kept = pa.compute.equal(bars.column("window_ns"), window_ms * MS)
        of_window, found = bars.filter(kept), rows.filter(kept)
        names = ("symbol", "open_px", "high_px", "low_px", "close_px", "volume")
        given = {name: of_window.column(name).to_numpy() for name in names}
        wanted = indicators.compute(given, INDICATORS, short="nan")
        assert list(wanted) == found.column_names[4:]
        for name, values in wanted.items():
            assert found.column(name).to_numpy().tobytes() == values.tobytes(), name
    assert np.isfinite(rows.column("rsi(5)").to_numpy()).sum() > 100


def test_without_indicators_there_are_no_frames_of_them() -> None:
    outputs = feed(live_partition(indicators=()), log_of(TICKS, [], {}))
    assert [topic for topic, _ in outputs if topic == "market.indicators"] == []


def test_indicators_are_written_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("RSI(14)", "macd(12, 26, 9)", "EMA(20)")
    as_json = '["RSI(14)", "macd(12, 26, 9)", "EMA(20)"]'
    for text in ("RSI(14), macd(12, 26, 9),EMA(20)", as_json):
        monkeypatch.setenv("TAPESTREAM_INDICATORS", text)
        settings = load_settings()
        assert settings.indicators == wanted
        assert partition_config(settings)(0).indicators == ("rsi(14)", "macd(12,26,9)", "ema(20)")
        assert settings.environment({})["TAPESTREAM_INDICATORS"] == as_json


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("rsj(14)",), r"TAPESTREAM_INDICATORS: rsj: there is no such indicator \(did you mean rsi"),
        (("rsi(0)",), r"TAPESTREAM_INDICATORS: rsi: timeperiod must be a whole number from 2"),
        (("rsi", "rsi"), r"TAPESTREAM_INDICATORS: rsi: asked for twice"),
    ],
)
def test_an_indicator_that_is_none_ends_the_start_with_the_nearest_names(
    names: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        partition_config(Settings(indicators=names))


def test_of_other_indicators_states_those_of_both_are_taken_over() -> None:
    closes = np.linspace(10.0, 12.0, 40) + np.sin(np.arange(40))
    old, new, fresh = (
        LiveIndicators(("rsi(5)", "ema(3)")),
        LiveIndicators(("obv", "rsi(5)")),
        LiveIndicators("obv"),
    )
    for close in closes[:30]:
        old.update(["A"], {"close": [close]})
    new.adopt(old.to_bytes())
    for close in closes[30:]:
        bar = {"close": [close], "volume": [2.0]}
        before, after, alone = (live.update(["A"], bar)[0] for live in (old, new, fresh))
        assert after.tolist() == [alone[0], before[0]]


def test_damaged_states_are_refused() -> None:
    live = LiveIndicators("rsi(5)")
    live.update(["A"], {"close": [1.0]})
    data = live.to_bytes()
    with pytest.raises(CheckpointError, match="is damaged"):
        LiveIndicators("rsi(5)").adopt(data[:-1] + b"x")
