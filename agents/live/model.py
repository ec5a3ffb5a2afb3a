"""The promoted model on the bars of a partition: the last bars of each symbol, and what it says of them.

Pure but for opening a model: what it says is a function of the bars, of the promotions between them and of
the models' files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents.live.library import Library
from agents.models.bars import COLUMNS
from agents.models.features import WARM_UP, features_of
from schemas.errors import ModelError
from schemas.promotions import Promotion

if TYPE_CHECKING:
    from agents.models.scoring import Predictor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model says after the last bar of some symbols.

    Attributes
    ----------
    symbol_ids
        int64 (n,).
    probabilities
        float64 (n, 3): sell, hold, buy.
    expected_move_bps
        float64 (n,): mean return over the model's horizon by the probabilities, basis points.
    features
        float32 (n, 8) of the last bar.
    """

    symbol_ids: Ints
    probabilities: Floats
    expected_move_bps: Floats
    features: npt.NDArray[np.float32]


class LiveModel:
    """The model in use, if any, and the bars that it needs.

    Parameters
    ----------
    library
        Opens models; None scores nothing and takes no notice of promotions.
    windows_ns
        Lengths of the bars that there are.
    window_ms
        Length of those that are scored; 0 for what the model's card names.

    Attributes
    ----------
    promotion
        What is in use; None before the first promotion.
    window_ns
        Length of the bars that are scored; 0 without a model.
    """

    def __init__(self, library: Library | None, windows_ns: tuple[int, ...], window_ms: int = 0) -> None:
        self._library, self._windows_ns, self._window_ms = library, windows_ns, window_ms
        self.promotion: Promotion | None = None
        self.window_ns = 0
        self._predictor: Predictor | None = None
        self._bars = np.zeros((0, len(COLUMNS), 0))
        self._seen = np.zeros(0, np.int64)

    @property
    def is_scoring(self) -> bool:
        """Whether there is a model."""
        return self._predictor is not None

    @property
    def name(self) -> str:
        """What signals call the model."""
        return "none" if self.promotion is None else f"lstm/{self.promotion.version}"

    def promote(self, promotion: Promotion) -> None:
        """Use this model from the next bar on. Bars seen so far stay where they are of use to it.

        Raises
        ------
        ModelError
            When it cannot be used; nothing has changed then.
        """
        if self._library is None:
            return
        predictor = self._library.open(promotion)
        window_ns = bar_window_ns(predictor, self._windows_ns, self._window_ms)
        kept = np.zeros((len(self._seen), len(COLUMNS), predictor.least_bars))
        if window_ns == self.window_ns:
            n = min(self._bars.shape[2], predictor.least_bars)
            kept[:, :, predictor.least_bars - n :] = self._bars[:, :, self._bars.shape[2] - n :]
            self._seen = np.minimum(self._seen, n)
        else:
            self._seen = np.zeros_like(self._seen)
        self._bars, self._predictor = kept, predictor
        self.promotion, self.window_ns = promotion, window_ns

    def take(self, symbol_ids: Ints, ohlcv: Floats) -> Scores | None:
        """Take bars of one close in, and score all symbols that have enough of them, in one batch.

        Parameters
        ----------
        symbol_ids
            int64 (n,), each once.
        ohlcv
            float64 (5, n).

        Returns
        -------
        Scores or None
            None when no symbol has enough bars yet.
        """
        if self._predictor is None:
            return None
        self._make_room(int(symbol_ids.max()) + 1)
        bars = self._bars[symbol_ids]
        bars[:, :, :-1] = bars[:, :, 1:]
        bars[:, :, -1] = ohlcv.T
        self._bars[symbol_ids] = bars
        least = bars.shape[2]
        self._seen[symbol_ids] = np.minimum(self._seen[symbol_ids] + 1, least)
        warm = self._seen[symbol_ids] == least
        if not warm.any():
            return None
        columns = bars[warm].transpose(1, 0, 2)
        table = features_of(*(np.ascontiguousarray(column) for column in columns))[:, WARM_UP:]
        found = self._predictor.of_features(table)
        return Scores(symbol_ids[warm], found, self._predictor.expected_move_bps(found), table[:, -1])

    def _make_room(self, n_symbols: int) -> None:
        have = len(self._seen)
        if n_symbols > have:
            more = max(64, 2 * n_symbols) - have
            self._bars = np.concatenate([self._bars, np.zeros((more, *self._bars.shape[1:]))])
            self._seen = np.concatenate([self._seen, np.zeros(more, np.int64)])

    def pack(self, n_symbols: int) -> tuple[dict[str, Any] | None, list[bytes]]:
        """Facts and arrays for :meth:`unpack`; no facts without a model."""
        if self.promotion is None:
            return None, []
        self._make_room(n_symbols)
        facts = {**self.promotion.as_dict(), "window_ns": self.window_ns, "bars": self._bars.shape[2]}
        return facts, [self._seen[:n_symbols].tobytes(), self._bars[:n_symbols].tobytes()]

    def unpack(self, facts: dict[str, Any] | None, blobs: list[bytes], n_symbols: int) -> None:
        """Go on from a checkpoint; bars of another length than is scored now are dropped.

        Raises
        ------
        ModelError
            When the model cannot be used any more; there is none in use then.
        """
        if facts is None or self._library is None:
            return
        self.window_ns = int(facts["window_ns"])
        self._seen = np.frombuffer(blobs[0], np.int64, n_symbols).copy()
        shape = (n_symbols, len(COLUMNS), int(facts["bars"]))
        self._bars = np.frombuffer(blobs[1], np.float64).reshape(shape).copy()
        try:
            self.promote(Promotion.from_dict(facts))
        except ModelError:
            self.window_ns = 0
            self._bars, self._seen = np.zeros((0, len(COLUMNS), 0)), np.zeros(0, np.int64)
            raise


def bar_window_ns(predictor: Predictor, windows_ns: tuple[int, ...], window_ms: int) -> int:
    """Length of the bars that a model scores: the setting, else what its card names.

    Raises
    ------
    ModelError
        When there are no such bars.
    """
    wanted_ms = window_ms or predictor.model.bar_ms
    have = ", ".join(f"{window // MS} ms" for window in windows_ns)
    if wanted_ms is None:
        raise ModelError(
            f"models.{predictor.version}.bar_ms",
            "does not say of which length its bars were",
            f"set TAPESTREAM_MODEL_WINDOW_MS to one of the windows ({have})",
        )
    if wanted_ms * MS not in windows_ns:
        raise ModelError(
            f"models.{predictor.version}.bar_ms",
            f"it scores bars of {wanted_ms} ms, there are windows of {have}",
            f"add {wanted_ms} to TAPESTREAM_WINDOWS_MS, or set TAPESTREAM_MODEL_WINDOW_MS",
        )
    return wanted_ms * MS
