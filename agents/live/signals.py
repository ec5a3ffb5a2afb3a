"""Signals of kind ``lstm``: what the promoted model expects of each closing bar, against its cost."""

from __future__ import annotations

import numpy as np

from agents.kernels.expected_move import take_sides
from agents.live.model import LiveModel, Scores
from agents.models.features import FEATURES
from agents.models.samples import CLASSES
from agents.rows import BarTable, FeatureTable
from agents.signal_emission import MS, Emission, emit_signal
from agents.signals import Decision, FeatureRows, Floats, Sides, SignalSpec
from agents.signals.order_flow import ENTER, LEAVE
from schemas.ticks import PRICE_SCALE

KIND = "lstm"
_SHOWN = (*FEATURES, "mid", "spread")


def emit_model_signals(model: LiveModel, bars: BarTable, table: FeatureTable, emission: Emission) -> int:
    """Score the bars that closed, a batch a close; write a message for each change of side.

    Returns
    -------
    int
        How many signals were written.
    """
    if not model.is_scoring:
        return 0
    books = {rows.close_ns: rows for rows in table.groups(model.window_ns)}
    written = 0
    for rows, close_ns in bars.groups(model.window_ns):
        scores = model.take(bars.symbol_ids[rows], _ohlcv(bars, rows))
        if scores is not None:
            written += _emit(model, scores, books.get(close_ns), close_ns, emission)
    return written


def _ohlcv(bars: BarTable, rows: slice) -> Floats:
    """float64 (5, rows), prices in units of the quote currency."""
    prices = [bars[f"{name}_px"][rows] / PRICE_SCALE for name in ("open", "high", "low", "close")]
    return np.stack([*prices, bars["volume"][rows]])


def _emit(
    model: LiveModel, scores: Scores, book: FeatureRows | None, close_ns: int, emission: Emission
) -> int:
    columns = dict(zip(FEATURES, scores.features.T.astype(np.float64), strict=True))
    for name in ("mid", "spread"):
        of_symbol = np.full(len(emission.symbols), np.nan)
        if book is not None:
            of_symbol[book.symbol_ids] = book[name]
        columns[name] = of_symbol[scores.symbol_ids]

    def decide(rows: FeatureRows, sides: Sides, fee_bps: float) -> Decision:
        """The rules of the order-flow signal, but that nothing tells how sure the sign is."""
        side, strength, cost = take_sides(
            scores.expected_move_bps,
            rows["spread"],
            rows["mid"],
            np.zeros(len(rows)),
            sides,
            fee_bps=fee_bps,
            enter=ENTER,
            leave=LEAVE,
            least_t=0.0,
        )
        return Decision(side, strength, scores.expected_move_bps, cost)

    spec = SignalSpec(KIND, decide, _SHOWN, model.name, model.window_ns // MS)
    rows = FeatureRows(scores.symbol_ids, model.window_ns, close_ns, columns)
    probabilities = [dict(zip(CLASSES, row, strict=True)) for row in scores.probabilities.tolist()]
    return emit_signal(spec, rows, emission, {"probabilities": probabilities})
