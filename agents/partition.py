"""One partition of ticks as a pure machine: a message in, outputs out, all state inside.

No I/O, no clock, no Kafka. What :meth:`Partition.process` returns is a function of the messages so far
and of the configuration alone, never of how they were batched or when: that is what makes recovery by
replay exact and ``tapestream verify`` possible. Wall-clock latencies, which people want to see in a
signal, are handed in and kept out of its identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agents import partition_state as packing
from agents.accounting import Accounting
from agents.arrivals import Arrivals, Waiting
from agents.frames import open_frame
from agents.kernels.config import KernelConfig
from agents.kernels.run import FrameResult
from agents.kernels.state import PartitionState
from agents.kernels.validate import validate
from agents.micro_prices import MicroPriceTable, fingerprint
from agents.outputs import Output, OutputList, Trouble, bad_rows_frame, quality_events
from agents.rows import FeatureTable, RowWriter
from agents.signal_emission import Positions, emit_signals
from agents.signals import SignalSpec
from agents.symbol_index import SymbolIndex
from agents.troubles import NULL_CODE, bad_tick, findings
from schemas.codec import dumps
from schemas.errors import FrameError, TickError
from schemas.frame import encode_frame
from schemas.headers import H_WATERMARK, Headers, check_version, get_header
from schemas.ticks import PRICE_SCALE, Ticks, make_ticks
from streams.clients import partition_of
from streams.topics import BARS, FEATURES, QUALITY, TICKS

NO_TIME = int(np.iinfo(np.int64).min)


class Message(NamedTuple):
    """One message of ``market.ticks``, as the log has it."""

    offset: int
    timestamp_ms: int
    headers: Headers
    value: bytes | None


@dataclass(frozen=True, slots=True)
class PartitionConfig:
    """What a partition needs to know; equal configurations compute equal outputs."""

    partition: int
    partitions: int
    kernel: KernelConfig
    lateness_ns: int
    max_skew_ns: int
    fee_bps: float
    signals: tuple[SignalSpec, ...] = ()
    micro_prices: dict[str, MicroPriceTable] = field(default_factory=dict)

    def describe(self) -> str:
        """What a checkpoint must have been written under to be of use."""
        kinds = ",".join(f"{spec.kind}@{spec.window_ms}" for spec in self.signals)
        return (
            f"{self.kernel.describe()}, lateness_ns={self.lateness_ns}, signals={kinds}, "
            f"micro_prices={fingerprint(self.micro_prices)}"
        )


class Partition:
    """The state of one partition and the one way to move it on."""

    def __init__(self, config: PartitionConfig) -> None:
        self.config = config
        self.accounting = Accounting()
        self.symbols = SymbolIndex()
        self.kernel = PartitionState(config.kernel)
        self.positions = Positions(config.signals)
        self.waiting = Waiting()
        self.rows = RowWriter(config.kernel.windows_ns)
        # Window length to the open of the window the watermark stands in, and the message that opened it.
        self.open_offsets: dict[int, tuple[int, int]] = {}

    @property
    def watermark_ns(self) -> int | None:
        """Event time up to which everything has been seen; None before the first tick."""
        watermark = int(self.kernel.watermark_ns)
        return None if watermark == NO_TIME else watermark

    def snapshot(self) -> bytes:
        """The whole state as bytes; :meth:`restore` of them continues with the same bits."""
        return packing.pack(self)

    def restore(self, state: bytes) -> None:
        """Take over the state of a checkpoint.

        Raises
        ------
        CheckpointError
            When it was written under another configuration or layout.
        """
        packing.unpack(self, state)

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
            In a fixed order: dead letters, quality events, features, bars, signals.
        """
        outputs = OutputList(TICKS, self.config.partition, message.offset)
        self.accounting.messages += 1
        try:
            check_version(message.headers)
            heartbeat_ns = _heartbeat(message)
            empty = heartbeat_ns is not None and not message.value
            ticks = _NOTHING if empty else open_frame(message.value or b"")
        except FrameError as exc:
            self._dead_message(message, exc, outputs)
            return outputs.items
        if heartbeat_ns is not None:
            self.accounting.heartbeats += 1
        arrivals = self._arrivals(ticks, message.offset, heartbeat_ns, outputs)
        self._run(arrivals, message, _last_recv(ticks), outputs, now_ns)
        return outputs.items

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
            outputs.add_dead_letter(bad_rows_frame(ticks, rows), problem)
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

    def _run(
        self, arrivals: Arrivals, message: Message, recv_ns: int, outputs: OutputList, now_ns: int
    ) -> None:
        result = arrivals.run(self.kernel)
        self._account(result)
        if len(result.event_codes):
            self._quality(self._findings(result, arrivals), outputs)
        if result.n_rows:
            self._write_rows(result, message, recv_ns, outputs, now_ns)
        self._note_open_windows(message.offset)

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

    def _write_rows(
        self,
        result: FrameResult,
        message: Message,
        recv_ns: int,
        outputs: OutputList,
        now_ns: int,
    ) -> None:
        windows_ns = self.config.kernel.windows_ns
        key = str(self.config.partition).encode()
        table = FeatureTable(result.feature_ints, result.features, windows_ns)
        for payload in self.rows.features(table, self.symbols.names):
            outputs.add(FEATURES, key, payload)
        for payload in self.rows.bars(result.bar_ints, result.bars, self.symbols.names):
            outputs.add(BARS, key, payload)
        self.accounting.feature_rows += len(table)
        self.accounting.bars += result.n_bars
        first_offsets = {
            (window, open_ns + window): offset for window, (open_ns, offset) in self.open_offsets.items()
        }
        latency = {
            "log": max(0.0, (now_ns - message.timestamp_ms * 1_000_000) / 1e3),
            "capture": max(0.0, (now_ns - recv_ns) / 1e3),
        }
        self.accounting.signals += emit_signals(
            self.config.signals,
            table,
            self.positions,
            self.symbols.names,
            first_offsets,
            self.config.fee_bps,
            latency,
            outputs,
        )

    def _note_open_windows(self, offset: int) -> None:
        """Remember which message opened each window, for the source range of signals."""
        watermark = self.watermark_ns
        if watermark is None:
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


def _heartbeat(message: Message) -> int | None:
    """The event time that a heartbeat tells, or None when the message is a frame."""
    value = get_header(message.headers, H_WATERMARK)
    if value is None:
        return None
    try:
        watermark = int(value)
    except ValueError:
        raise FrameError(f"header {H_WATERMARK} is {value[:32]!r}, must be decimal nanoseconds") from None
    if not 0 < watermark < 7_258_118_400_000_000_000:
        raise FrameError(f"header {H_WATERMARK} is {watermark}, outside 1970 to 2200")
    return watermark


def _last_recv(ticks: Ticks) -> int:
    recv = ticks.columns["ts_recv_ns"]
    return int(recv[-1]) if len(recv) else 0
