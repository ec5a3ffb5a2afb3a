"""What market to simulate, and what was planted in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.errors import SettingsError
from streams.market.fault_plan import FaultPlan, PlantedFault

MAX_SYMBOLS = 10_000
DEFAULT_START_NS = 1_767_623_400_000_000_000
"""2026-01-05 14:30 UTC."""
_EARLIEST_NS, _LATEST_NS = 631_152_000_000_000_000, 4_102_444_800_000_000_000  # 1990 to 2100


@dataclass(frozen=True, slots=True)
class MarketConfig:
    """The market to simulate. The same configuration gives the same ticks, bit for bit.

    Attributes
    ----------
    symbols
        How many, 1 to 10,000. The first of them are the same in a market of more.
    seed
        Of everything that is random.
    start_ns
        Event time of the opening, ns since 1970-01-01 UTC; the U of the day's activity follows it.
    rate_per_s
        Ticks a second of the median symbol, on the day's average; symbols differ from it by up to a factor
        of two. The median, and without the further quotes of large moves: the mean is about 1.4 times it.
    impact
        Mean move of the mid by a trade, as a share of half the spread, below 1. 0 plants no price impact.
    flow_bias
        How far orders of a large trader tilt the signs: a trade goes the trader's way with probability
        (1 + flow_bias) / 2. 0 plants independent signs, and nothing to predict.
    flow_tau_s
        Mean time that a large trader stays.
    clustering
        Mean branching ratio of the trade arrivals over symbols; 0 plants Poisson arrivals.
    noise
        Scale of the price moves without trades; 0 plants none.
    u_shape
        Depth of the day's U: activity ranges from 1 - u_shape / 2 at noon UTC to 1 + u_shape at midnight.
    hide_aggressor
        Send trades without the side that began them, as many venues do.
    faults
        What the feed does wrong.
    """

    symbols: int = 8
    seed: int = 0
    start_ns: int = DEFAULT_START_NS
    rate_per_s: float = 50.0
    impact: float = 0.35
    flow_bias: float = 0.6
    flow_tau_s: float = 8.0
    clustering: float = 0.5
    noise: float = 1.0
    u_shape: float = 0.6
    hide_aggressor: bool = False
    faults: FaultPlan = field(default_factory=FaultPlan)

    def __post_init__(self) -> None:
        """Refuse a market that cannot be."""
        _within("symbols", self.symbols, 1, MAX_SYMBOLS)
        _within("seed", self.seed, 0, 2**64 - 1)
        _within("start_ns", self.start_ns, _EARLIEST_NS, _LATEST_NS)
        _within("rate_per_s", self.rate_per_s, 1e-3, 100_000.0)
        _within("impact", self.impact, 0.0, 0.9)
        _within("flow_bias", self.flow_bias, 0.0, 1.0)
        _within("flow_tau_s", self.flow_tau_s, 1e-3, 86_400.0)
        _within("clustering", self.clustering, 0.0, 0.8)
        _within("noise", self.noise, 0.0, 10.0)
        _within("u_shape", self.u_shape, 0.0, 1.5)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"market: {name} is {value}", f"it lies from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class SymbolTruth:
    """What was planted in one symbol. Prices in the quote currency, sizes in units of the instrument.

    Attributes
    ----------
    base_price, tick_size, lot
        Where the price starts and whither it drifts back in days, its grid, and the grid of sizes.
    spread_ticks, wide_share
        The usual spread, and the share of quotes that are two ticks wider.
    half_spread, half_spread_rms
        Mean and root mean square of half the spread, over quotes and over trades. The mean is half the
        effective spread; the root mean square is half of Roll's measure, where nothing else moves prices.
    depth
        Mean size of a queue at the best price.
    quote_rate, trade_rate
        Mean number a second on the day's average. Each trade has a quote, which is counted; not counted are
        the further quotes of a move that passes several ticks.
    hawkes_mu, hawkes_alpha, hawkes_beta, branching
        Trade arrivals: λ = u(t) mu + alpha Σ exp(-beta (t - t_i)), in 1/s; branching = alpha / beta. u is
        the day's U.
    mean_trade_size, mean_square_trade_size
        Moments of the trade sizes.
    kyle_lambda
        Move of the mid by a signed unit of trade size.
    ofi_slope
        Move of the mid by a unit of order-flow imbalance at the best prices. It lies between the limit of
        small moves, tick_size / (2 depth (1 + TILT)), and that of moves of whole ticks, tick_size /
        (2 depth); this is the value in their middle, up to 15 % from either.
    flow_bias, flow_active, flow_tau_s
        The latent large trader: the tilt of signs, the share of time in which one is there, and the mean
        time to the next draw. Signs of trades t seconds apart correlate by
        flow_active flow_bias² exp(-t / flow_tau_s).
    quote_noise, jump_share, jump_scale
        Price moves by quotes alone: standard deviation of a quote's, share of quotes with a jump, and the
        jump's standard deviation.
    latency_ns
        Least delay from event to capture.
    """

    symbol: str
    base_price: float
    tick_size: float
    lot: float
    spread_ticks: int
    wide_share: float
    half_spread: float
    half_spread_rms: float
    depth: float
    quote_rate: float
    trade_rate: float
    hawkes_mu: float
    hawkes_alpha: float
    hawkes_beta: float
    branching: float
    mean_trade_size: float
    mean_square_trade_size: float
    kyle_lambda: float
    ofi_slope: float
    flow_bias: float
    flow_active: float
    flow_tau_s: float
    quote_noise: float
    jump_share: float
    jump_scale: float
    latency_ns: int


@dataclass(frozen=True, slots=True)
class MarketTruth:
    """What was planted: the configuration, the symbols' parameters and the faults."""

    config: MarketConfig
    symbols: tuple[SymbolTruth, ...]
    faults: tuple[PlantedFault, ...]

    def to_plain(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)
