"""The state of a partition as bytes: a header of plain facts, then the arrays, exactly."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from agents.accounting import Accounting
from agents.arrivals import Waiting
from agents.kernels.state import PartitionState
from agents.symbol_index import SymbolIndex
from schemas.codec import dumps, loads
from schemas.errors import CheckpointError, FrameError

if TYPE_CHECKING:
    from agents.partition import Partition

LAYOUT = 1
_LENGTH = struct.Struct("<Q")


def pack(partition: Partition) -> bytes:
    """Everything that :func:`unpack` needs."""
    n = len(partition.symbols)
    blobs = [
        bytes(partition.kernel.to_bytes()),
        *(sides[:n].tobytes() for sides in partition.positions.sides.values()),
        partition.waiting.to_bytes(),
    ]
    facts = {
        "layout": LAYOUT,
        "config": partition.config.describe(),
        "symbols": partition.symbols.names,
        "accounting": partition.accounting.as_dict(),
        "signals": list(partition.positions.sides),
        "open_offsets": [[window, *value] for window, value in partition.open_offsets.items()],
        "sizes": [len(blob) for blob in blobs],
    }
    head = dumps(facts)
    return b"".join([_LENGTH.pack(len(head)), head, *blobs])


def unpack(partition: Partition, state: bytes) -> None:
    """Replace the state of ``partition`` by that of a checkpoint.

    Raises
    ------
    CheckpointError
        When the bytes are of another layout or configuration, or damaged.
    """
    try:
        (length,) = _LENGTH.unpack_from(state)
        facts = loads(state[_LENGTH.size : _LENGTH.size + length])
        if facts["layout"] != LAYOUT:
            raise CheckpointError(f"the checkpoint has layout {facts['layout']}, this program {LAYOUT}")
        wanted = partition.config.describe()
        if facts["config"] != wanted:
            raise CheckpointError(
                f"the checkpoint was written under [{facts['config']}], configured is [{wanted}]",
                "restore those settings, or start afresh under another TAPESTREAM_GROUP and topic prefix",
            )
        blobs = []
        at = _LENGTH.size + length
        for size in facts["sizes"]:
            blobs.append(state[at : at + size])
            at += size
        if at != len(state):
            raise CheckpointError(f"the checkpoint has {len(state)} bytes, its header says {at}")
        kernel = PartitionState.from_bytes(partition.config.kernel, blobs[0])
        waiting = Waiting.from_bytes(blobs[-1])
        n = len(facts["symbols"])
        sides = {
            kind: np.frombuffer(blob, np.int8, n).copy()
            for kind, blob in zip(facts["signals"], blobs[1:-1], strict=True)
        }
    except (struct.error, FrameError, KeyError, TypeError, ValueError) as exc:
        raise CheckpointError(f"the checkpoint cannot be read: {exc}") from exc
    partition.kernel = kernel
    partition.waiting = waiting
    partition.symbols = SymbolIndex(facts["symbols"])
    partition.accounting = Accounting.from_dict(facts["accounting"])
    partition.positions.sides = sides
    partition.positions.grow(n)
    partition.open_offsets = {window: (open_ns, offset) for window, open_ns, offset in facts["open_offsets"]}
