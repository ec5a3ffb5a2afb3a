"""Ticks on their way into the kernel: as they came, or put in order within the allowed lateness.

With a lateness of 0 the columns of the message go to the kernel as they are, without a copy. With more,
ticks wait here until the watermark lets them go; each remembers the message and row it came in at, so
that what is said about it later has its true coordinates.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agents.kernels.reorder import release
from agents.kernels.run import NO_WATERMARK, FrameResult, run
from agents.kernels.state import PartitionState
from schemas.ticks import COLUMNS, Array, Sequences, Ticks

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

    def run(self, state: PartitionState) -> FrameResult:
        """Hand the ticks to the kernel."""
        columns = self.columns
        return run(
            state,
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
    """Ticks that arrived and may not go on yet, and the running maximum of event time."""

    def __len__(self) -> int:
        return 0

    def arrive(self, arrived: Arrivals, lateness_ns: int) -> Arrivals:
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        return b""

    @classmethod
    def from_bytes(cls, data: bytes) -> Waiting:
        return cls()
