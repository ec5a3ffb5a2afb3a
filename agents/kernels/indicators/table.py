"""All indicators: one row each. Names, parameters, defaults and look-backs are TA-Lib's where it has them.

Imports the steps and nothing else; needs no compiler until :func:`agents.kernels.indicators.loops.compiled`
is asked for a loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agents.kernels.indicators import (
    differences,
    momentum,
    overlap,
    prices,
    ranges,
    regression,
    stops,
    trend,
    volume,
)
from agents.kernels.indicators.averages import AVERAGE, EMA
from agents.kernels.indicators.windows import DELAY, NEWEST, PAIR, RING, SPREAD, WEIGHTED

LONGEST = 100_000
"""Longest period, as in TA-Lib."""

Size = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that shapes an indicator; ``whole`` ones are counts of bars or choices."""

    name: str
    default: float
    least: float
    most: float
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Indicator:
    """One row of the table.

    Attributes
    ----------
    name
        In small letters.
    inputs
        Columns of a bar that the step reads, in its order.
    parameters
        In TA-Lib's order.
    outputs
        Names in order; all are NaN for the same number of bars.
    lookback
        Of the parameters: how many bars have no value yet.
    words
        Of the parameters: float64 words of state a symbol, zero at the start.
    step
        The compiled step.
    title
        What it is, for a person.
    """

    name: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    outputs: tuple[str, ...]
    lookback: Size
    words: Size
    step: Any
    title: str


def _period(default: int, least: int = 2, name: str = "timeperiod") -> Parameter:
    return Parameter(name, default, least, LONGEST)


def _factor(name: str, default: float, least: float = -3e37, most: float = 3e37) -> Parameter:
    return Parameter(name, default, least, most, whole=False)


def _kind(name: str, default: int = 0) -> Parameter:
    return Parameter(name, default, 0, 2)


_C = ("close",)
_HL = ("high", "low")
_HLC = ("high", "low", "close")
_OHLC = ("open", "high", "low", "close")
_CV = ("close", "volume")
_HLCV = ("high", "low", "close", "volume")
_BANDS = ("upperband", "middleband", "lowerband")


def _row(
    step: Any,
    inputs: tuple[str, ...],
    parameters: tuple[Parameter, ...],
    lookback: Size,
    words: Size,
    title: str,
    outputs: tuple[str, ...] = (),
    name: str = "",
) -> Indicator:
    name = name or step.py_func.__name__
    return Indicator(name, inputs, parameters, outputs or (name,), lookback, words, step, title)


def _before(n: int) -> int:
    return n - 1


def _all(n: int) -> int:
    return n


def _none() -> int:
    return 0


def _two_averages(fast: int, slow: int, *_: int) -> int:
    return 2 * (fast + slow + AVERAGE)


_REGRESSION = ((_period(14),), _before, lambda n: 2 * n + regression.LINE)
_DIRECTION = ((_period(14),), _all, lambda n: trend.DIRECTION)

