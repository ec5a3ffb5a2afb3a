"""The compute backend of a partition: configuration, and the same outputs whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from agents.frames.host import HostTable
from agents.frames.table import Table
from agents.kernels.cuda_plan import Columns
from agents.kernels.result import FrameResult
from agents.kernels.run import run
from agents.kernels.state import PartitionState


class Kernel(Protocol):
    """The state of a partition's kernels, wherever it lies; see :class:`PartitionState`."""

    @property
    def n_symbols(self) -> int:
        """Symbols that there is a row for."""

    @property
    def watermark_ns(self) -> int:
        """Event time up to which windows are closed."""

    def add_symbols(self, k: int) -> None:
        """Make room for more symbols."""

    def set_micro_price(self, symbol_id: int, tick_size: int, table: npt.ArrayLike) -> None:
        """Give a symbol its table."""

    def to_bytes(self) -> bytes:
        """The state as bytes, the same on every backend."""

    def freeze(self) -> Callable[[], bytes]:
        """The state as it is now; the call gives its bytes, later and from any thread."""


class Computed(Protocol):
    """What one message brought on a device."""

    @property
    def result(self) -> FrameResult:
        """Classes, events and rows."""

    @property
    def watermark_ns(self) -> int:
        """After the message."""

    @property
    def columns(self) -> dict[str, Any]:
        """The message's columns on the device."""


class DeviceKernel(Kernel, Protocol):
    """A kernel that takes messages in batches and computes one while the next is gathered."""

    @property
    def in_flight(self) -> int:
        """Batches submitted and not collected."""

    def submit(self, messages: Sequence[Columns]) -> None:
        """Start computing a batch."""

    def collect(self) -> Sequence[Computed]:
        """Wait for the oldest batch."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a partition is computed.

    Attributes
    ----------
    name
        For logs and pages.
    new_kernel
        Takes over a state that lies on the host.
    run
        Moves such a kernel on by one message; arguments of :func:`agents.kernels.run.run`.
    table
        The type of the tables that features of one's own see.
    batch_ticks
        Most ticks of the messages that are handed over at once; 0 where each is computed when it comes.
    """

    name: str
    new_kernel: Callable[[PartitionState], Kernel]
    run: Callable[..., FrameResult]
    table: type[Table]
    batch_ticks: int = 0


CPU = Backend("cpu", lambda state: state, run, HostTable)
"""Each message when it comes, over its own bytes."""
