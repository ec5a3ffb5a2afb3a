"""Memory for the batches in flight: pinned on the host, and its like on the device. Imports numba.

A batch's columns go through a slot in one copy each; with three slots one batch is gathered while another
is copied and a third computed. Nothing is allocated a batch, since allocating orders all streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from agents.kernels.cuda_plan import Columns

_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("ts_event_ns", np.int64),
    ("symbol", np.int32),
    ("kind", np.uint8),
    ("bid_px", np.int64),
    ("ask_px", np.int64),
    ("trade_px", np.int64),
    ("bid_sz", np.float64),
    ("ask_sz", np.float64),
    ("trade_sz", np.float64),
    ("aggressor", np.int8),
    ("sequence", np.int64),
)
_OUTCOMES = ("outcome", "event_a", "event_b")
_ROUND = 1 << 12


class Streams:
    """The streams of a process's batches: in, compute and out overlap, each in order."""

    def __init__(self) -> None:
        self.copy_in = cuda.stream()
        self.compute = cuda.stream()
        self.copy_out = cuda.stream()


@dataclass(frozen=True, slots=True)
class Pair:
    """One array twice: pinned on the host, and on the device."""

    host: npt.NDArray[Any]
    device: Any

    @classmethod
    def of(cls, size: int, dtype: Any) -> Pair:
        """Room for ``size`` values."""
        return cls(cuda.pinned_array(size, dtype), cuda.device_array(size, dtype))

    def send(self, n: int, stream: Any) -> Any:
        """Copy the first ``n`` values to the device; the device's view of them."""
        view = self.device[:n]
        view.copy_to_device(self.host[:n], stream=stream)
        return view

    def fetch(self, start: int, end: int, stream: Any) -> npt.NDArray[Any]:
        """Copy values back; they are there when the stream has come so far."""
        target = self.host[start:end]
        self.device[start:end].copy_to_host(target, stream=stream)
        return target


class Slot:
    """Room for the columns of one batch and for what becomes of its ticks."""

    def __init__(self) -> None:
        self._ticks = 0
        self._pairs: dict[str, Pair] = {}
        self.arrived = cuda.event()
        self.computed = cuda.event()
        self.landed = cuda.event()

    def load(self, messages: Sequence[Columns], streams: Streams) -> dict[str, Any]:
        """Start copying the columns; the device arrays by name, good until the slot is loaded again.

        Messages are joined on the way into pinned memory, which a copy has to pass anyway.
        """
        n = sum(map(len, messages))
        self._fit(n)
        parts = zip(
            *((m.ts_event, m.symbol_id, m.kind, *m.prices_and_sizes[:-1], _signed(m)) for m in messages),
            strict=True,
        )
        columns = {}
        for (name, _), column in zip(_COLUMNS, parts, strict=True):
            pair = self._pairs[name]
            np.concatenate(column, out=pair.host[:n])
            columns[name] = pair.send(n, streams.copy_in)
        self.arrived.record(streams.copy_in)
        self.arrived.wait(streams.compute)
        return columns

    def group(self, start: int, order: Any, starts: Any, streams: Streams) -> tuple[Any, Any]:
        """Send the order of the ticks ``start`` …, and where each symbol's begin, to the device."""
        views = []
        for name, values, at in (("order", order, start), ("starts", starts, 0)):
            pair = self._pairs[name]
            end = at + len(values)
            pair.host[at:end] = values
            view = pair.device[at:end]
            view.copy_to_device(pair.host[at:end], stream=streams.compute)
            views.append(view)
        return views[0], views[1]

    def outcomes(self, n: int) -> list[Any]:
        """The device arrays that a step writes by tick."""
        return [self._pairs[name].device[:n] for name in _OUTCOMES]

    def fetch_outcomes(self, start: int, end: int, streams: Streams) -> list[npt.NDArray[Any]]:
        """Start copying those of some ticks back, behind everything launched so far."""
        self.computed.record(streams.compute)
        self.computed.wait(streams.copy_out)
        arrays = [self._pairs[name].fetch(start, end, streams.copy_out) for name in _OUTCOMES]
        self.landed.record(streams.copy_out)
        return arrays

    def wait_for_outcomes(self) -> npt.NDArray[np.int64]:
        """The outcome by tick, when what was fetched last is there."""
        self.landed.synchronize()
        return self._pairs[_OUTCOMES[0]].host

    def _fit(self, n: int) -> None:
        if n <= self._ticks:
            return
        self._ticks = max(2 * self._ticks, -(-n // _ROUND) * _ROUND)
        kinds = [*_COLUMNS, *((name, np.int64) for name in ("order", *_OUTCOMES))]
        self._pairs = {name: Pair.of(self._ticks, dtype) for name, dtype in kinds}
        self._pairs["starts"] = Pair.of(self._ticks + 1, np.int64)


def _signed(message: Columns) -> npt.NDArray[np.int64]:
    """Sequence numbers with the bits of the kernels' signed words."""
    return message.prices_and_sizes[-1].view(np.int64)