_ROWS = (
    # Over the price
    _row(overlap.sma, _C, (_period(30, 1),), _before, lambda n: n + RING, "simple moving average"),
    _row(overlap.ema, _C, (_period(30, 1),), _before, lambda n: EMA, "exponential moving average"),
    _row(overlap.wma, _C, (_period(30, 1),), _before, lambda n: 2 * n + WEIGHTED, "weighted moving average"),
    _row(overlap.dema, _C, (_period(30),), lambda n: 2 * n - 2, lambda n: 2 * EMA, "double EMA (Mulloy)"),
    _row(overlap.tema, _C, (_period(30),), lambda n: 3 * n - 3, lambda n: 3 * EMA, "triple EMA (Mulloy)"),
    _row(
        overlap.trima,
        _C,
        (_period(30),),
        _before,
        lambda n: n + 1 + 2 * RING,
        "triangular moving average",
    ),
    _row(
        overlap.kama,
        _C,
        (_period(30),),
        _all,
        lambda n: 3 + 2 * n + RING + DELAY,
        "Kaufman's adaptive average",
    ),
    _row(
        overlap.t3,
        _C,
        (_period(5), _factor("vfactor", 0.7, 0.0, 1.0)),
        lambda n, v: 6 * (n - 1),
        lambda n, v: 6 * EMA,
        "Tillson's T3",
    ),
    _row(
        overlap.hma,
        _C,
        (_period(20),),
        lambda n: n + math.isqrt(n) - 2,
        lambda n: 2 * (n + n // 2 + math.isqrt(n)) + 3 * WEIGHTED,
        "Hull's moving average",
    ),
    _row(
        overlap.vwma,
        _CV,
        (_period(30, 1),),
        _before,
        lambda n: 2 * n + PAIR,
        "volume-weighted moving average",
    ),
    _row(
        overlap.bbands,
        _C,
        (_period(20), _factor("nbdevup", 2.0), _factor("nbdevdn", 2.0), _kind("matype")),
        lambda n, *_: n - 1,
        lambda n, *_: 4 * n + SPREAD + AVERAGE,
        "Bollinger's bands",
        _BANDS,
    ),
    _row(
        ranges.donchian,
        _HL,
        (_period(20),),
        _before,
        lambda n: 2 * n + PAIR,
        "Donchian's channel, this bar included",
        _BANDS,
    ),
    _row(
        ranges.kc,
        _HLC,
        (_period(20), _period(10, 1, "atrperiod"), _factor("nbdev", 2.0, 0.0)),
        lambda n, m, _: max(n - 1, m),
        lambda n, m, _: 2 * EMA + 3,
        "Keltner's channel: EMA ± ATR",
        _BANDS,
    ),
    _row(
        ranges.ichimoku,
        _HL,
        (
            _period(9, 1, "tenkan"),
            _period(26, 1, "kijun"),
            _period(52, 1, "senkou"),
            _period(26, 1, "displacement"),
        ),
        lambda t, b, s, d: max(t, b, s) - 1 + d,
        lambda t, b, s, d: 2 * (t + b + s + d) + 3 * PAIR + 2 * DELAY,
        "Ichimoku: the lines and the cloud as they stand at this bar",
        ("tenkan", "kijun", "senkou_a", "senkou_b"),
    ),
    _row(
        stops.supertrend,
        _HLC,
        (_period(10, 1), _factor("multiplier", 3.0, 0.0)),
        lambda n, _: n,
        lambda n, _: EMA + 6,
        "SuperTrend: the stop, and +1 up or −1 down",
        ("supertrend", "trend"),
    ),
    _row(
        stops.sar,
        _HL,
        (_factor("acceleration", 0.02, 0.0), _factor("maximum", 0.2, 0.0)),
        lambda a, m: 1,
        lambda a, m: 7,
        "Wilder's parabolic stop and reverse",
    ),
    _row(
        volume.vwap,
        _HLCV,
        (_period(0, 0),),
        lambda n: max(n - 1, 0),
        lambda n: 2 * n + PAIR,
        "volume-weighted average price; 0 = since the first bar",
    ),
    _row(prices.midpoint, _C, (_period(14),), _before, lambda n: 2 * n + PAIR, "middle of the extremes"),
    _row(
        prices.midprice,
        _HL,
        (_period(14),),
        _before,
        lambda n: 2 * n + PAIR,
        "middle of highest high and lowest low",
    ),
    # Momentum
    _row(
        differences.macd,
        _C,
        (_period(12, 2, "fastperiod"), _period(26, 2, "slowperiod"), _period(9, 1, "signalperiod")),
        lambda f, s, g: max(f, s) + g - 2,
        lambda f, s, g: 3 * EMA + 1,
        "Appel's MACD",
        ("macd", "macdsignal", "macdhist"),
    ),
    _row(
        differences.apo,
        _C,
        (_period(12, 2, "fastperiod"), _period(26, 2, "slowperiod"), _kind("matype", 1)),
        lambda f, s, _: max(f, s) - 1,
        _two_averages,
        "absolute price oscillator",
    ),
    _row(
        differences.ppo,
        _C,
        (_period(12, 2, "fastperiod"), _period(26, 2, "slowperiod"), _kind("matype", 1)),
        lambda f, s, _: max(f, s) - 1,
        _two_averages,
        "percentage price oscillator",
    ),
    _row(
        differences.trix,
        _C,
        (_period(30, 1),),
        lambda n: 3 * n - 2,
        lambda n: 3 * EMA + 2,
        "change of a triple EMA, percent",
    ),
    _row(momentum.rsi, _C, (_period(14),), _all, lambda n: momentum.GAINS, "relative strength index"),
    _row(momentum.cmo, _C, (_period(14),), _all, lambda n: momentum.GAINS, "Chande's momentum oscillator"),
    _row(
        momentum.stoch,
        _HLC,
        (
            _period(5, 1, "fastk_period"),
            _period(3, 1, "slowk_period"),
            _kind("slowk_matype"),
            _period(3, 1, "slowd_period"),
            _kind("slowd_matype"),
        ),
        lambda n, k, _, d, __: n + k + d - 3,
        lambda n, k, _, d, __: 2 * (n + k + d + AVERAGE) + PAIR,
        "slow stochastic",
        ("slowk", "slowd"),
    ),
    _row(
        momentum.stochf,
        _HLC,
        (_period(5, 1, "fastk_period"), _period(3, 1, "fastd_period"), _kind("fastd_matype")),
        lambda n, d, _: n + d - 2,
        lambda n, d, _: 2 * (n + d) + PAIR + AVERAGE,
        "fast stochastic",
        ("fastk", "fastd"),
    ),
    _row(
        momentum.stochrsi,
        _C,
        (_period(14), _period(5, 1, "fastk_period"), _period(3, 1, "fastd_period"), _kind("fastd_matype")),
        lambda r, n, d, _: r + n + d - 2,
        lambda r, n, d, _: momentum.GAINS + 2 * (n + d) + PAIR + AVERAGE,
        "fast stochastic of the RSI",
        ("fastk", "fastd"),
    ),
    _row(
        momentum.cci,
        _HLC,
        (_period(14),),
        _before,
        lambda n: 3 * n + momentum.DEVIATION,
        "commodity channel index",
    ),
    _row(momentum.mom, _C, (_period(10, 1),), _all, lambda n: n + DELAY, "change over n bars"),
    _row(momentum.roc, _C, (_period(10, 1),), _all, lambda n: n + DELAY, "change over n bars, percent"),
    _row(momentum.rocp, _C, (_period(10, 1),), _all, lambda n: n + DELAY, "change over n bars, share"),
    _row(momentum.rocr, _C, (_period(10, 1),), _all, lambda n: n + DELAY, "ratio to n bars ago"),
    _row(momentum.rocr100, _C, (_period(10, 1),), _all, lambda n: n + DELAY, "ratio to n bars ago × 100"),
    _row(momentum.willr, _HLC, (_period(14),), _before, lambda n: 2 * n + PAIR, "Williams' %R"),
    _row(
        momentum.ultosc,
        _HLC,
        (_period(7, 1, "timeperiod1"), _period(14, 1, "timeperiod2"), _period(28, 1, "timeperiod3")),
        lambda a, b, c: max(a, b, c),
        lambda a, b, c: 2 + 2 * (a + b + c) + 3 * PAIR,
        "Williams' ultimate oscillator",
    ),
    _row(
        momentum.aroon,
        _HL,
        (_period(14),),
        _all,
        lambda n: 2 * (2 * (n + 1) + NEWEST),
        "Aroon, down and up",
        ("aroondown", "aroonup"),
    ),
    _row(
        momentum.aroonosc,
        _HL,
        (_period(14),),
        _all,
        lambda n: 2 * (2 * (n + 1) + NEWEST),
        "Aroon up − down",
    ),
    _row(momentum.bop, _OHLC, (), _none, _none, "balance of power"),
    # Direction
    _row(
        trend.adx,
        _HLC,
        (_period(14),),
        lambda n: 2 * n - 1,
        lambda n: trend.DIRECTION + 2,
        "average directional index",
    ),
    _row(
        trend.adxr,
        _HLC,
        (_period(14),),
        lambda n: 3 * n - 2,
        lambda n: trend.DIRECTION + 2 + n + DELAY,
        "mean of the ADX now and n − 1 bars ago",
    ),
    _row(trend.dx, _HLC, (_period(14),), _all, lambda n: trend.DIRECTION + 1, "directional index"),
    _row(trend.plus_di, _HLC, *_DIRECTION, "directional indicator, up"),
    _row(trend.minus_di, _HLC, *_DIRECTION, "directional indicator, down"),
    _row(
        trend.plus_dm,
        _HL,
        (_period(14),),
        _before,
        lambda n: trend.DIRECTION,
        "directional movement, up",
    ),
    _row(
        trend.minus_dm,
        _HL,
        (_period(14),),
        _before,
        lambda n: trend.DIRECTION,
        "directional movement, down",
    ),
    _row(
        trend.vortex,
        _HLC,
        (_period(14),),
        _all,
        lambda n: 4 + 3 * n + PAIR + RING,
        "vortex, up and down",
        ("plusvi", "minusvi"),
    ),
    # Ranges and deviations
    _row(ranges.trange, _HLC, (), lambda: 1, lambda: 2, "true range"),
    _row(ranges.atr, _HLC, (_period(14, 1),), _all, lambda n: EMA + 2, "average true range"),
    _row(ranges.natr, _HLC, (_period(14),), _all, lambda n: EMA + 2, "ATR in percent of the close"),
    _row(
        ranges.stddev,
        _C,
        (_period(5), _factor("nbdev", 1.0)),
        lambda n, _: n - 1,
        lambda n, _: 2 * n + SPREAD,
        "population standard deviation",
    ),
    _row(
        ranges.var,
        _C,
        (_period(5, 1), _factor("nbdev", 1.0)),
        lambda n, _: n - 1,
        lambda n, _: 2 * n + SPREAD,
        "population variance (nbdev is ignored, as in TA-Lib)",
    ),
    _row(
        momentum.avgdev,
        _C,
        (_period(14),),
        _before,
        lambda n: 3 * n + momentum.DEVIATION,
        "mean absolute deviation",
    ),
    # Volume
    _row(volume.obv, _CV, (), _none, lambda: EMA + 2, "on-balance volume"),
    _row(volume.ad, _HLCV, (), _none, lambda: EMA, "accumulation and distribution"),
    _row(
        volume.adosc,
        _HLCV,
        (_period(3, 2, "fastperiod"), _period(10, 2, "slowperiod")),
        lambda f, s: max(f, s) - 1,
        lambda f, s: EMA + 3,
        "Chaikin's oscillator",
    ),
    _row(volume.mfi, _HLCV, (_period(14),), _all, lambda n: 2 + 2 * n + PAIR, "money flow index"),
    _row(volume.cmf, _HLCV, (_period(20),), _before, lambda n: 2 * n + PAIR, "Chaikin's money flow"),
    # Lines through the last values
    _row(regression.linearreg, _C, *_REGRESSION, "least-squares line, at the newest bar"),
    _row(regression.linearreg_slope, _C, *_REGRESSION, "slope of the least-squares line"),
    _row(regression.linearreg_intercept, _C, *_REGRESSION, "least-squares line, at the oldest bar"),
    _row(regression.tsf, _C, *_REGRESSION, "least-squares line, one bar ahead"),
    # Plain values
    _row(prices.highest, _C, (_period(30),), _before, lambda n: n + RING, "highest of n values", name="max"),
    _row(prices.lowest, _C, (_period(30),), _before, lambda n: n + RING, "lowest of n values", name="min"),
    _row(prices.total, _C, (_period(30),), _before, lambda n: n + RING, "sum of n values", name="sum"),
    _row(prices.avgprice, _OHLC, (), _none, _none, "(open + high + low + close) / 4"),
    _row(prices.medprice, _HL, (), _none, _none, "(high + low) / 2"),
    _row(prices.typprice, _HLC, (), _none, _none, "(high + low + close) / 3"),
    _row(prices.wclprice, _HLC, (), _none, _none, "(high + low + 2·close) / 4"),
)

TABLE: dict[str, Indicator] = {row.name: row for row in _ROWS}
"""Name to row, in the order of the documentation."""
