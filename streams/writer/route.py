"""Which row goes to which partition, and under which symbol code there. Pure; vectorised.

Invariants: rows keep their order within a partition; a symbol keeps its code in a partition's dictionary
for the life of the router, so that the dictionary only grows at its end.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from schemas.errors import TickError
from schemas.ticks import Array, Ticks, is_symbol
from streams.clients import partition_of

_CACHED_TUPLES = 64


class Router:
    """Maps the symbols of any :class:`Ticks` to partitions and to each partition's own dictionary.

    Attributes
    ----------
    dictionaries
        By partition, its symbols in order of first appearance.
    """

    def __init__(self, partitions: int) -> None:
        self.dictionaries: list[list[str]] = [[] for _ in range(partitions)]
        self._codes: dict[str, tuple[int, int]] = {}
        self._lookups: dict[tuple[str, ...], tuple[Array, Array]] = {}

    def split(self, ticks: Ticks) -> Iterator[tuple[int, Array, Array | slice]]:
        """The partitions that ticks touch, in ascending order.

        Yields
        ------
        partition
            The partition's number.
        codes : int32[m]
            Codes of its rows in ``dictionaries[partition]``.
        rows : int64[m] or slice
            Which rows of ``ticks``, ascending; a slice when they are all of them.

        Raises
        ------
        TickError
            Before the first is yielded, when a symbol code or a symbol is no good.
        """
        symbol = ticks.columns["symbol"]
        if len(symbol) == 0:
            return
        low, high = int(symbol.min()), int(symbol.max())
        if low < 0 or high >= len(ticks.symbols):
            raise TickError(
                f"symbol code {low if low < 0 else high} lies outside the {len(ticks.symbols)} symbols"
            )
        partition_by_symbol, code_by_symbol = self._lookup(ticks.symbols)
        codes = code_by_symbol[symbol]
        first = int(partition_by_symbol[symbol[0]])
        if low == high or (partition_by_symbol == first).all():
            yield first, codes, slice(None)
            return
        partitions = partition_by_symbol[symbol]
        order = np.argsort(partitions, kind="stable")  # a radix sort on int16
        counts = np.bincount(partitions, minlength=len(self.dictionaries))
        end = 0
        for partition in np.flatnonzero(counts):
            start, end = end, end + int(counts[partition])
            rows = order[start:end]
            yield int(partition), codes[rows], rows

    def _lookup(self, symbols: tuple[str, ...]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int32]]:
        known = self._lookups.get(symbols)
        if known is None:
            for symbol in symbols:
                if symbol not in self._codes and not is_symbol(symbol):
                    raise TickError(
                        f"symbol {symbol[:80]!r} must be 1 to 64 printable characters"
                    )  # a reader would refuse the whole frame for it
            places = [self._place(symbol) for symbol in symbols]
            known = (
                np.array([partition for partition, _ in places], np.int16),
                np.array([code for _, code in places], np.int32),
            )
            if len(self._lookups) >= _CACHED_TUPLES:
                self._lookups.clear()
            self._lookups[symbols] = known
        return known

    def _place(self, symbol: str) -> tuple[int, int]:
        place = self._codes.get(symbol)
        if place is None:
            partition = partition_of(symbol, len(self.dictionaries))
            dictionary = self.dictionaries[partition]
            place = self._codes[symbol] = (partition, len(dictionary))
            dictionary.append(symbol)
        return place
