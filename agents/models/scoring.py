"""`neural_analysis` and `batch_prediction`: a request in, probabilities out, 1,000 symbols in one call.

A request names its bars in one of two ways, and may name a model::

    {"bars": {"AAPL": {"open": […], "high": […], "low": […], "close": […], "volume": […], "ts_ns": […]}, …}}
    {"path": "bars.parquet", "symbols": ["AAPL"]}         # under the data folder
    {…, "model": "v0003"}                                 # else the promoted one, which "LSTM" means too

Pure but for reading the files that the request names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.dense.device import Precision
from agents.dense.start import require
from agents.models.bars import COLUMNS, Bars, Floats
from agents.models.evaluation import Model
from agents.models.features import WARM_UP, features, features_of
from agents.models.given_bars import given_bars, require_length
from agents.models.metrics import BPS
from agents.models.network import Scorer, softmax
from agents.models.registry import Registry
from agents.models.samples import CLASSES, HOLD
from schemas.errors import ModelError

_KNOWN = {"bars", "path", "symbols", "window_ms", "model", "history"}
MAX_HISTORY = 10_000


class Predictor:
    """One model, ready; make it once and keep it.

    Parameters
    ----------
    version
        Goes into every answer.
    device
        ``cpu`` or ``cuda:N``.
    exactness, graph
        As of :class:`agents.models.network.Scorer`.

    Raises
    ------
    SettingsError
        When the device cannot be used.
    """

    def __init__(
        self,
        version: str,
        model: Model,
        device: str = "cpu",
        exactness: Precision = "float32",
        graph: bool = False,
    ) -> None:
        require(device)
        self.version, self.model = version, model
        self._scorer = Scorer(model.network, device, exactness, graph)

    @property
    def least_bars(self) -> int:
        """A symbol needs as many."""
        return WARM_UP + self.model.window

    def last(self, series: Sequence[Bars]) -> Floats:
        """Probabilities after the last bar of each symbol: float64 (symbols, 3)."""
        recent = [bars.tail(self.least_bars) for bars in series]
        table = features_of(*(np.stack([getattr(bars, name) for bars in recent]) for name in COLUMNS))
        return self.of_features(table[:, WARM_UP:])

    def of_features(self, windows: npt.NDArray[np.float32]) -> Floats:
        """Probabilities after windows of features, float32 (symbols, window, 8): float64 (symbols, 3)."""
        return self._probabilities(np.ascontiguousarray(windows))

    def history(self, bars: Bars, n: int) -> Floats:
        """Probabilities after each of the last ``n`` bars, fewer where there are not as many: (n, 3)."""
        n = min(n, len(bars) - self.least_bars + 1)
        table = features(bars.tail(self.least_bars + n - 1))[WARM_UP:]
        windows = np.lib.stride_tricks.sliding_window_view(table, self.model.window, axis=0)
        return self._probabilities(np.ascontiguousarray(windows[-n:].transpose(0, 2, 1)))

    def expected_move_bps(self, probabilities: Floats) -> Floats:
        """Mean forward return by the probabilities, in basis points: float64 (n,)."""
        # no product of a matrix, whose bits depend on how many rows there are
        moves: Floats = (probabilities * self.model.mean_returns).sum(axis=1) * BPS
        return moves

    def _probabilities(self, windows: npt.NDArray[np.float32]) -> Floats:
        return softmax(self._scorer.logits(self.model.scaler(windows)))


def batch_prediction(
    request: Mapping[str, Any], data_dir: Path, device: str = "cpu", predictor: Predictor | None = None
) -> dict[str, Any]:
    """Score the last bar of every symbol; the answer is columns.

    Parameters
    ----------
    predictor
        Used where the request names no model or this one; made from the data folder when absent.

    Raises
    ------
    ModelError
        Whose ``field`` is the path in the request.
    """
    return score_last(*_given(request, data_dir, device, predictor))


def score_last(predictor: Predictor, series: Sequence[Bars]) -> dict[str, Any]:
    """The answer of :func:`batch_prediction` for bars that are long enough."""
    found = predictor.last(series)
    return {
        **about(predictor),
        "symbols": [bars.symbol for bars in series],
        "ts_ns": [int(bars.ts_ns[-1]) for bars in series],
        "probabilities": {name: found[:, k].tolist() for k, name in enumerate(CLASSES)},
        "side": [CLASSES[k] for k in found.argmax(axis=1)],
        "expected_move_bps": predictor.expected_move_bps(found).tolist(),
    }


def neural_analysis(
    request: Mapping[str, Any], data_dir: Path, device: str = "cpu", predictor: Predictor | None = None
) -> dict[str, Any]:
    """Look at each symbol more closely: its last bar, and the ``history`` bars before (20 when not said).

    Raises
    ------
    ModelError
        Whose ``field`` is the path in the request.
    """
    n = request.get("history", 20)
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MAX_HISTORY:
        raise ModelError("history", f"must be a number of bars, was {n!r}", f"1 to {MAX_HISTORY}")
    predictor, series = _given(request, data_dir, device, predictor)
    return {**about(predictor), "symbols": {bars.symbol: look_closely(predictor, bars, n) for bars in series}}


def look_closely(predictor: Predictor, bars: Bars, n: int) -> dict[str, Any]:
    """What :func:`neural_analysis` says of one symbol, whose bars are long enough."""
    found = predictor.history(bars, n)
    last = found[-1]
    moves = predictor.expected_move_bps(found)
    return {
        "ts_ns": int(bars.ts_ns[-1]),
        "close": float(bars.close[-1]),
        "probabilities": dict(zip(CLASSES, last.tolist(), strict=True)),
        "side": CLASSES[int(last.argmax())],
        "strength": float(last[HOLD + 1] - last[HOLD - 1]),
        "expected_move_bps": float(moves[-1]),
        "history": {
            "ts_ns": bars.ts_ns[-len(found) :].tolist(),
            "probabilities": {name: found[:, k].tolist() for k, name in enumerate(CLASSES)},
            "expected_move_bps": moves.tolist(),
        },
    }


def about(predictor: Predictor) -> dict[str, Any]:
    """The model's part of every answer."""
    model = predictor.model
    return {"model": predictor.version, "horizon_bars": model.horizon, "band_bps": model.band * BPS}


def _given(
    request: Mapping[str, Any], data_dir: Path, device: str, predictor: Predictor | None
) -> tuple[Predictor, list[Bars]]:
    unknown = sorted(set(request) - _KNOWN)
    if unknown:
        raise ModelError(unknown[0], "is no field of this task", f"fields: {', '.join(sorted(_KNOWN))}")
    version = request.get("model")
    if version is not None and not isinstance(version, str):
        raise ModelError("model", "must be a text", "name a version like v0001, or leave it out")
    if predictor is None or version not in (None, predictor.version):
        predictor = Predictor(*Registry(data_dir).load(version), device)
    series = given_bars(request, data_dir, predictor.model.bar_ms)
    require_length(series, predictor.least_bars, "bars" if "bars" in request else "path")
    return predictor, series
