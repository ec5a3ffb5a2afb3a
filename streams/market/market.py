"""The simulated market: blocks of ticks of many symbols, in order, the same for the same configuration."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.ticks import COLUMNS, Sequences, Ticks, concat_ticks
from streams.market.config import MarketConfig, MarketTruth
from streams.market.faults import FaultInjector
from streams.market.kernel import advance, heapify
from streams.market.parameters import draw_symbols, kernel_parameters, opening_state, symbol_names, tables

_CHUNK = 65_536
_FOREVER_NS = 1 << 60


class SimulatedMarket:
    """A market of a configuration, generated as it is asked for.

    Ticks come in event time; at one instant trades come before quotes. However the stream is cut into
    blocks, their concatenation is the same.
    """

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self.symbols = symbol_names(config.symbols)
        self.generated = 0
        """Ticks made so far, before faults."""
        self._truths = draw_symbols(config)
        self._parameters = kernel_parameters(self._truths)
        self._state = opening_state(config, self._truths)
        self._keys = 2 * self._state["quote_ns"] + 1
        self._who = np.arange(config.symbols, dtype=np.int32)
        heapify(self._keys, self._who)
        self._tables = tables()
        self._faults = FaultInjector(config.faults)

    @property
    def truth(self) -> MarketTruth:
        """What is planted in the market, with the faults planted so far."""
        return MarketTruth(self.config, self._truths, tuple(self._faults.planted))

    @property
    def next_ns(self) -> int:
        """Event time of the next tick, before faults."""
        return self.config.start_ns + int(self._keys[0] >> 1)

    def block(self, *, n_ticks: int | None = None, until_ns: int | None = None) -> Ticks:
        """The next ticks.

        Parameters
        ----------
        n_ticks
            How many to make at most; faults then take some away and add some.
        until_ns
            Event time that they stay below.

        Raises
        ------
        ValueError
            When neither is given: the market has no end.
        """
        if n_ticks is None and until_ns is None:
            raise ValueError("block() needs n_ticks or until_ns")
        end_ns = _FOREVER_NS if until_ns is None else until_ns - self.config.start_ns
        left = n_ticks
        parts = []
        while True:
            room = _CHUNK if left is None else min(_CHUNK, left)
            part = self._advance(room, end_ns)
            parts.append(part)
            if left is not None:
                left -= len(part)
            if len(part) < room or left == 0:
                break
        self.generated += sum(map(len, parts))
        return self._faults.apply(concat_ticks(parts))

    def finish(self) -> Ticks | None:
        """Ticks that faults still hold back; None when there are none. Call it once, after the last block."""
        return self._faults.finish()

    def _advance(self, room: int, end_ns: int) -> Ticks:
        columns: dict[str, Any] = {name: np.zeros(room, dtype) for name, dtype in COLUMNS.items()}
        config = self.config
        n = advance(
            room,
            end_ns,
            config.start_ns,
            config.u_shape,
            config.hide_aggressor,
            self._state,
            self._parameters,
            self._keys,
            self._who,
            *self._tables,
            **columns,
        )
        if n < room:
            columns = {name: column[:n].copy() for name, column in columns.items()}
        return Ticks(self.symbols, columns, Sequences(dense_quotes=True, dense_trades=True))
