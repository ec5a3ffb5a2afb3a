"""Indicators bar by bar, for many symbols, with a state that can be kept as bytes.

The bits are those of :func:`agents.indicators.compute` over the same bars, wherever they are cut.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.indicators import bars as bar_columns
from agents.indicators.requests import parse_all
from agents.kernels.indicators import blocks
from schemas.codec import dumps, loads
from schemas.errors import CheckpointError, FrameError, ParameterError

Floats = npt.NDArray[np.float64]

LAYOUT = 1
_HEAD = struct.Struct("<QI")


class LiveIndicators:
    """Takes bars as they close and gives each bar's row of values.

    Parameters
    ----------
    names
        As :func:`agents.indicators.compute` takes them.

    Attributes
    ----------
    columns : tuple of str
        Names of the values, in order.
    inputs : tuple of str
        Columns that a bar must have.
    symbols : list of str
        Those seen so far, in order of their first bar.
    """

    def __init__(self, names: str | Iterable[str]) -> None:
        self._requests = parse_all(names)
        self.columns = tuple(name for request in self._requests for name in request.columns)
        wanted = {name for request in self._requests for name in request.row.inputs}
        self.inputs = tuple(name for name in bar_columns.COLUMNS if name in wanted)
        self.symbols: list[str] = []
        self._rows: dict[str, int] = {}
        self._states = [np.zeros((0, size)) for size in self._sizes()]

    def update(self, symbols: Sequence[str], bars: Mapping[str, Any]) -> Floats:
        """Take closed bars, in order of time; a symbol may come more than once.

        Parameters
        ----------
        symbols
            One a bar.
        bars
            Arrays of at least :attr:`inputs`, a value a bar; ``close_px`` and the like in 1e-9 will do.

        Returns
        -------
        numpy.ndarray
            float64 (bars, columns), NaN while an indicator is not warm.

        Raises
        ------
        BarsError
            When a bar lacks a column or cannot be (NaN, high below low). No state has changed then.
        """
        if len(symbols) == 0:
            return np.empty((0, len(self.columns)))
        columns = self._checked(symbols, bars)
        rows = self._rows_of(symbols)
        out = np.empty((len(self.columns), len(rows)))
        begins = np.arange(len(rows), dtype=np.int64)
        at = 0
        for request, state in zip(self._requests, self._states, strict=True):
            width = len(request.row.outputs)
            wanted = tuple(columns[name] for name in request.row.inputs)
            into = out[at : at + width]
            blocks.proceed(request.row, request.parameters, state, rows, begins, begins + 1, wanted, into)
            at += width
        return np.ascontiguousarray(out.T)

    def to_bytes(self) -> bytes:
        """The state, for :meth:`from_bytes`."""
        n = len(self.symbols)
        facts = {
            "layout": LAYOUT,
            "names": [request.text for request in self._requests],
            "words": self._sizes(),
            "symbols": self.symbols,
        }
        head = dumps(facts)
        body = b"".join((head, *(state[:n].tobytes() for state in self._states)))
        return _HEAD.pack(len(head), zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, data: bytes) -> LiveIndicators:
        """Go on from a state.

        Raises
        ------
        CheckpointError
            When the bytes are damaged or of another layout.
        """
        remedy = "compute the bars before it anew"
        try:
            length, checksum = _HEAD.unpack_from(data)
            body = memoryview(data)[_HEAD.size :]
            if zlib.crc32(body) != checksum:
                raise CheckpointError("the indicators' state is damaged", remedy)
            facts = loads(bytes(body[:length]))
            if facts["layout"] != LAYOUT:
                raise CheckpointError(
                    f"the indicators' state has layout {facts['layout']}, not {LAYOUT}", remedy
                )
            live = cls(facts["names"])
            if facts["words"] != live._sizes():
                raise CheckpointError("the indicators' state is of other indicators", remedy)
            live._restore(facts["symbols"], body[length:])
        except (struct.error, FrameError, ParameterError, KeyError, TypeError, ValueError) as exc:
            raise CheckpointError(f"the indicators' state cannot be read: {exc}", remedy) from exc
        return live

    def adopt(self, data: bytes) -> None:
        """Take over what :meth:`to_bytes` of others wrote, for each indicator that they have too.

        Those that they do not have begin with the next bar.

        Raises
        ------
        CheckpointError
            When the bytes are damaged or of another layout.
        """
        others = LiveIndicators.from_bytes(data)
        theirs = {
            (r.row.name, r.parameters): s for r, s in zip(others._requests, others._states, strict=True)
        }
        self._rows_of(others.symbols)
        n = len(others.symbols)
        for request, state in zip(self._requests, self._states, strict=True):
            found = theirs.get((request.row.name, request.parameters))
            if found is not None:
                state[:n] = found[:n]

    def _sizes(self) -> list[int]:
        return [blocks.words(request.row, request.parameters) for request in self._requests]

    def _restore(self, symbols: list[str], body: memoryview) -> None:
        self._rows_of(symbols)
        n, at = len(symbols), 0
        for state in self._states:
            values = np.frombuffer(body, np.float64, n * state.shape[1], at)
            state[:n] = values.reshape(n, state.shape[1])
            at += values.nbytes

    def _checked(self, symbols: Sequence[str], bars: Mapping[str, Any]) -> dict[str, Floats]:
        read = bar_columns.one_each(symbols, bars)
        return dict(zip(self.inputs, read.columns(self.inputs), strict=True))

    def _rows_of(self, symbols: Sequence[str]) -> npt.NDArray[np.int64]:
        """Records of symbols; new ones get one."""
        for symbol in symbols:
            if symbol not in self._rows:
                self._rows[symbol] = len(self.symbols)
                self.symbols.append(symbol)
        have, need = len(self._states[0]) if self._states else 0, len(self.symbols)
        if need > have:
            more = max(need, 2 * have, 16) - have
            self._states = [np.vstack((state, np.zeros((more, state.shape[1])))) for state in self._states]
        return np.array([self._rows[symbol] for symbol in symbols], np.int64)
