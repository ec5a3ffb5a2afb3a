"""Samples to learn from, and walk-forward splits of them that do not look ahead. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.models.bars import Bars, Floats
from agents.models.features import WARM_UP, features, forward_return, tradable_return
from schemas.errors import ModelError

Rows = npt.NDArray[np.int64]
CLASSES = ("sell", "hold", "buy")
SELL, HOLD, BUY = range(3)


@dataclass(frozen=True, slots=True)
class Samples:
    """Windows of bars and what came after them; sorted by time, then by symbol.

    Attributes
    ----------
    table
        float32 (bars of all symbols, features); a sample's window is the ``window`` rows up to ``end``.
    end
        int64 (n,), row of ``table`` of the last bar that a sample sees.
    ts_ns, until_ns
        int64 (n,): when that bar closed; when the last bar of the horizon did, which the label needs.
    forward, tradable, past
        float64 (n,): log returns over the horizon from the close, over it from the next open, and over the
        horizon before.
    """

    window: int
    horizon: int
    table: npt.NDArray[np.float32]
    end: Rows
    ts_ns: Rows
    until_ns: Rows
    forward: Floats
    tradable: Floats
    past: Floats

    def __len__(self) -> int:
        return len(self.end)

    def windows(self, rows: Rows) -> npt.NDArray[np.float32]:
        """float32 (rows, window, features)."""
        windows: npt.NDArray[np.float32] = self.table[self.end[rows][:, None] + np.arange(1 - self.window, 1)]
        return windows


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers of one step of the walk; every label of a part is known before the next part begins."""

    train: Rows
    validation: Rows
    test: Rows


def make_samples(series: Sequence[Bars], window: int, horizon: int) -> Samples:
    """Every bar that has a whole window before it and a whole horizon after it.

    Raises
    ------
    ModelError
        When no symbol is long enough for one sample.
    """
    least = WARM_UP + window + horizon
    longest = max((len(bars) for bars in series), default=0)
    if longest < least:
        raise ModelError("bars", f"{longest} are too few, {least} are needed", "give a longer history")
    tables, columns, base = [], [], 0
    for bars in series:
        tables.append(features(bars))
        at = np.arange(WARM_UP + window - 1, len(bars) - horizon)
        past = np.log(bars.close[at] / bars.close[at - horizon]) if horizon < WARM_UP + window else at * 0.0
        ahead, real = forward_return(bars, horizon), tradable_return(bars, horizon)
        columns.append((at + base, bars.ts_ns[at], bars.ts_ns[at + horizon], ahead[at], real[at], past))
        base += len(bars)
    joined = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
    order = np.lexsort((joined[0], joined[1]))
    return Samples(window, horizon, np.concatenate(tables), *(column[order] for column in joined))


def walk_forward(samples: Samples, folds: int, validation_share: float = 0.15) -> list[Fold]:
    """Test parts that follow one another in time, each after an expanding training part.

    The times are cut into ``folds + 1`` equal stretches; stretch k is tested by what was fitted on those
    before it. The purge: a sample whose label needs a bar of the next part is in neither part, so at least
    ``horizon`` bars a symbol are left out at every cut.

    Raises
    ------
    ModelError
        When a part would be empty.
    """
    times = np.unique(samples.ts_ns)
    cuts = [times[round(len(times) * k / (folds + 1))] for k in range(1, folds + 1)]
    ends = [*cuts[1:], times[-1] + 1]
    return [_fold(samples, times, cut, end, validation_share) for cut, end in zip(cuts, ends, strict=True)]


def final_split(samples: Samples, validation_share: float = 0.15) -> Fold:
    """All samples for the model that goes out: training and validation, nothing left to test on."""
    times = np.unique(samples.ts_ns)
    beyond = int(samples.until_ns.max()) + 1
    return _fold(samples, times, beyond, beyond, validation_share, tested=False)


def _fold(samples: Samples, times: Rows, cut: int, end: int, share: float, tested: bool = True) -> Fold:
    before = times[times < cut]
    middle = before[min(int(len(before) * (1 - share)), len(before) - 1)] if len(before) else cut
    ts, until = samples.ts_ns, samples.until_ns
    train = np.flatnonzero(until < middle)
    validation = np.flatnonzero((ts >= middle) & (until < cut))
    test = np.flatnonzero((ts >= cut) & (ts < end))
    if not len(train) or not len(validation) or (tested and not len(test)):
        raise ModelError("bars", "too few for these folds", "give a longer history, or fewer folds")
    return Fold(train, validation, test)


def hold_band(forward: Floats, width: float) -> float:
    """Half the hold band: ``width`` standard deviations of the training part's forward returns."""
    return float(width * np.std(forward))


def labels(returns: Floats, band: float) -> Rows:
    """Class of each log return: sell below ``-band``, buy above ``band``, else hold."""
    return (1 + (returns > band).astype(np.int64) - (returns < -band)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Scaler:
    """Mean and standard deviation a feature, float32 (features,); beyond ``clip`` of them is cut."""

    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    clip: float = 8.0

    def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Standardised, same shape."""
        cut: npt.NDArray[np.float32] = np.clip(
            (x - self.mean) / self.scale, np.float32(-self.clip), np.float32(self.clip)
        )
        return cut


def fit_scaler(samples: Samples, train: Rows) -> Scaler:
    """From the last bar of the training samples alone; a constant feature is divided by one."""
    rows = samples.table[samples.end[train]].astype(np.float64)
    spread = rows.std(axis=0)
    spread[spread <= 1e-12] = 1.0
    return Scaler(rows.mean(axis=0).astype(np.float32), spread.astype(np.float32))
