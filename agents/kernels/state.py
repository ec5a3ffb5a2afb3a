"""What a partition carries from frame to frame: plain arrays, a row a symbol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from agents.kernels.addresses import addresses
from agents.kernels.config import KernelConfig
from agents.kernels.scalar import layout as at

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MAGIC = b"TAPEKRN1"


class PartitionState:
    """The state of the ticks seen so far, of which every later result is a function.

    Symbols have dense ids 0 .. n−1 in the order in which :meth:`add_symbols` made room for them.
    Arrays grow by doubling. Each of words and floats that belong together is one memory seen as
    int64 and as float64 (``layout`` says which word is which).

    Parameters
    ----------
    config
        The constants.
    capacity
        Symbols to make room for at first.
    """

    def __init__(self, config: KernelConfig, capacity: int = 64) -> None:
        self.config = config
        windows = len(config.windows_ns)
        self._widths = {
            "record": at.RECORD,
            "waiting": at.SLOTS * at.SLOT,
            "buckets": 2 * config.vpin_buckets,
            "longer": max(1, windows - 1) * at.ACC_SIZE,  # one unused, since a GPU has no empty arrays
            "history": windows * (at.H_HEAD + at.RINGS * config.rolling_windows),
        }
        self._clock = np.zeros(at.P_SIZE, np.int64)
        self._clock[[at.P_WATERMARK, at.P_OPEN, at.P_CLOSE]] = at.ALWAYS
        self._micro: Floats = np.zeros(0)
        self._c, self._k = config.words(), config.numbers()
        self._tables = {name: _aligned(0, width) for name, width in self._widths.items()}
        self._active: Ints = np.zeros((windows, 0), np.int64)
        self._table: Ints | None = None
        self._scratch: Any = None
        self._reserve(max(1, capacity))

    @property
    def n_symbols(self) -> int:
        """Symbols that there is a row for."""
        return int(self._clock[at.P_SYMBOLS])

    @property
    def watermark_ns(self) -> int:
        """Event time up to which windows are closed; int64's least before the first tick."""
        return int(self._clock[at.P_WATERMARK])

    def add_symbols(self, k: int) -> None:
        """Make room for ``k`` more symbols, with the next ``k`` ids."""
        n = self.n_symbols
        self._reserve(n + k)
        fresh = self._tables["record"][n : n + k]
        fresh[:] = 0
        fresh[:, [at.NEXT_DUE, at.BOOK_TS, at.PREV_TS, at.M_LAST, at.M_FIRST]] = at.NEVER
        fresh.view(np.float64)[:, [at.R1, at.R2]] = np.nan
        self._clock[at.P_SYMBOLS] = n + k

    def set_micro_price(self, symbol_id: int, tick_size: int, table: npt.ArrayLike) -> None:
        """Give a symbol its micro-price table; replaces one it has.

        Parameters
        ----------
        symbol_id
            Its row.
        tick_size
            Price step, 1e-9, by which the table counts spreads.
        table : array_like of float64, shape (spreads, imbalances)
            g in units of the quote currency: row s for a spread of s + 1 ticks (the last for wider
            ones), column i for an imbalance B/(B+A) in [i/I, (i+1)/I). See
            :func:`agents.kernels.micro_price.fit_micro_price`.

        Raises
        ------
        ValueError
            For an unknown symbol, a tick size that is not positive, a table that is not two-dimensional.
        """
        values = np.asarray(table, np.float64)
        if not 0 <= symbol_id < self.n_symbols:
            raise ValueError(f"symbol_id must lie in 0..{self.n_symbols - 1}, was {symbol_id}")
        if tick_size <= 0 or values.ndim != 2 or values.size == 0:
            raise ValueError(f"need a positive tick size and a 2-d table, got {tick_size}, {values.shape}")
        record = self._tables["record"][symbol_id]
        entry = np.concatenate([np.array(values.shape, np.float64), values.ravel()])
        start = int(record[at.MICRO_TABLE]) - 1
        if start < 0 or tuple(self._micro[start : start + 2]) != values.shape:
            start = len(self._micro)
            self._micro = np.concatenate([self._micro, entry])
            self._table = None
        self._micro[start : start + len(entry)] = entry
        record[at.MICRO_TABLE] = start + 1
        record[at.MICRO_TICK] = tick_size

    def arrays(self) -> tuple[Any, ...]:
        """The arrays in the order in which :mod:`agents.kernels.drive` unpacks them."""
        return (self._clock, self._active, *self._tables.values(), self._micro, self._c, self._k)

    def tables(self) -> dict[str, Ints]:
        """The arrays with a row a symbol, spare rows included, by name."""
        return self._tables

    def constants(self) -> tuple[Floats, Ints, Floats]:
        """Micro-price tables and the configuration's words and numbers."""
        return self._micro, self._c, self._k

    def active(self) -> Ints:
        """A bit a symbol and window: whether the open one has ticks of it."""
        return self._active

    def replaced(self, clock: Ints, active: Ints, tables: dict[str, Ints]) -> Self:
        """A state of the same configuration and prices with copies of these arrays."""
        state = type(self)(self.config, len(tables["record"]))
        state._clock[:] = clock
        state._micro = self._micro.copy()
        state._active[:] = active
        for name, table in tables.items():
            state._tables[name][:] = table
        return state

    def copy(self) -> Self:
        """A state that goes its own way."""
        return self.replaced(self._clock, self._active, self._tables)

    def table(self) -> Ints:
        """Addresses of :meth:`arrays`; good until symbols or a table of prices are added."""
        if self._table is None:
            self._table = addresses(self.arrays())
        return self._table

    def freeze(self) -> Callable[[], bytes]:
        """The bytes of the state as it is now."""
        taken = self.to_bytes()
        return lambda: taken

    def to_bytes(self) -> bytes:
        """The state as bytes, exact to the bit, only the rows in use.

        Words that are zero cost a bit: most of a young symbol's rings are.
        """
        n = self.n_symbols
        words = np.concatenate(
            [
                self._clock,
                np.array([len(self._micro)], np.int64),
                self._micro.view(np.int64),
                self._active[:, : _bitmap_words(n)].ravel(),
                *[table[:n].ravel() for table in self._tables.values()],
            ]
        )
        present = words != 0
        count = np.array([len(words)], "<i8")
        body = (count, np.packbits(present), words[present].astype("<i8", copy=False))
        return b"".join((_MAGIC, self._fingerprint(), *(part.tobytes() for part in body)))

    @classmethod
    def from_bytes(cls, config: KernelConfig, buffer: bytes | memoryview) -> Self:
        """Restore what :meth:`to_bytes` wrote.

        Raises
        ------
        ValueError
            When the bytes are of another layout or configuration, or cut short.
        """
        state = cls(config, 1)
        view = memoryview(buffer)
        head = len(_MAGIC) + 32 + 8
        if len(view) < head or bytes(view[: len(_MAGIC)]) != _MAGIC:
            raise ValueError("not a kernel checkpoint, or cut short")
        if bytes(view[len(_MAGIC) : head - 8]) != state._fingerprint():
            raise ValueError("the checkpoint was written with another configuration or record layout")
        words = _unpack(view, head)
        state._restore(words)
        return state

    def _restore(self, words: Ints) -> None:
        position = 0

        def take(count: int) -> Ints:
            nonlocal position
            if position + count > len(words):
                raise ValueError("the checkpoint is cut short")
            part = words[position : position + count]
            position += count
            return part

        self._clock[:] = take(at.P_SIZE)
        n = self.n_symbols
        self._micro = take(int(take(1)[0])).view(np.float64).copy()
        self._reserve(max(1, n))
        self._active[:, : _bitmap_words(n)] = take(len(self._active) * _bitmap_words(n)).reshape(
            len(self._active), -1
        )
        for name, width in self._widths.items():
            self._tables[name][:n] = take(n * width).reshape(n, width)
        if position != len(words):
            raise ValueError("the checkpoint is longer than its symbols need")
        self._table = None

    def _fingerprint(self) -> bytes:
        return hashlib.sha256(f"{at.fingerprint()};{self.config.describe()}".encode()).digest()

    def _reserve(self, n: int) -> None:
        capacity = len(self._tables["record"])
        if n <= capacity:
            return
        capacity = max(n, 2 * capacity)
        used = self.n_symbols
        for name, width in self._widths.items():
            grown = _aligned(capacity, width)
            grown[:used] = self._tables[name][:used]
            self._tables[name] = grown
        active = np.zeros((len(self._active), _bitmap_words(capacity)), np.int64)
        active[:, : self._active.shape[1]] = self._active
        self._active = active
        self._table = None


