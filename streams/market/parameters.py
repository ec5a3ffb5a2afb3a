"""Draws the symbols of a market: from a configuration to the truth of each, and to the kernel's numbers.

A symbol's draws depend on the seed and its number alone, so that the first symbols of a market are those of
a smaller one.
"""

from __future__ import annotations

from functools import cache
from math import log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.ticks import PRICE_SCALE
from streams.market.config import MarketConfig, SymbolTruth
from streams.market.kernel import FLOW_ACTIVE, JUMP_SHARE, TILT

TABLE = 4096
"""Quantiles a table holds; a draw takes one by 12 random bits."""

SIZE_SIGMA = 0.8
"""Sigma of the log-normal trade sizes."""

_NORMAL = NormalDist()
_DRAWS = 16
_NEVER_NS = 1 << 61


@cache
def tables() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Quantiles of the standard normal, of trade sizes (log-normal of mean 1) and of the exponential.

    At (i + ½) / TABLE, and scaled to their exact moments (normal: variance 1; the others: mean 1), so that
    what is planted is what the truth says.
    """
    at = (np.arange(TABLE) + 0.5) / TABLE
    normal = np.array([_NORMAL.inv_cdf(p) for p in at])
    normal /= normal.std()
    size = np.exp(SIZE_SIGMA * normal)
    exponential = -np.log1p(-at)
    return normal, size / size.mean(), exponential / exponential.mean()


STATE = np.dtype(
    [
        ("random", np.uint64),
        ("price", np.float64),  # latent, in ticks
        ("center", np.float64),  # base, in ticks
        ("intensity", np.float64),  # of the Hawkes excitation, after the last trade
        ("last_s", np.float64),  # when that was, seconds since the opening
        ("trade_ns", np.int64),  # next of each, ns since the opening
        ("quote_ns", np.int64),
        ("switch_ns", np.int64),
        ("moved_ns", np.int64),  # when the reversion was last applied
        ("pending", np.int64),  # 1: a quote at this instant is still to come
        ("flow", np.int64),  # -1, 0, +1
        ("bid", np.int64),  # ticks
        ("ask", np.int64),
        ("low", np.int64),  # best bid before widening, ticks
        ("quotes", np.uint64),
        ("trades", np.uint64),
    ]
)
"""What changes of a symbol."""

PARAMETERS = np.dtype(
    [
        ("tick", np.int64),  # 1e-9
        ("spread", np.int64),  # ticks
        ("lot", np.float64),
        ("wide", np.float64),
        ("depth", np.float64),
        ("quote_only_rate", np.float64),
        ("mu", np.float64),
        ("alpha", np.float64),
        ("beta", np.float64),
        ("size", np.float64),
        ("impact", np.float64),  # ticks a unit of size
        ("buy_tilt", np.float64),
        ("flow_tau_s", np.float64),
        ("noise", np.float64),  # ticks
        ("jump", np.float64),  # ticks
        ("latency", np.int64),
    ]
)
"""What stays."""


def symbol_names(count: int) -> tuple[str, ...]:
    """``SIM0000`` and on."""
    return tuple(f"SIM{i:04d}" for i in range(count))


def draw_symbols(config: MarketConfig) -> tuple[SymbolTruth, ...]:
    """The truth of every symbol of a market."""
    draws = np.random.Generator(np.random.Philox(key=config.seed)).random((config.symbols, _DRAWS))
    size = tables()[1]
    names = symbol_names(config.symbols)
    return tuple(_symbol(config, names[i], draws[i].tolist(), size) for i in range(config.symbols))


def _symbol(config: MarketConfig, name: str, u: list[float], sizes: npt.NDArray[np.float64]) -> SymbolTruth:
    price = float(30.0 * 40.0 ** u[0])
    tick_size = _nice(price * 3e-5 * 3.0 ** (u[1] - 0.5))
    base_price = float(np.rint(price / tick_size)) * tick_size
    spread_ticks = 1 + (u[2] > 0.4) + (u[2] > 0.8)
    wide_share = 0.08 * u[3]
    half_spread_ticks = spread_ticks / 2 + wide_share
    lot = (0.01, 1.0, 1.0, 10.0)[int(4 * u[4])]
    depth_lots = 40.0 * 5.0 ** u[5]
    rate = config.rate_per_s * 4.0 ** (u[6] - 0.5)
    quotes_per_trade = 2.0 + 2.0 * u[7]
    trade_rate = rate / (1.0 + quotes_per_trade)
    branching = config.clustering * (0.75 + 0.5 * u[8])
    beta = 2.0 * 4.0 ** u[9]
    mean_size = depth_lots * (0.2 + 0.2 * u[10])
    drawn = np.maximum(np.rint(mean_size * sizes), 1.0)
    impact = config.impact * half_spread_ticks * (0.8 + 0.4 * u[11]) / float(drawn.mean())
    quote_only_rate = trade_rate * (quotes_per_trade - 1.0)
    # Quotes alone move the price about as much as trades do, whatever the rates.
    quote_noise = config.noise * 0.35 * half_spread_ticks * sqrt(trade_rate / quote_only_rate)
    return SymbolTruth(
        symbol=name,
        base_price=base_price,
        tick_size=tick_size,
        lot=lot,
        spread_ticks=spread_ticks,
        wide_share=wide_share,
        half_spread=half_spread_ticks * tick_size,
        half_spread_rms=sqrt(spread_ticks**2 / 4 + wide_share * (spread_ticks + 1)) * tick_size,
        depth=depth_lots * lot,
        quote_rate=trade_rate * quotes_per_trade,
        trade_rate=trade_rate,
        hawkes_mu=trade_rate * (1.0 - branching),
        hawkes_alpha=branching * beta,
        hawkes_beta=beta,
        branching=branching,
        mean_trade_size=float(drawn.mean()) * lot,
        mean_square_trade_size=float((drawn**2).mean()) * lot**2,
        kyle_lambda=impact / lot * tick_size,
        ofi_slope=tick_size / (2.0 * depth_lots * lot * (1.0 + TILT / 2.0)),
        flow_bias=config.flow_bias,
        flow_active=FLOW_ACTIVE if config.flow_bias else 0.0,
        flow_tau_s=config.flow_tau_s * 2.0 ** (u[12] - 0.5),
        quote_noise=quote_noise * tick_size,
        jump_share=JUMP_SHARE,
        jump_scale=3.0 * config.noise * half_spread_ticks * tick_size,
        latency_ns=20_000 + int(180_000 * u[13]),
    )


def _nice(value: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten, at least a millionth."""
    candidates: list[float] = [m * 10.0**e for e in range(-6, 3) for m in (1, 2, 5)]
    return float(np.round(min(candidates, key=lambda one: abs(log(one / value))), 9))


