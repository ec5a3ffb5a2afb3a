"""One partition of ticks as a pure machine: a message in, outputs out, all state inside.

No I/O, no clock, no Kafka. What :meth:`Partition.process` returns is a function of the messages so far
and of the configuration alone, never of how they were batched or when: that is what makes recovery by
replay exact and ``tapestream verify`` possible. Wall-clock latencies, which people want to see in a
signal, are handed in and kept out of its identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents import partition_state as packing
from agents.accounting import Accounting
from agents.arrivals import Arrivals, Waiting
from agents.batches import Done, Line
from agents.features.windows import WindowFeatures
from agents.frames import Kernel
from agents.kernels.run import FrameResult
from agents.kernels.state import PartitionState
from agents.kernels.validate import validate
from agents.live.indicators import IndicatorRows
from agents.live.model import LiveModel
from agents.live.signals import KIND as MODEL_KIND
from agents.live.signals import emit_model_signals
from agents.messages import Message, heartbeat_of
from agents.outputs import Output, OutputList, Trouble, frame_of_rows, quality_events
from agents.partition_config import PartitionConfig
from agents.rows import BarTable, FeatureTable, RowWriter
from agents.selection import Course
from agents.signal_emission import Emission, Positions, emit_signals
from agents.symbol_index import SymbolIndex
from agents.troubles import NULL_CODE, bad_tick, findings
from schemas.codec import dumps
from schemas.errors import FrameError, ModelError, TickError
from schemas.frame import decode_frame, encode_frame
from schemas.headers import check_version
from schemas.promotions import Promotion, promotion_of
from schemas.ticks import PRICE_SCALE, Ticks, make_ticks
from streams.clients import partition_of
from streams.topics import BARS, FEATURES, INDICATORS, QUALITY, TICKS

NO_TIME = int(np.iinfo(np.int64).min)


@dataclass(slots=True)
class Pending:
    """A message that is decoded and checked, and not computed yet.

    Attributes
    ----------
    arrivals
        What goes to the kernel; nothing when ``dead``.
    recv_ns
        Capture time of its last tick.
    dead
        Whether the whole message was dead-lettered.
    """

    message: Message
    now_ns: int
    outputs: OutputList
    arrivals: Arrivals
    recv_ns: int = 0
    dead: bool = False


class Partition:
    """The state of one partition and the one way to move it on."""

    def __init__(self, config: PartitionConfig) -> None:
        self.config = config
        self.accounting = Accounting()
        self.symbols = SymbolIndex()
        self.kernel: Kernel = config.backend.new_kernel(PartitionState(config.kernel))
        self._line = Line(self) if config.backend.batch_ticks else None
        self.positions = Positions([*(spec.kind for spec in config.signals), MODEL_KIND])
        self.waiting = Waiting()
        self.own = WindowFeatures(config.features, config.backend.table)
        self.rows = RowWriter(config.kernel.windows_ns, tuple(spec.name for spec in config.features))
        self.indicators = IndicatorRows(config.indicators, config.kernel.windows_ns)
        self.model = LiveModel(config.library, config.kernel.windows_ns, config.model_window_ms)
        self.course = Course(config.selection)
        self.next_offset = 0
        self.model_trouble: ModelError | None = None
        # Window length to the open of the window the watermark stands in, and the message that opened it.
        self.open_offsets: dict[int, tuple[int, int]] = {}

    @property
    def watermark_ns(self) -> int | None:
        """Event time up to which everything has been seen; None before the first tick."""
        watermark = int(self.kernel.watermark_ns)
        return None if watermark == NO_TIME else watermark

    def snapshot(self) -> bytes:
        """The whole state as bytes; :meth:`restore` of them continues with the same bits."""
        return self.freeze()()

    def freeze(self) -> Callable[[], bytes]:
        """Take the state as it is now; the returned call gives its bytes, later and from any thread."""
        return packing.freeze(self)

    def restore(self, state: bytes) -> None:
        """Take over the state of a checkpoint.

        Signals, indicators and the model that it does not have begin empty; those that it has and this
        configuration has not are dropped. A model that cannot be opened any more is too, and
        :attr:`model_trouble` says why.

        Raises
        ------
        CheckpointError
            When it was written under another configuration or layout.
        """
        packing.unpack(self, state)

    def under(self, config: PartitionConfig) -> Partition:
        """The same state, going on with another selection."""
        partition = Partition(config)
        partition.restore(self.snapshot())
        return partition

    def process(self, message: Message, now_ns: int = 0) -> list[Output]:
        """Take one message in.

        Parameters
        ----------
        message
            The next one of the partition.
        now_ns
            Wall clock, for the latencies in signals; nothing else depends on it.

        Returns
        -------
        list of Output
            In a fixed order: dead letters, quality events, features, bars, indicators, signals.
        """
        if self._line is not None:
            ((_, outputs),) = self._line.offer(message, now_ns, more=False)
            return outputs
        pending = self.prepare(message, now_ns)
        if pending.dead:
            return pending.outputs.items
        result = pending.arrivals.run(self.kernel, self.config.backend.run)
        return self.finish(pending, result, self.kernel.watermark_ns, pending.arrivals.named())

    def accept(self, message: Message, now_ns: int, more: bool) -> Done:
        """Take one message in, and return the outputs of those that are done, which may be earlier ones.

        Parameters
        ----------
        more
            Whether another message waits behind it: a device then computes them together.
        """
        if self._line is None:
            return [(message.offset, self.process(message, now_ns))]
        return self._line.offer(message, now_ns, more)

    def drain(self) -> Done:
        """The outputs of the messages that were accepted and are not done yet."""
        return [] if self._line is None else self._line.drain()

    def prepare(self, message: Message, now_ns: int) -> Pending:
        """Decode and check a message; what is wrong with it is in the outputs already."""
        outputs = OutputList(TICKS, self.config.partition, message.offset)
        self.accounting.messages += 1
        self.next_offset = message.offset + 1
        try:
            check_version(message.headers)
            heartbeat_ns = heartbeat_of(message)
            promotion = promotion_of(message.headers)
            empty = heartbeat_ns is not None and not message.value
            ticks = _NOTHING if empty else decode_frame(message.value or b"")
        except FrameError as exc:
            self._dead_message(message, exc, outputs)
            return Pending(message, now_ns, outputs, _NO_ARRIVALS, dead=True)
        if heartbeat_ns is not None:
            self.accounting.heartbeats += 1
        if promotion is not None:
            self._promote(promotion, message, outputs)
        arrivals = self._arrivals(ticks, message.offset, heartbeat_ns, outputs)
        return Pending(message, now_ns, outputs, arrivals, _last_recv(ticks))

    def finish(
        self, pending: Pending, result: FrameResult, watermark_ns: int, columns: dict[str, Any]
    ) -> list[Output]:
        """Make outputs of what the kernel found.

        Parameters
        ----------
        watermark_ns
            After the message.
        columns
            The ticks' columns, where the backend computes; ``symbol`` holds ids.
        """
        if pending.dead:
            return pending.outputs.items
        self._account(result)
        if len(result.event_codes):
            self._quality(self._findings(result, pending.arrivals), pending.outputs)
        self.own.add(columns, result.classes)
        if result.n_rows:
            self._write_rows(result, pending)
            self.own.forget(watermark_ns)
        self._note_open_windows(pending.message.offset, watermark_ns)
        return pending.outputs.items

    def _promote(self, promotion: Promotion, message: Message, outputs: OutputList) -> None:
        """Score with another model from here on; with the same one as before when it cannot be used."""
        try:
            self.model.promote(promotion)
        except ModelError as exc:
            where = f"{TICKS}[{self.config.partition}]@{message.offset}"
            problem = ModelError(where, f"{exc.problem}; {self.model.name} stays in use", exc.remedy)
            outputs.add_dead_letter(message.value or b"", problem, message.headers)
            return
        self.accounting.promotions += 1

    def _dead_message(self, message: Message, exc: FrameError, outputs: OutputList) -> None:
        where = f"{TICKS}[{self.config.partition}]@{message.offset}"
        problem = FrameError(f"{where}: {exc.problem}", exc.remedy)
        outputs.add_dead_letter(message.value or b"", problem, message.headers)
        self.accounting.ticks_in += 1
        self.accounting.dead += 1

    def _arrivals(self, ticks: Ticks, offset: int, heartbeat_ns: int | None, outputs: OutputList) -> Arrivals:
        """Check every tick, dead-letter the bad ones, and put the others in their order."""
        columns = ticks.columns
        codes = validate(
            columns["ts_event_ns"],
            columns["ts_recv_ns"],
            columns["kind"],
            columns["bid_px"],
            columns["ask_px"],
            columns["trade_px"],
            columns["bid_sz"],
            columns["ask_sz"],
            columns["trade_sz"],
            columns["aggressor"],
            self.config.max_skew_ns,
        )
        if ticks.null_rows is not None:
            codes[ticks.null_rows] = NULL_CODE
        self.accounting.ticks_in += len(ticks)
        if codes.any():
            self._dead_ticks(ticks, codes, offset, outputs)
        ids = self.symbols.ids_of(ticks.symbols, columns["symbol"])
        new = len(self.symbols) - self.kernel.n_symbols
        if new:
            self._welcome(new, offset, ids, outputs)
        arrived = Arrivals.of(ticks, ids, codes, offset, heartbeat_ns)
        if self.config.lateness_ns == 0:
            return arrived
        return self.waiting.arrive(arrived, self.config.lateness_ns)

    def _dead_ticks(
        self, ticks: Ticks, codes: npt.NDArray[np.uint8], offset: int, outputs: OutputList
    ) -> None:
        """One dead letter a message and reason, a frame of the bad rows alone."""
        for code in np.unique(codes[codes != 0]).tolist():
            rows = np.flatnonzero(codes == code)
            where = f"{TICKS}[{self.config.partition}]@{offset} row{'s' if len(rows) > 1 else ''} "
            where += ", ".join(map(str, rows[:20].tolist())) + (" …" if len(rows) > 20 else "")
            problem = TickError(
                f"{where}: {bad_tick(ticks, code, int(rows[0]))}", "mend the source, then retry"
            )
            outputs.add_dead_letter(frame_of_rows(ticks, rows), problem)
            self.accounting.dead += len(rows)

    def _welcome(self, new: int, offset: int, ids: npt.NDArray[np.int32], outputs: OutputList) -> None:
        """Make room for symbols seen for the first time, and tell of those that belong elsewhere."""
        first = self.kernel.n_symbols
        self.kernel.add_symbols(new)
        self.positions.grow(len(self.symbols))
        troubles = []
        for symbol_id in range(first, first + new):
            name = self.symbols.names[symbol_id]
            table = self.config.micro_prices.get(name)
            if table is not None:
                self.kernel.set_micro_price(symbol_id, table.tick_size, table.adjustment)
            home = partition_of(name, self.config.partitions)
            if home != self.config.partition:
                row = int(np.argmax(ids == symbol_id))
                detail = f"{name} belongs to partition {home} by murmur2 of its key"
                troubles.append(Trouble("misrouted", name, offset, row, 1, detail))
        self.accounting.misrouted += len(troubles)
        self._quality(troubles, outputs)

    def _quality(self, troubles: list[Trouble], outputs: OutputList) -> None:
        for event in quality_events(self.config.partition, troubles):
            outputs.add(QUALITY, event.symbol.encode(), dumps(event))

    def _account(self, result: FrameResult) -> None:
        book = self.accounting
        book.processed += result.n_processed
        book.late += result.n_late
        book.duplicate += result.n_duplicate
        book.held = len(self.waiting)

    def _findings(self, result: FrameResult, arrivals: Arrivals) -> list[Trouble]:
        troubles = findings(
            result.event_codes,
            result.event_rows,
            result.event_a,
            result.event_b,
            self.symbols.names,
            arrivals.symbol_ids,
            arrivals.origins,
        )
        for trouble in troubles:
            if trouble.kind in ("gap", "crossed", "sequence_reset"):
                setattr(self.accounting, trouble.kind, getattr(self.accounting, trouble.kind) + trouble.count)
        return troubles

    def _write_rows(self, result: FrameResult, pending: Pending) -> None:
        outputs = pending.outputs
        windows_ns = self.config.kernel.windows_ns
        key = str(self.config.partition).encode()
        table = FeatureTable(result.feature_ints, result.features, windows_ns)
        if self.config.features:
            names = tuple(spec.name for spec in self.config.features)
            table = table.with_own(names, self.own.values(table, self.symbols.names, outputs))
        for payload in self.rows.features(table, self.symbols.names):
            outputs.add(FEATURES, key, payload)
        bars = BarTable(result.bar_ints, result.bars, windows_ns)
        for payload in self.rows.bars(bars, self.symbols.names):
            # A key of its own, since that topic is compacted: an output that is written twice is kept once.
            outputs.add(BARS, outputs.next_name().encode(), payload)
        for payload in self.indicators.frames(bars, self.symbols.names):
            outputs.add(INDICATORS, key, payload)
        self.accounting.feature_rows += len(table)
        self.accounting.bars += result.n_bars
        first_offsets = {
            (window, open_ns + window): offset for window, (open_ns, offset) in self.open_offsets.items()
        }
        latency = {
            "log": max(0.0, (pending.now_ns - pending.message.timestamp_ms * 1_000_000) / 1e3),
            "capture": max(0.0, (pending.now_ns - pending.recv_ns) / 1e3),
        }
        emission = Emission(
            self.positions, self.symbols.names, first_offsets, self.config.fee_bps, latency, outputs
        )
        self.accounting.signals += emit_signals(self.config.signals, table, emission)
        self.accounting.signals += emit_model_signals(self.model, bars, table, emission)

    def _note_open_windows(self, offset: int, watermark: int) -> None:
        """Remember which message opened each window, for the source range of signals."""
        if watermark == NO_TIME:
            return
        for window in self.config.kernel.windows_ns:
            open_ns = watermark // window * window
            if self.open_offsets.get(window, (NO_TIME, 0))[0] != open_ns:
                self.open_offsets[window] = (open_ns, offset)


def warm_up(config: PartitionConfig) -> None:
    """Load or compile every kernel, so that the first message does not wait for it."""
    seconds = np.array([1, 2, 3]) * 1_000_000_000 + 1_700_000_000_000_000_000
    ticks = make_ticks(
        ("WARM",),
        ts_event_ns=seconds,
        symbol=[0, 0, 0],
        kind=[0, 1, 0],
        bid_px=[PRICE_SCALE, 0, PRICE_SCALE],
        ask_px=[2 * PRICE_SCALE, 0, 2 * PRICE_SCALE],
        trade_px=[0, PRICE_SCALE, 0],
    )
    Partition(config).process(Message(0, 0, [], encode_frame(ticks)))


_NOTHING = make_ticks((), ts_event_ns=[], symbol=[], kind=[])
_NO_ARRIVALS = Arrivals.of(_NOTHING, np.zeros(0, np.int32), np.zeros(0, np.uint8), 0, None)


def _last_recv(ticks: Ticks) -> int:
    recv = ticks.columns["ts_recv_ns"]
    return int(recv[-1]) if len(recv) else 0
