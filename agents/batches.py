"""A partition's messages on their way through a device: gathered, in flight, done; in order throughout.

While messages wait behind one another they are handed over together, and a batch is computed while the
next is decoded. The last of those that wait drains the line: nothing is held back for a batch to fill.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from agents.frames import DeviceKernel
from agents.kernels.cuda_plan import Columns
from agents.outputs import Output
from schemas.errors import DeviceError
from schemas.headers import H_MODEL, get_header

if TYPE_CHECKING:
    from agents.messages import Message
    from agents.partition import Partition, Pending

Done = list[tuple[int, list[Output]]]
"""Offsets of messages and their outputs."""

IN_FLIGHT = 2
"""Batches on the device: one computes while the next is copied."""


class Line:
    """The messages of one partition.

    Parameters
    ----------
    partition
        Decodes and checks them, and makes outputs of what the device returns.
    """

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._gathered: list[tuple[Pending, Columns]] = []
        self._ticks = 0
        self._flying: deque[list[Pending]] = deque()

    @property
    def _kernel(self) -> DeviceKernel:
        return cast(DeviceKernel, self._partition.kernel)

    def offer(self, message: Message, now_ns: int, more: bool) -> Done:
        """Take a message in; what is done by now.

        Parameters
        ----------
        more
            Whether another message waits behind it.

        Raises
        ------
        DeviceError
            When the device's memory does not suffice.
        """
        # A promotion changes what the rows of earlier messages would be scored with.
        done: Done = self.drain() if get_header(message.headers, H_MODEL) is not None else []
        pending = self._partition.prepare(message, now_ns)
        columns = pending.arrivals.as_columns()
        if self._gathered and self._gathered[-1][1].promises != columns.promises:
            done += self._launch()
        self._gathered.append((pending, columns))
        self._ticks += len(columns)
        if not more:
            return done + self.drain()
        if self._ticks >= self._partition.config.backend.batch_ticks:
            done += self._launch()
        return done

    def drain(self) -> Done:
        """Launch what is gathered and wait for everything."""
        done = self._launch() if self._gathered else []
        while self._flying:
            done += self._collect()
        return done

    def _launch(self) -> Done:
        try:
            self._kernel.submit([columns for _, columns in self._gathered])
        except MemoryError as exc:
            raise DeviceError(
                f"the GPU's memory does not suffice for {self._kernel.n_symbols:,} symbols "
                f"and {self._ticks:,} ticks at once",
                "give the worker more with --memory-limit, or use more partitions and workers",
            ) from exc
        self._flying.append([pending for pending, _ in self._gathered])
        self._gathered.clear()
        self._ticks = 0
        return self._collect() if len(self._flying) >= IN_FLIGHT else []

    def _collect(self) -> Done:
        waiting = self._flying.popleft()
        found = self._kernel.collect()
        return [
            (
                pending.message.offset,
                self._partition.finish(pending, one.result, one.watermark_ns, one.columns),
            )
            for pending, one in zip(waiting, found, strict=True)
        ]