def _bitmap_words(n: int) -> int:
    return (n + 63) // 64


def _aligned(rows: int, width: int) -> Ints:
    """Zeros that start on a cache line, so that a record's lines are the memory's.

    ``empty`` and a fill, since NumPy asks for huge pages there and not in ``zeros``: with 10,000
    symbols a tick would otherwise miss the page table's cache as often as the data's.
    """
    memory = np.empty(rows * width * 8 + 64, np.uint8)
    memory.fill(0)
    start = -memory.ctypes.data % 64
    return memory[start : start + rows * width * 8].view(np.int64).reshape(rows, width)


def _unpack(view: memoryview, head: int) -> Ints:
    count = int(np.frombuffer(view[head - 8 : head], "<i8")[0])
    mask_bytes = (count + 7) // 8
    if count < 0 or len(view) < head + mask_bytes:
        raise ValueError("the checkpoint is cut short")
    present = np.unpackbits(np.frombuffer(view[head : head + mask_bytes], np.uint8), count=count).view(bool)
    body = view[head + mask_bytes :]
    if len(body) != 8 * int(np.count_nonzero(present)):
        raise ValueError("the checkpoint is cut short or has bytes left over")
    words = np.zeros(count, np.int64)
    words[present] = np.frombuffer(body, "<i8")
    return words
