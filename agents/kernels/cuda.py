"""A partition whose state lives on a GPU; the same rows, events and bits as :func:`agents.kernels.run.run`.

The host decides what is sequential over the whole partition (watermark, late ticks, which windows close:
:mod:`agents.kernels.cuda_plan`); the GPU runs the symbols side by side. Messages are handed over in
batches, and a batch is computed while the next one is gathered. Import only where a GPU is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from agents.kernels import cuda_kernels
from agents.kernels.cuda_plan import Columns, Plan, Step, by_symbol, launch_shape, plan
from agents.kernels.cuda_results import SHAPES, Rows, result_of
from agents.kernels.cuda_slots import Slot, Streams
from agents.kernels.cuda_state import DeviceTables, active_flags, host_state
from agents.kernels.result import FrameResult
from agents.kernels.scalar import layout as at
from agents.kernels.state import PartitionState

IN_FLIGHT = 2
"""Batches that are copied or computed at once; one more slot is gathered into."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What one message of a batch brought.

    Attributes
    ----------
    watermark_ns
        After it.
    columns
        Its ticks' columns on the device, by name; good until two more batches are submitted.
    """

    result: FrameResult
    watermark_ns: int
    columns: dict[str, Any]


@dataclass(slots=True)
class _Flight:
    """A batch on the device.

    Attributes
    ----------
    ids
        Symbol ids by tick.
    closed
        What each message closed.
    unmarked
        Ticks stepped of which it is not known yet whether they made their symbols active.
    landing
        Outcomes, there when the slot says so; empty when no tick is stepped.
    """

    messages: tuple[Columns, ...]
    ids: npt.NDArray[np.int32]
    plan: Plan
    slot: Slot
    columns: dict[str, Any]
    closed: list[Rows]
    unmarked: list[npt.NDArray[np.int64]] = field(default_factory=list)
    landing: list[npt.NDArray[Any]] = field(default_factory=list)


class CudaPartition:
    """A :class:`PartitionState` on the device.

    Parameters
    ----------
    state
        What to start from; is not changed.
    """

    def __init__(self, state: PartitionState) -> None:
        self._host = state.copy()
        self._device: DeviceTables | None = None
        self._clock = self._host.arrays()[0]
        self._active = active_flags(self._host)
        self._streams = Streams()
        self._slots = deque(Slot() for _ in range(IN_FLIGHT + 1))
        self._flights: deque[_Flight] = deque()
        self._processors = multiprocessors()

    @property
    def n_symbols(self) -> int:
        """Symbols that there is a row for."""
        return int(self._clock[at.P_SYMBOLS])

    @property
    def watermark_ns(self) -> int:
        """Of everything that was submitted; int64's least before the first tick."""
        return int(self._clock[at.P_WATERMARK])

    def add_symbols(self, k: int) -> None:
        """As :meth:`PartitionState.add_symbols`; the tables come to the host until the next batch."""
        self._to_host().add_symbols(k)
        grown = np.zeros((len(self._active), self.n_symbols), bool)
        grown[:, : self._active.shape[1]] = self._active
        self._active = grown

    def set_micro_price(self, symbol_id: int, tick_size: int, table: npt.ArrayLike) -> None:
        """As :meth:`PartitionState.set_micro_price`."""
        self._to_host().set_micro_price(symbol_id, tick_size, table)

    def to_bytes(self) -> bytes:
        """The state, in the bytes of :meth:`PartitionState.to_bytes`."""
        return self.freeze()()

    def freeze(self) -> Callable[[], bytes]:
        """Take the state as it is now; the call that is returned gives its bytes, from any thread.

        Every batch must have been collected: what is not computed yet is in no checkpoint.
        """
        assert not self._flights
        if self._device is None:
            return self._host.copy().to_bytes
        taken = self._device.take(self._streams)
        like, clock, active = self._host, self._clock.copy(), self._active.copy()
        return lambda: host_state(like, clock, active, taken).to_bytes()

    def run(self, *columns: Any, **how: Any) -> FrameResult:
        """One message at once, with the arguments of :func:`agents.kernels.run.run` after the state."""
        ts_event, symbol_id, kind, codes, *others = columns
        message = Columns(ts_event, symbol_id, kind, codes, tuple(others), **how)
        self.submit([message])
        return self.collect()[0].result

    def submit(self, messages: Sequence[Columns]) -> None:
        """Start computing messages that promise the same of their sequence numbers, in one go.

        Raises
        ------
        ValueError, IndexError
            As :func:`agents.kernels.run.run`; nothing has changed.
        """
        for message in messages:
            message.check(self.n_symbols)
        assert len(self._flights) < len(self._slots)
        device = self._on_device()
        decided = plan(messages, self.watermark_ns, self._host.config.windows_ns[0])
        slot = self._slots[0]
        self._slots.rotate(-1)
        n = decided.starts[-1]
        columns = slot.load(messages, self._streams) if n else {}
        ids = np.concatenate([message.symbol_id for message in messages])
        flight = _Flight(tuple(messages), ids, decided, slot, columns, [[] for _ in messages])
        done = 0
        for step in decided.steps:
            if len(step.live):
                self._advance(device, flight, step, done)
                flight.unmarked.append(step.live)
                done += len(step.live)
            if step.close_at is not None:
                self._mark_all(flight)  # and so waits for what the next step's launch would overwrite
                self._close(device, step.close_at, flight.closed[step.message])
        self._clock[at.P_WATERMARK] = decided.after[-1]
        flight.landing = slot.fetch_outcomes(0, n, self._streams) if done else []
        self._flights.append(flight)

    def collect(self) -> list[Computed]:
        """Wait for the oldest batch; what each of its messages brought."""
        flight = self._flights.popleft()
        if flight.landing:
            flight.slot.wait_for_outcomes()
        self._mark(flight)
        found = []
        for number, message in enumerate(flight.messages):
            a, b = flight.plan.starts[number : number + 2]
            result = result_of(message, flight.plan, slice(a, b), flight.landing, flight.closed[number])
            columns = {name: column[a:b] for name, column in flight.columns.items()}
            found.append(Computed(result, flight.plan.after[number], columns))
        return found

    @property
    def in_flight(self) -> int:
        """Batches submitted and not collected."""
        return len(self._flights)

    def _on_device(self) -> DeviceTables:
        if self._device is None:
            self._device = DeviceTables(self._host)
        return self._device

    def _to_host(self) -> PartitionState:
        """Bring the tables back, to be changed; the next batch takes them to the device again."""
        if self._device is not None:
            self._mark_flights()
            taken = self._device.take(self._streams)
            self._host = host_state(self._host, self._clock, self._active, taken)
            self._clock = self._host.arrays()[0]
            self._device = None
        return self._host

    def _advance(self, device: DeviceTables, flight: _Flight, step: Step, done: int) -> None:
        order, starts = by_symbol(step.live, flight.ids)
        order_there, starts_there = flight.slot.group(done, order, starts, self._streams)
        dense_quotes, dense_trades = flight.messages[0].promises
        shape = launch_shape(len(starts) - 1, self._processors)
        cuda_kernels.advance[(*shape, self._streams.compute)](
            device.sf, device.si, device.wf, device.wi, device.vf, device.c, device.k,
            int(self._clock[at.P_OPEN]), order_there, starts_there, *flight.columns.values(),
            dense_quotes, dense_trades, *flight.slot.outcomes(flight.plan.starts[-1]),
        )  # fmt: skip

    def _mark_flights(self) -> None:
        """Learn of every batch in flight which symbols it has touched."""
        for flight in self._flights:
            self._mark(flight)

    def _mark_all(self, flight: _Flight) -> None:
        """The same, and of what is launched of this batch."""
        self._mark_flights()
        if flight.unmarked:
            first, last = flight.unmarked[0][0], flight.unmarked[-1][-1]
            flight.slot.fetch_outcomes(int(first), int(last) + 1, self._streams)
            self._mark(flight)

    def _mark(self, flight: _Flight) -> None:
        if flight.unmarked:
            outcome = flight.slot.wait_for_outcomes()
            for live in flight.unmarked:
                done = outcome[live] & at.CLASS_MASK == at.PROCESSED
                self._active[0, flight.ids[live[done]]] = True
            flight.unmarked.clear()

    def _close(self, device: DeviceTables, watermark: int, closed: Rows) -> None:
        """Close what ``watermark`` has passed, in the order of :func:`agents.kernels.drive.close_windows`."""
        windows, clock = self._host.config.windows_ns, self._clock
        if self._active[0].any():
            for window in range(1, len(windows)):
                clock[at.P_INDEX + window] = clock[at.P_OPEN] // windows[window]
            self._emit(device, 0, int(clock[at.P_CLOSE]), closed)
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
            self._emit(device, window, close, closed)
            self._active[window] = False
        clock[at.P_WATERMARK] = watermark
        clock[at.P_OPEN] = watermark // windows[0] * windows[0]
        clock[at.P_CLOSE] = clock[at.P_OPEN] + windows[0]

    def _emit(self, device: DeviceTables, window: int, close: int, closed: Rows) -> None:
        rows = np.flatnonzero(self._active[window])
        compute = self._streams.compute
        out = [cuda.device_array((columns, len(rows)), dtype) for columns, dtype in SHAPES]
        out.append(cuda.device_array(len(rows), np.bool_))
        configured = (*launch_shape(len(rows), self._processors), compute)
        d = device
        shared = (d.lf, d.li, d.hf, d.hi, d.micro, d.c, d.k, cuda.to_device(rows, stream=compute))
        if window == 0:
            cuda_kernels.close_base[configured](d.sf, d.si, d.wf, d.wi, d.vf, *shared, close, *out)
        else:
            cuda_kernels.close_longer[configured](d.sf, d.si, d.vf, *shared, window, close, *out)
        fi, ff, bi, bf, traded = (array.copy_to_host(stream=compute) for array in out)
        compute.synchronize()
        for values in (ff, bf):
            values[np.isnan(values)] = np.nan  # a GPU's arithmetic makes a NaN of other bits than a CPU's
        closed.append((fi, ff, bi[:, traded], bf[:, traded]))


def multiprocessors() -> int:
    """Of the current device; 1 of Numba's simulator, which has none."""
    return int(getattr(cuda.current_context().device, "MULTIPROCESSOR_COUNT", 1))
