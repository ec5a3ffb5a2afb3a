"""The tables of a partition on a GPU, and copies of them taken while it computes. Imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from agents.kernels.cuda_slots import Pair, Streams
from agents.kernels.scalar import layout as at
from agents.kernels.state import PartitionState

Flags = npt.NDArray[np.bool_]


class DeviceTables:
    """What the kernels read and write: each table seen as floats and as integers.

    The clock and the marks of active symbols are not among them: the host decides by these.
    """

    def __init__(self, state: PartitionState) -> None:
        self._flat = {
            name: cuda.to_device(table.reshape(-1).view(np.float64)) for name, table in state.tables().items()
        }
        shapes = {name: table.shape for name, table in state.tables().items()}
        floats = {name: flat.reshape(*shapes[name]) for name, flat in self._flat.items()}
        self.sf, self.wf, self.vf, self.lf, self.hf = floats.values()
        self.si, self.wi, _, self.li, self.hi = (array.view(np.int64) for array in floats.values())
        micro, c, k = state.constants()
        self.micro, self.c, self.k = map(cuda.to_device, (micro if len(micro) else np.zeros(1), c, k))
        self._shapes = shapes

    def take(self, streams: Streams) -> Taken:
        """Start copying the tables to the host.

        First within the device, at its memory's speed and in turn with the kernels; from there to the host
        beside the kernels of the next batches.
        """
        pairs = {}
        for name, flat in self._flat.items():
            pairs[name] = Pair.of(flat.size, np.float64)
            pairs[name].device.copy_to_device(flat, stream=streams.compute)
        copied, landed = cuda.event(), cuda.event()
        copied.record(streams.compute)
        copied.wait(streams.copy_out)
        for pair in pairs.values():
            pair.fetch(0, len(pair.host), streams.copy_out)
        landed.record(streams.copy_out)
        return Taken(pairs, self._shapes, landed)


class Taken:
    """Tables on their way to the host."""

    def __init__(self, pairs: dict[str, Pair], shapes: dict[str, Any], landed: Any) -> None:
        self._pairs = pairs
        self._shapes = shapes
        self._landed = landed

    def tables(self) -> dict[str, npt.NDArray[np.int64]]:
        """Wait until they are there; from any thread."""
        self._landed.synchronize()
        return {
            name: pair.host.view(np.int64).reshape(self._shapes[name]) for name, pair in self._pairs.items()
        }


def active_flags(state: PartitionState) -> Flags:
    """Which symbols have ticks in the open window, bool[windows, symbols]."""
    bits = np.unpackbits(state.active().view(np.uint8), axis=1, bitorder="little")
    return bits[:, : state.n_symbols].astype(bool)


def host_state(
    like: PartitionState, clock: npt.NDArray[np.int64], active: Flags, taken: Taken
) -> PartitionState:
    """The state whose tables were taken, byte for byte as the CPU would have it."""
    words = np.zeros((len(active), like.active().shape[1] * 8), np.uint8)
    packed = np.packbits(active, axis=1, bitorder="little")
    words[:, : packed.shape[1]] = packed
    counted = clock.copy()
    counted[at.P_ACTIVE : at.P_ACTIVE + len(active)] = active.sum(axis=1)
    return like.replaced(counted, words.view(np.int64), taken.tables())