def kernel_parameters(truths: tuple[SymbolTruth, ...]) -> npt.NDArray[Any]:
    """The truths as the kernel reads them."""
    table = np.zeros(len(truths), PARAMETERS)
    for i, one in enumerate(truths):
        table[i] = (
            round(one.tick_size * PRICE_SCALE),
            one.spread_ticks,
            one.lot,
            one.wide_share,
            one.depth,
            one.quote_rate - one.trade_rate,
            one.hawkes_mu,
            one.hawkes_alpha,
            one.hawkes_beta,
            one.mean_trade_size,
            one.kyle_lambda / one.tick_size,
            one.flow_bias,
            one.flow_tau_s,
            one.quote_noise / one.tick_size,
            one.jump_scale / one.tick_size,
            one.latency_ns,
        )
    return table


def opening_state(config: MarketConfig, truths: tuple[SymbolTruth, ...]) -> npt.NDArray[Any]:
    """Every symbol before its first quote, which comes within 50 ms."""
    seeds = np.random.Generator(np.random.Philox(key=np.array([config.seed, 1], np.uint64))).integers(
        0, 2**64, (len(truths), 2), np.uint64
    )
    state = np.zeros(len(truths), STATE)
    state["random"] = seeds[:, 0]
    state["quote_ns"] = seeds[:, 1] % np.uint64(50_000_000)
    state["trade_ns"] = _NEVER_NS  # drawn at the first quote
    state["intensity"] = [one.trade_rate - one.hawkes_mu for one in truths]  # its mean
    state["center"] = [one.base_price / one.tick_size for one in truths]
    state["price"] = state["center"]
    state["low"] = np.rint(state["price"]) - 1_000  # so that the first quote sets it
    return state
