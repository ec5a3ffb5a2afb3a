"""The wanted bars among the messages of one partition of ``market.bars``. Pure.

A frame has the bars of its partition's symbols that closed together, and closes rise along a partition. So
the messages are given backwards, a block at a time, until nothing that lies before is wanted; what is kept
is the wanted bars alone. A bar that is there twice counts once, as it was written last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import FrameError
from schemas.features import BAR_PRICES
from schemas.ipc import read_batch
from schemas.ticks import PRICE_SCALE

Columns = Mapping[str, npt.NDArray[Any]]

_COPIED = ("close_ns", *BAR_PRICES, "volume")
_ROW = np.dtype(
    [("place", np.int64), ("offset", np.int64)]
    + [(name, np.float64 if name == "volume" else np.int64) for name in _COPIED]
)
_STRANGERS = 4


@dataclass(frozen=True, slots=True)
class BarRange:
    """Which bars of each symbol: of one window length, ``from_ns <= close <= to_ns``, the last so many.

    Either ``last`` or ``from_ns`` is given.
    """

    window_ns: int
    last: int | None = None
    from_ns: int | None = None
    to_ns: int | None = None


class BarShelf:
    """Collects the bars of some symbols.

    Attributes
    ----------
    other_windows_ns
        Lengths of bars of these symbols that are not of the wanted one.
    strangers
        A few symbols that are there and not wanted.
    """

    def __init__(self, symbols: Sequence[str], wanted: BarRange) -> None:
        self.symbols, self.wanted = symbols, wanted
        self.other_windows_ns: set[int] = set()
        self.strangers: set[str] = set()
        self._places = {symbol: place for place, symbol in enumerate(symbols)}
        self._rows = np.empty(0, _ROW)
        self._block: list[npt.NDArray[Any]] = []
        self._newest_ns: int | None = None

    def take(self, payload: bytes, offset: int) -> None:
        """Look through one message.

        Raises
        ------
        FrameError
            When it is no frame of bars.
        """
        batch = read_batch(payload)
        try:
            symbols, window_ns = batch.column("symbol"), batch.column("window_ns").to_numpy()
            columns = {name: batch.column(name).to_numpy() for name in _COPIED}
            names = symbols.dictionary.to_pylist()
        except (KeyError, AttributeError) as exc:
            raise FrameError(f"no frame of bars: {exc}", "read a topic of bars") from exc
        places = np.array([self._places.get(name, -1) for name in names], np.int64)
        places = places[symbols.indices.to_numpy()]
        self._note(names, window_ns[places >= 0])
        chosen = window_ns == self.wanted.window_ns
        if chosen.any():
            self._newest_ns = max(self._newest_ns or 0, int(columns["close_ns"][chosen].max()))
        chosen &= (places >= 0) & self._in_time(columns["close_ns"])
        rows = np.empty(int(chosen.sum()), _ROW)
        rows["place"], rows["offset"] = places[chosen], offset
        for name in _COPIED:
            rows[name] = columns[name][chosen]
        self._block.append(rows)

    def _note(self, names: Sequence[str], window_ns: npt.NDArray[np.int64]) -> None:
        self.other_windows_ns.update(set(window_ns.tolist()) - {self.wanted.window_ns})
        if len(self.strangers) < _STRANGERS:
            self.strangers.update(name for name in names[:_STRANGERS] if name not in self._places)

    def _in_time(self, close_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        inside = np.ones(len(close_ns), bool)
        if self.wanted.from_ns is not None:
            inside &= close_ns >= self.wanted.from_ns
        if self.wanted.to_ns is not None:
            inside &= close_ns <= self.wanted.to_ns
        return inside

    def settle(self) -> bool:
        """A block is through: sort its bars in.

        Returns
        -------
        bool
            Whether an earlier block may have more that is wanted.
        """
        wanted, newest_ns = self.wanted, self._newest_ns
        rows = np.concatenate((self._rows, *self._block))
        rows = rows[np.lexsort((rows["offset"], rows["close_ns"], rows["place"]))]
        same = (rows["place"][1:] == rows["place"][:-1]) & (rows["close_ns"][1:] == rows["close_ns"][:-1])
        rows = rows[np.append(~same, True)[: len(rows)]]
        counts = np.bincount(rows["place"], minlength=len(self.symbols))
        if wanted.last is not None:
            from_the_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(rows))
            rows = rows[from_the_end <= wanted.last]
        self._rows, self._block, self._newest_ns = rows, [], None
        if wanted.from_ns is not None and newest_ns is not None and newest_ns < wanted.from_ns:
            return False
        return wanted.last is None or int(counts.min()) < wanted.last

    @property
    def share(self) -> float:
        """How much of the number that is wanted is there, 0 to 1; 0 where none was given."""
        return len(self._rows) / (self.wanted.last * len(self.symbols)) if self.wanted.last else 0.0

    def bars(self) -> dict[str, Columns]:
        """Of the settled blocks, by symbol that has any, oldest first.

        Returns
        -------
        dict
            ``ts_ns`` (int64, of the close), ``open high low close`` and ``volume`` (float64).
        """
        found: dict[str, Columns] = {}
        bounds = np.searchsorted(self._rows["place"], np.arange(len(self.symbols) + 1)).tolist()
        for place, symbol in enumerate(self.symbols):
            rows = self._rows[bounds[place] : bounds[place + 1]]
            if len(rows):
                prices = {name.removesuffix("_px"): rows[name] / PRICE_SCALE for name in BAR_PRICES}
                found[symbol] = {"ts_ns": rows["close_ns"].copy(), **prices, "volume": rows["volume"].copy()}
        return found
