"""One symbol's ticks seen the slow, obvious way: what tests measure planted truth with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.ticks import QUOTE, Ticks
from streams.market.config import MarketConfig
from streams.market.market import SimulatedMarket

Floats = npt.NDArray[np.float64]
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Series:
    """Prices in currency, times in seconds since the opening, windows of one second."""

    quote_s: Floats
    bid: Floats
    ask: Floats
    bid_sz: Floats
    ask_sz: Floats
    trade_s: Floats
    trade_px: Floats
    trade_sz: Floats
    sign: Floats
    windows: int

    @property
    def mid(self) -> Floats:
        return (self.bid + self.ask) / 2

    def mid_moves(self) -> Floats:
        """Of each window: the last mid in it less the last one before it."""
        last = np.searchsorted(self.quote_s, np.arange(1, self.windows + 1)) - 1
        return np.diff(self.mid[np.concatenate([[0], last])])

    def imbalance(self) -> Floats:
        """Order-flow imbalance of each window, Cont, Kukanov and Stoikov's sum."""
        b, a, bz, az = self.bid, self.ask, self.bid_sz, self.ask_sz
        e = (b[1:] >= b[:-1]) * bz[1:] - (b[1:] <= b[:-1]) * bz[:-1]
        e += (a[1:] >= a[:-1]) * az[:-1] - (a[1:] <= a[:-1]) * az[1:]
        return np.bincount(self.quote_s[1:].astype(int), e, self.windows)

    def signed_volume(self) -> Floats:
        return np.bincount(self.trade_s.astype(int), self.sign * self.trade_sz, self.windows)


def market_series(config: MarketConfig, seconds: int) -> tuple[SimulatedMarket, list[Series]]:
    market = SimulatedMarket(config)
    ticks = market.block(until_ns=config.start_ns + seconds * SECOND_NS)
    return market, [series_of(ticks, i, config.start_ns, seconds) for i in range(config.symbols)]


def series_of(ticks: Ticks, code: int, start_ns: int, seconds: int) -> Series:
    mine = ticks.columns["symbol"] == code
    quote = ticks.take(mine & (ticks.columns["kind"] == QUOTE)).columns
    trade = ticks.take(mine & (ticks.columns["kind"] != QUOTE)).columns
    return Series(
        (quote["ts_event_ns"] - start_ns) / 1e9,
        quote["bid_px"] / 1e9,
        quote["ask_px"] / 1e9,
        quote["bid_sz"],
        quote["ask_sz"],
        (trade["ts_event_ns"] - start_ns) / 1e9,
        trade["trade_px"] / 1e9,
        trade["trade_sz"],
        trade["aggressor"].astype(float),
        seconds,
    )


def line(y: Floats, x: Floats) -> tuple[float, float]:
    """Slope and R² of the least-squares line of y on x."""
    slope = np.cov(y, x)[0, 1] / np.var(x, ddof=1)
    return float(slope), float(np.corrcoef(y, x)[0, 1] ** 2)


def same_ticks(first: Ticks, second: Ticks) -> bool:
    """Bit for bit."""
    return first.symbols == second.symbols and all(
        first.columns[name].tobytes() == second.columns[name].tobytes() for name in first.columns
    )
