"""A partition whose state lives on a GPU; the same rows, events and bits as :func:`agents.kernels.run.run`.

The host decides what is sequential over the whole partition (watermark, late ticks, which windows
close); the GPU runs the symbols side by side. Import only where a GPU is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from agents.kernels import cuda_kernels
from agents.kernels.names import BAR_FLOAT_NAMES, BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES
from agents.kernels.run import NO_WATERMARK, FrameResult
from agents.kernels.scalar import layout as at
from agents.kernels.state import PartitionState

_THREADS = 64
_SHAPES: tuple[tuple[int, Any], ...] = (
    (len(INT_NAMES), np.int64),
    (len(FEATURE_NAMES), np.float64),
    (len(BAR_INT_NAMES), np.int64),
    (len(BAR_FLOAT_NAMES), np.float64),
)
_EVENT_OF_CLASS = {at.LATE: at.EVENT_LATE, at.DUPLICATE: at.EVENT_DUPLICATE}

Rows = list[tuple[Any, ...]]


class CudaPartition:
    """A :class:`PartitionState` on the device, from its copy there until :meth:`to_host`.

    Parameters
    ----------
    state
        What to start from; is not changed.
    """

    def __init__(self, state: PartitionState) -> None:
        self._config = state.config
        self._host = PartitionState.from_bytes(state.config, state.to_bytes())
        arrays = self._host.arrays()
        self._clock = arrays[0]
        n = self._host.n_symbols
        bits = np.unpackbits(arrays[1].view(np.uint8), axis=1, bitorder="little")
        self._active = bits[:, :n].astype(bool)
        tables = [self._host._tables[name] for name in ("record", "waiting", "buckets", "longer", "history")]
        on_device = [cuda.to_device(table.view(np.float64)) for table in tables]
        as_ints = [array.view(np.int64) for array in on_device]
        (self._sf, self._wf, self._vf, self._lf, self._hf) = on_device
        (self._si, self._wi, _, self._li, self._hi) = as_ints
        micro = arrays[-3] if len(arrays[-3]) else np.zeros(1)
        self._micro, self._c, self._k = (cuda.to_device(a) for a in (micro, arrays[-2], arrays[-1]))

    def to_host(self) -> PartitionState:
        """The state as it now is, on the host; for checkpoints."""
        state = PartitionState.from_bytes(self._config, self._host.to_bytes())
        devices = (self._sf, self._wf, self._vf, self._lf, self._hf)
        names = ("record", "waiting", "buckets", "longer", "history")
        for name, device in zip(names, devices, strict=True):
            state._tables[name].view(np.float64)[:] = device.copy_to_host()[: len(state._tables[name])]
        state._clock[:] = self._clock
        packed = np.packbits(self._active, axis=1, bitorder="little")
        state._active[:] = 0
        state._active.view(np.uint8)[:, : packed.shape[1]] = packed
        return state

    def run(
        self,
        ts_event: npt.NDArray[np.int64],
        symbol_id: npt.NDArray[np.int32],
        kind: npt.NDArray[np.uint8],
        codes: npt.NDArray[np.uint8],
        *prices_and_sizes: npt.NDArray[Any],
        dense_quotes: bool = False,
        dense_trades: bool = False,
        wm_before: npt.NDArray[np.int64] | None = None,
        final_wm: int = NO_WATERMARK,
    ) -> FrameResult:
        """As :func:`agents.kernels.run.run`, the columns after ``codes`` in its order."""
        n = len(ts_event)
        outcome, ea, eb = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        closed: Rows = []
        valid = codes == 0
        reached = ts_event if wm_before is None else np.maximum(ts_event, wm_before)
        before = int(self._clock[at.P_WATERMARK])
        watermark = np.maximum.accumulate(np.where(valid, np.maximum(reached, before), before))
        base = self._config.windows_ns[0]
        number = watermark // base
        late = valid & (ts_event < number * base)
        live = np.flatnonzero(valid & ~late)
        columns = self._upload(ts_event, symbol_id, kind, *prices_and_sizes) if len(live) else ()
        device = [cuda.to_device(a) for a in (outcome, ea, eb)] if len(live) else []
        # A window closes when a valid tick first reaches the next one, be that tick late itself or not.
        turns = np.flatnonzero(valid & (np.diff(number, prepend=before // base) != 0))
        for start, end in zip([0, *turns], [*turns, n], strict=True):
            if start < end and valid[start] and start in turns:
                self._close(int(watermark[start]), closed)
            inside = live[(live >= start) & (live < end)]
            if len(inside):
                self._advance(inside, symbol_id, columns, device, dense_quotes, dense_trades)
                self._mark(inside, symbol_id, device[0])
        if n:
            self._clock[at.P_WATERMARK] = watermark[-1]
        if final_wm > self._clock[at.P_WATERMARK]:
            if final_wm >= self._clock[at.P_CLOSE]:
                self._close(final_wm, closed)
            self._clock[at.P_WATERMARK] = final_wm
        if len(live):
            outcome, ea, eb = (array.copy_to_host() for array in device)
        outcome[~valid], outcome[late] = at.DEAD, at.LATE
        ea[late], eb[late] = ts_event[late], watermark[late]
        return _result(outcome, ea, eb, prices_and_sizes[0], prices_and_sizes[1], closed)

    def _upload(self, *columns: npt.NDArray[Any]) -> list[Any]:
        *front, sequence = columns
        return [cuda.to_device(column) for column in (*front, sequence.view(np.int64))]

    def _advance(
        self,
        inside: npt.NDArray[np.int64],
        symbol_id: npt.NDArray[np.int32],
        columns: Any,
        device: list[Any],
        dense_quotes: bool,
        dense_trades: bool,
    ) -> None:
        order = inside[np.argsort(symbol_id[inside], kind="stable")]
        starts = np.flatnonzero(np.diff(symbol_id[order], prepend=-1, append=-1))
        cuda_kernels.advance[-(-len(starts) // _THREADS), _THREADS](
            self._sf, self._si, self._wf, self._wi, self._vf, self._c, self._k, self._clock[at.P_OPEN],
            cuda.to_device(order), cuda.to_device(starts), *columns, dense_quotes, dense_trades, *device,
        )  # fmt: skip

    def _mark(self, inside: npt.NDArray[np.int64], symbol_id: npt.NDArray[np.int32], outcome: Any) -> None:
        done = outcome.copy_to_host()[inside] & at.CLASS_MASK == at.PROCESSED
        self._active[0, symbol_id[inside[done]]] = True

    def _close(self, watermark: int, closed: Rows) -> None:
        """Close what ``watermark`` has passed, in the order of :func:`agents.kernels.drive.close_windows`."""
        windows, clock = self._config.windows_ns, self._clock
        if self._active[0].any():
            for window in range(1, len(windows)):
                clock[at.P_INDEX + window] = clock[at.P_OPEN] // windows[window]
            self._emit(0, int(clock[at.P_CLOSE]), closed)
            self._active[1:] |= self._active[0]
            self._active[0] = False
        while True:
            due = [
                ((int(clock[at.P_INDEX + w]) + 1) * windows[w], w)
                for w in range(1, len(windows))
                if self._active[w].any()
            ]
            due = [(close, w) for close, w in due if close <= watermark]
            if not due:
                break
            close, window = min(due)
            self._emit(window, close, closed)
            self._active[window] = False
        clock[at.P_ACTIVE : at.P_ACTIVE + len(windows)] = self._active.sum(1)
        clock[at.P_WATERMARK] = watermark
        clock[at.P_OPEN] = watermark // windows[0] * windows[0]
        clock[at.P_CLOSE] = clock[at.P_OPEN] + windows[0]

    def _emit(self, window: int, close: int, closed: Rows) -> None:
        rows = np.flatnonzero(self._active[window])
        out = [cuda.device_array((columns, len(rows)), dtype) for columns, dtype in _SHAPES]
        out.append(cuda.device_array(len(rows), np.bool_))
        grid = -(-len(rows) // _THREADS), _THREADS
        shared = (self._lf, self._li, self._hf, self._hi, self._micro, self._c, self._k, cuda.to_device(rows))
        if window == 0:
            cuda_kernels.close_base[grid](
                self._sf, self._si, self._wf, self._wi, self._vf, *shared, close, *out
            )
        else:
            cuda_kernels.close_longer[grid](self._sf, self._si, self._vf, *shared, window, close, *out)
        fi, ff, bi, bf, traded = (array.copy_to_host() for array in out)
        closed.append((fi, ff, bi[:, traded], bf[:, traded]))


def _result(
    outcome: npt.NDArray[np.int64],
    ea: npt.NDArray[np.int64],
    eb: npt.NDArray[np.int64],
    bid: npt.NDArray[np.int64],
    ask: npt.NDArray[np.int64],
    closed: Rows,
) -> FrameResult:
    """Events by tick, then as the compiled loop writes them; rows as they were closed."""
    classes = (outcome & at.CLASS_MASK).astype(np.uint8)
    table: list[tuple[int, int, int, int]] = []
    for i in np.flatnonzero(outcome != at.PROCESSED).tolist():
        code = _EVENT_OF_CLASS.get(int(classes[i]), 0)
        if outcome[i] & (at.FLAG_GAP | at.FLAG_RESET):
            code = at.EVENT_GAP if outcome[i] & at.FLAG_GAP else at.EVENT_RESET
        if code:
            table.append((code, i, int(ea[i]), int(eb[i])))
        if outcome[i] & at.FLAG_CROSSED and classes[i] == at.PROCESSED:
            table.append((at.EVENT_CROSSED, i, int(bid[i]), int(ask[i])))
    events = np.array(table, np.int64).reshape(-1, 4).T.copy()
    empty = [np.empty((columns, 0), dtype) for columns, dtype in _SHAPES]
    matrices = tuple(np.concatenate(parts, axis=1) for parts in zip(empty, *closed, strict=True))
    of_class = np.bincount(classes, minlength=4).tolist()
    counts = [matrices[0].shape[1], matrices[2].shape[1], len(table), *of_class]
    return FrameResult(len(classes), counts, (classes, events[0].astype(np.uint8), *events[1:]), matrices)
