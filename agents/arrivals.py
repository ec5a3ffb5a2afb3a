"""Ticks on their way into the kernel: as they came, or put in order within the allowed lateness.

With a lateness of 0 the columns of the message go to the kernel as they are, without a copy. With more,
ticks wait here until the watermark lets them go; each remembers the message and row it came in at, so
that what is said about it later has its true coordinates.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.kernels.cuda_plan import Columns
from agents.kernels.reorder import release
from agents.kernels.run import NO_WATERMARK, FrameResult
from schemas.ticks import COLUMNS, NUMERIC, Array, Sequences, Ticks

Origins = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

_KERNEL_COLUMNS = (
    "bid_px",
    "ask_px",
    "trade_px",
    "bid_sz",
    "ask_sz",
    "trade_sz",
    "aggressor",
    "sequence",
)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Ticks in the order in which the kernel shall see them.

    Attributes
    ----------
    symbol_ids : int32[n]
    columns
        The tick columns by name, without ``symbol``.
    codes : uint8[n]
        0 where the tick is valid.
    sequences
        What the sequence numbers promise.
    origins
        The offset of the message that all came in, or (offset, row) arrays.
    wm_before : int64[n] or None
        Watermark before each tick; None in arrival order.
    final_wm
        Watermark after the last one.
    """

    symbol_ids: npt.NDArray[np.int32]
    columns: dict[str, Array]
    codes: npt.NDArray[np.uint8]
    sequences: Sequences
    origins: Origins | int
    wm_before: npt.NDArray[np.int64] | None = None
    final_wm: int = NO_WATERMARK

    @classmethod
    def of(
        cls,
        ticks: Ticks,
        symbol_ids: npt.NDArray[np.int32],
        codes: npt.NDArray[np.uint8],
        offset: int,
        heartbeat_ns: int | None,
    ) -> Arrivals:
        """The ticks of one message, in arrival order."""
        final = NO_WATERMARK if heartbeat_ns is None else heartbeat_ns
        return cls(symbol_ids, ticks.columns, codes, ticks.sequences, offset, None, final)

    def named(self) -> dict[str, Array]:
        """The columns by name; ``symbol`` holds the partition's ids, not the message's codes."""
        return {**self.columns, "symbol": self.symbol_ids}

    def as_columns(self) -> Columns:
        """The ticks as a device takes them."""
        columns = self.columns
        return Columns(
            columns["ts_event_ns"],
            self.symbol_ids,
            columns["kind"],
            self.codes,
            tuple(columns[name] for name in _KERNEL_COLUMNS),
            self.sequences.dense_quotes,
            self.sequences.dense_trades,
            self.wm_before,
            self.final_wm,
        )

    def run(self, kernel: Any, move: Callable[..., FrameResult]) -> FrameResult:
        """Hand the ticks to the kernel, by a function like :func:`agents.kernels.run.run`."""
        columns = self.columns
        return move(
            kernel,
            columns["ts_event_ns"],
            self.symbol_ids,
            columns["kind"],
            self.codes,
            *(columns[name] for name in _KERNEL_COLUMNS),
            dense_quotes=self.sequences.dense_quotes,
            dense_trades=self.sequences.dense_trades,
            wm_before=self.wm_before,
            final_wm=self.final_wm,
        )


class Waiting:
    """Ticks that arrived and may not go on yet, and the largest event time so far."""

    def __init__(self) -> None:
        self._running_max = NO_WATERMARK
        self._held: dict[str, Array] = {name: np.empty(0, dtype) for name, dtype in _HELD.items()}

    def __len__(self) -> int:
        return len(self._held["symbol"])

    def arrive(self, arrived: Arrivals, lateness_ns: int) -> Arrivals:
        """Let ticks in, and out those whose turn it is; see :func:`agents.kernels.reorder.release`.

        Bad ticks stay outside: their event time must not move the watermark. What sequence numbers promise
        is taken from the message that lets a tick go.
        """
        assert isinstance(arrived.origins, int)
        good = np.flatnonzero(arrived.codes == 0)
        new = {name: arrived.columns[name][good] for name in NUMERIC}
        new["symbol"] = arrived.symbol_ids[good]
        new["offset"] = np.full(len(good), arrived.origins, np.int64)
        new["row"] = good.astype(np.int64)
        released = release(
            self._held["ts_event_ns"],
            self._held["kind"],
            new["ts_event_ns"],
            new["kind"],
            self._running_max,
            lateness_ns,
            arrived.final_wm,
        )
        every = {name: np.concatenate([self._held[name], new[name]]) for name in _HELD}
        self._held = {name: column[released.held] for name, column in every.items()}
        self._running_max = released.running_max
        out = {name: column[released.order] for name, column in every.items()}
        return Arrivals(
            out.pop("symbol"),
            out,
            np.zeros(len(released.order), np.uint8),
            arrived.sequences,
            (out.pop("offset"), out.pop("row")),
            np.ascontiguousarray(released.wm_before),
            released.final_wm,
        )

    def to_bytes(self) -> bytes:
        """The whole content; :meth:`from_bytes` gives it back."""
        columns = [self._held[name].tobytes() for name in _HELD]
        return b"".join([_HEAD.pack(self._running_max, len(self)), *columns])

    @classmethod
    def from_bytes(cls, data: bytes) -> Waiting:
        """The inverse of :meth:`to_bytes`; ValueError or struct.error for anything else."""
        waiting = cls()
        waiting._running_max, n = _HEAD.unpack_from(data)
        at = _HEAD.size
        for name, dtype in _HELD.items():
            waiting._held[name] = np.frombuffer(data, dtype, n, at).copy()
            at += n * dtype.itemsize
        if at != len(data):
            raise ValueError(f"waiting ticks have {len(data)} bytes, their header says {at}")
        return waiting


_HEAD = struct.Struct("<qq")
_HELD: dict[str, np.dtype[Any]] = {
    **COLUMNS,
    "offset": np.dtype(np.int64),
    "row": np.dtype(np.int64),
}
