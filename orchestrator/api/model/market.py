"""The market stream as the API shows it: its workers as they last said, and the latest signals."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import suppress

from schemas import codec
from schemas.errors import FrameError
from schemas.messages import Signal
from schemas.workers import PartitionReport, WorkerReport

KEPT_WORKERS = 4_096
KEPT_SIGNALS = 500
SILENT_MS = 10_000
"""A worker that has said nothing for so long has ended, or is as good as that."""


class Market:
    """What the stream's own topics say."""

    def __init__(self) -> None:
        self._workers: OrderedDict[tuple[str, str], WorkerReport] = OrderedDict()
        # A signal is decoded when somebody looks: under load there are thousands a second.
        self._signals: deque[bytes] = deque(maxlen=KEPT_SIGNALS)

    def worker(self, payload: bytes) -> None:
        """Take a worker's report in.

        Raises
        ------
        FrameError
            When it is none.
        """
        said = codec.decode(WorkerReport, payload)
        self._workers[said.host, said.worker] = said
        if len(self._workers) > KEPT_WORKERS:
            self._workers.popitem(last=False)

    def signal(self, payload: bytes) -> None:
        """Take a signal in."""
        self._signals.append(payload)

    def workers(self, at_ms: int) -> list[WorkerReport]:
        """Those that have said something lately, by name."""
        alive = (said for said in self._workers.values() if said.at_ns // 1_000_000 > at_ms - SILENT_MS)
        return sorted(alive, key=lambda said: (said.worker, said.host))

    def partitions(self) -> list[PartitionReport]:
        """Each partition as whoever spoke of it last has it, also when that one has ended."""
        newest: dict[int, tuple[int, PartitionReport]] = {}
        for said in self._workers.values():
            for part in said.partitions:
                known = newest.get(part.partition)
                if known is None or known[0] <= said.at_ns:
                    newest[part.partition] = (said.at_ns, part)
        return [newest[number][1] for number in sorted(newest)]

    def signals(self) -> Iterator[Signal]:
        """The latest signals, the newest first; what is none is passed over."""
        for payload in reversed(list(self._signals)):
            with suppress(FrameError):
                yield codec.decode(Signal, payload)
