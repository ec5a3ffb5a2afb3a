import asyncio
import threading
from dataclasses import replace

import pytest

from agents.models.registry import Registry
from streams.market.config import MarketConfig
from tapestream.commands.demo import _producer
from tapestream.demo.past import BARS, HISTORY_BARS, ModelTraining, Past

NOW_NS = 1_767_623_400_123_456_789


def test_a_past_opened_so_long_ago_that_it_has_the_bars_to_learn_from_and_those_to_begin_with():
    past = Past.until(NOW_NS, 1_000, 50, 100.0, 3)
    opened_ns = NOW_NS // 10**9 * 10**9 - (BARS + HISTORY_BARS) * 10**9
    assert past.market == MarketConfig(symbols=50, seed=3, start_ns=opened_ns, rate_per_s=100.0)
    assert past.market_options == ("--opened", "2026-01-05T14:26:00+00:00", "--history", "60.0")
    assert past.market_options == _producer(None, "", 50, 100.0, 3, past)[9:13]


@pytest.mark.parametrize(("bar_ms", "symbols", "rate"), [(1_000, 10_000, 100.0), (86_400_000, 50, 100.0)])
def test_a_past_that_would_take_long_to_make_is_none(bar_ms, symbols, rate):
    assert Past.until(NOW_NS, bar_ms, symbols, rate, 0) is None


def small_past() -> Past:
    past = Past.until(NOW_NS, 100, 3, 50.0, 0)
    return replace(past, market=replace(past.market, symbols=3))


def test_a_model_is_learnt_registered_and_promoted_the_same_from_the_same_seed(tmp_path):
    shares: list[float] = []
    assert small_past().train(tmp_path / "a", shares.append) == "v0001"
    small_past().train(tmp_path / "b", lambda _share: None)
    cards = [Registry(tmp_path / name).card("v0001") for name in ("a", "b")]
    assert cards[0]["sha256"] == cards[1]["sha256"]
    assert (cards[0]["bar_ms"], cards[0]["verdict"]) == (100, {})
    assert Registry(tmp_path / "a").promoted() == "v0001"
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


async def test_a_training_that_nobody_waits_for_ends(tmp_path, monkeypatch):
    begun, running = threading.Event(), []

    def train(self, data_dir, progress):
        while True:
            begun.set()
            running.append(data_dir)
            progress(0.5)

    monkeypatch.setattr(Past, "train", train)
    async with ModelTraining(small_past(), tmp_path) as training:
        await asyncio.to_thread(begun.wait)
        assert training.version is None
    assert set(running) == {tmp_path}
    assert training.share == 0.5
