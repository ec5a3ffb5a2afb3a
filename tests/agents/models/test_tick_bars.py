"""Bars made in memory are those that the tick worker writes."""

from __future__ import annotations

import numpy as np

from agents.models.bars import PRICES, bar_length_ms
from agents.models.tick_bars import bars_of_ticks
from streams.market.config import MarketConfig
from streams.market.market import SimulatedMarket
from tests.agents.live.making import bars_on, live_partition
from tests.agents.models.planted import walk
from tests.agents.test_partition import MS, feed, messages_of


def test_bars_of_ticks_are_those_of_the_worker() -> None:
    config = MarketConfig(symbols=5, seed=4)
    market, end_ns = SimulatedMarket(config), config.start_ns + 30 * 1000 * MS
    blocks = [market.block(n_ticks=700, until_ns=end_ns + 500 * MS) for _ in range(30)]
    outputs = [o for block in blocks for o in feed(PARTITION, messages_of(block, []))]
    wanted = bars_on(outputs, 1000 * MS)
    found = bars_of_ticks(blocks, 1000 * MS, end_ns)
    assert [bars.symbol for bars in found] == sorted(wanted)
    for bars in found:
        n = len(bars)
        assert n > 5
        assert bars.ts_ns.tolist() == wanted[bars.symbol].ts_ns[:n].tolist()
        for name in PRICES:
            assert getattr(bars, name).tolist() == getattr(wanted[bars.symbol], name)[:n].tolist(), name
        np.testing.assert_allclose(bars.volume, wanted[bars.symbol].volume[:n], rtol=1e-12)
    assert bar_length_ms(found) == 1000


PARTITION = live_partition(None, indicators=())


def test_no_ticks_make_no_bars() -> None:
    assert bars_of_ticks([], 1000 * MS, 10**18) == []
    market = SimulatedMarket(MarketConfig(symbols=2))
    assert bars_of_ticks([market.block(n_ticks=50)], 1000 * MS, market.config.start_ns) == []


def test_the_length_of_bars_is_told_by_their_times_where_these_tell_it() -> None:
    daily = walk(30)
    assert bar_length_ms([daily]) == 86_400_000
    numbered = daily.head(10)
    numbered.ts_ns[:] = np.arange(10)
    assert bar_length_ms([numbered]) is None
    assert bar_length_ms([daily.head(1)]) is None
