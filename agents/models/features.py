"""Features of OHLCV bars for prediction. Pure; a value at a bar never changes when later bars arrive.

Each window is a fixed number of shifted additions, so that also the bits do not depend on where a history
begins to be cut or how long it goes on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agents.models.bars import COLUMNS, Bars, Floats

FEATURES = ("ret_1", "ret_5", "ret_20", "vol_20", "range", "body", "gap", "volume_20")
"""Their names and order; a model trained on others is refused.

``ret_n`` log return over n bars; ``vol_20`` root mean square of the last 20 one-bar log returns; ``range``
log(high/low); ``body`` place of the close between low and high, -1/2 to 1/2, 0 for a flat bar; ``gap`` log of
open over the close before; ``volume_20`` log(1 + volume) less its mean of the last 20 bars.
"""

WARM_UP = 20
"""Leading rows that are NaN."""


def features(bars: Bars) -> npt.NDArray[np.float32]:
    """Features of every bar, from this bar and those before it alone.

    Returns
    -------
    numpy.ndarray
        float32 (bars, 8); log returns have no unit; the first :data:`WARM_UP` rows are NaN.
    """
    return features_of(*(np.ascontiguousarray(getattr(bars, name)) for name in COLUMNS))


def features_of(
    open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats
) -> npt.NDArray[np.float32]:
    """Features of the bars of one or many symbols; a symbol's bits are those it has alone.

    Parameters
    ----------
    open_, high, low, close, volume
        float64 (..., bars), contiguous, as :class:`agents.models.bars.Bars` has them.

    Returns
    -------
    numpy.ndarray
        float32 (..., bars, 8).
    """
    n = close.shape[-1]
    out = np.full((*close.shape, len(FEATURES)), np.nan)
    if n <= WARM_UP:
        return out.astype(np.float32)
    price = np.log(close)
    one = np.diff(price)
    out[..., 1:, 0] = one
    out[..., 5:, 1] = price[..., 5:] - price[..., :-5]
    out[..., 20:, 2] = price[..., 20:] - price[..., :-20]
    out[..., 20:, 3] = np.sqrt(_sum(one * one, WARM_UP) / WARM_UP)
    out[..., 4] = np.log(high / low)
    height = high - low
    flat = height <= 0
    out[..., 5] = np.where(flat, 0.0, (close - low) / np.where(flat, 1.0, height) - 0.5)
    out[..., 1:, 6] = np.log(open_[..., 1:] / close[..., :-1])
    log_volume = np.log1p(volume)
    out[..., 19:, 7] = log_volume[..., 19:] - _sum(log_volume, WARM_UP) / WARM_UP
    out[..., :WARM_UP, :] = np.nan
    return out.astype(np.float32)


def _sum(values: Floats, n: int) -> Floats:
    """Sums of each ``n`` values in a row, added in the same order everywhere."""
    count = values.shape[-1] - n + 1
    total = values[..., :count].copy()
    for shift in range(1, n):
        total += values[..., shift : shift + count]
    return total


def forward_return(bars: Bars, horizon: int) -> Floats:
    """log(close[t + horizon] / close[t]); NaN for the last ``horizon`` bars."""
    out = np.full(len(bars), np.nan)
    if len(bars) > horizon:
        out[:-horizon] = np.log(bars.close[horizon:] / bars.close[:-horizon])
    return out


def tradable_return(bars: Bars, horizon: int) -> Floats:
    """log(close[t + horizon] / open[t + 1]): what who decides at the close of t can still have."""
    out = np.full(len(bars), np.nan)
    if len(bars) > horizon:
        out[:-horizon] = np.log(bars.close[horizon:] / bars.open[1 : len(bars) - horizon + 1])
    return out
