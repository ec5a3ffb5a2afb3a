"""Technical indicators on the bars of a partition, as rows of ``market.indicators``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agents.indicators import LiveIndicators
from agents.rows import BarTable
from schemas.features import BAR_PRICES, BAR_VALUES, RowEncoder, indicator_schema


class IndicatorRows:
    """The indicators of each window length, each with a state of its own.

    Parameters
    ----------
    names
        Such as ``rsi(14)``; none computes nothing.
    """

    def __init__(self, names: tuple[str, ...], windows_ns: tuple[int, ...]) -> None:
        self._live = {window_ns: LiveIndicators(names) for window_ns in windows_ns} if names else {}
        columns = next(iter(self._live.values())).columns if names else ()
        self._encoder = RowEncoder(indicator_schema(columns))

    def frames(self, bars: BarTable, symbols: list[str]) -> Iterator[bytes]:
        """Take bars in, in the order in which they closed; frames with a row for each of them."""
        if not self._live or not len(bars):
            return
        values = None
        lengths = bars.lengths_ns
        for window_ns, live in self._live.items():
            rows = np.flatnonzero(lengths == window_ns)
            if not len(rows):
                continue
            found = live.update([symbols[i] for i in bars.symbol_ids[rows].tolist()], _columns(bars, rows))
            if values is None:
                values = np.empty((found.shape[1], len(bars)))
            values[:, rows] = found.T
        assert values is not None
        yield from self._encoder.encode(symbols, bars.symbol_ids, lengths, bars.times, values)

    def pack(self) -> dict[str, bytes]:
        """The states by window length."""
        return {str(window_ns): live.to_bytes() for window_ns, live in self._live.items()}

    def unpack(self, states: dict[str, bytes]) -> None:
        """Go on from a checkpoint: an indicator that it does not have begins with the next bar.

        Raises
        ------
        CheckpointError
            When a state is damaged.
        """
        for window_ns, live in self._live.items():
            if str(window_ns) in states:
                live.adopt(states[str(window_ns)])


def _columns(bars: BarTable, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Bars as they are on ``market.bars``, so that the bits are those of who reads them there."""
    return {name: bars[name][rows] for name in (*BAR_PRICES, BAR_VALUES[0])}
