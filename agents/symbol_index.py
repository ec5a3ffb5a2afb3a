"""Symbols of a partition as dense ids, in order of first appearance on its log."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class SymbolIndex:
    """Maps a frame's dictionary to the partition's ids; the same dictionary costs one look-up."""

    def __init__(self, names: list[str] | None = None) -> None:
        self.names: list[str] = list(names or ())
        self._ids = {name: i for i, name in enumerate(self.names)}
        # By identity, not by value: decoding returns the same tuple for the same dictionary, and hashing
        # a thousand names a frame would cost as much as reading them.
        self._known: dict[int, tuple[tuple[str, ...], npt.NDArray[np.int32], bool]] = {}

    def __len__(self) -> int:
        return len(self.names)

    def ids_of(self, symbols: tuple[str, ...], codes: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The id of every row; symbols seen for the first time get the next ids, in order of their rows.

        A dictionary may name symbols that no row uses: those get none.
        """
        known = self._known.get(id(symbols))
        if known is None or known[0] is not symbols:
            lookup = np.array([self._ids.get(symbol, -1) for symbol in symbols], np.int32)
            if len(self._known) >= 256:
                self._known.clear()
            known = self._known[id(symbols)] = (symbols, lookup, bool((lookup < 0).any()))
        ids = known[1].take(codes)
        if known[2] and len(ids) and ids.min() < 0:
            fresh = codes[ids < 0]
            first = np.unique(fresh, return_index=True)[1]
            for code in fresh[np.sort(first)]:
                self._add(symbols[int(code)])
            self._known.clear()
            return self.ids_of(symbols, codes)
        return ids

    def _add(self, symbol: str) -> None:
        if symbol not in self._ids:
            self._ids[symbol] = len(self.names)
            self.names.append(symbol)
