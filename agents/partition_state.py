"""The state of a partition as bytes: a header of plain facts, then the arrays, exactly."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.accounting import Accounting
from agents.arrivals import Waiting
from agents.features.windows import WindowFeatures
from agents.kernels.state import PartitionState
from agents.selection import Course
from agents.symbol_index import SymbolIndex
from schemas.codec import dumps, loads
from schemas.errors import CheckpointError, FrameError, ModelError

if TYPE_CHECKING:
    from agents.partition import Partition
    from agents.partition_config import PartitionConfig

LAYOUT = 2
_LENGTH = struct.Struct("<Q")
_SIDES, _INDICATORS, _MODEL = "sides/", "indicators/", "model/"

Blobs = dict[str, bytes]


def freeze(partition: Partition) -> Callable[[], bytes]:
    """Everything that :func:`unpack` needs, as it is now; the call makes one piece of it."""
    n = len(partition.symbols)
    kernel = partition.kernel.freeze()
    model, arrays = partition.model.pack(n)
    others = {
        "waiting": partition.waiting.to_bytes(),
        "own": partition.own.to_bytes(),
        **{_SIDES + kind: sides[:n].tobytes() for kind, sides in partition.positions.sides.items()},
        **{_INDICATORS + window: state for window, state in partition.indicators.pack().items()},
        **{f"{_MODEL}{number}": array for number, array in enumerate(arrays)},
    }
    facts = {
        "layout": LAYOUT,
        "config": partition.config.describe(),
        "next_offset": partition.next_offset,
        "course": partition.course.as_list(),
        "symbols": list(partition.symbols.names),
        "accounting": partition.accounting.as_dict(),
        "open_offsets": [[window, *value] for window, value in partition.open_offsets.items()],
        "model": model,
    }

    def pack() -> bytes:
        blobs = {"kernel": kernel(), **others}
        head = dumps({**facts, "blobs": [[name, len(blob)] for name, blob in blobs.items()]})
        return b"".join([_LENGTH.pack(len(head)), head, *blobs.values()])

    return pack


def unpack(partition: Partition, state: bytes) -> None:
    """Replace the state of ``partition`` by that of a checkpoint.

    Raises
    ------
    CheckpointError
        When the bytes are of another layout or configuration, or damaged.
    """
    try:
        facts, start = _facts(partition.config, state)
        blobs = _blobs(facts, state, start)
        n = len(facts["symbols"])
        kernel = PartitionState.from_bytes(partition.config.kernel, blobs["kernel"])
        waiting = Waiting.from_bytes(blobs["waiting"])
        own = WindowFeatures(partition.config.features, partition.config.backend.table)
        own.restore(blobs["own"])
        sides = {
            kind: np.frombuffer(blobs[_SIDES + kind], np.int8, n).copy()
            for kind in partition.positions.sides
            if _SIDES + kind in blobs
        }
        partition.indicators.unpack(_of(blobs, _INDICATORS))
        _restore_model(partition, facts["model"], list(_of(blobs, _MODEL).values()), n)
        course = Course.from_list(facts["course"])
        course.change(facts["next_offset"], partition.config.selection)
        open_offsets = {window: (open_ns, offset) for window, open_ns, offset in facts["open_offsets"]}
        accounting = Accounting.from_dict(facts["accounting"])
    except (struct.error, FrameError, LookupError, TypeError, ValueError) as exc:
        raise CheckpointError(f"the checkpoint cannot be read: {exc}") from exc
    partition.kernel = partition.config.backend.new_kernel(kernel)
    partition.waiting = waiting
    partition.own = own
    partition.symbols = SymbolIndex(facts["symbols"])
    partition.accounting = accounting
    partition.positions.sides |= sides
    partition.positions.grow(n)
    partition.open_offsets = open_offsets
    partition.next_offset = facts["next_offset"]
    partition.course = course


def course_of(config: PartitionConfig, state: bytes) -> Course:
    """Since which offset the partition of a checkpoint has computed what.

    Raises
    ------
    CheckpointError
        When the bytes are of another layout or configuration, or damaged.
    """
    try:
        return Course.from_list(_facts(config, state)[0]["course"])
    except (struct.error, FrameError, LookupError, TypeError, ValueError) as exc:
        raise CheckpointError(f"the checkpoint cannot be read: {exc}") from exc


def _facts(config: PartitionConfig, state: bytes) -> tuple[dict[str, Any], int]:
    """The header, found to be of use, and where the arrays begin."""
    (length,) = _LENGTH.unpack_from(state)
    start = _LENGTH.size + length
    facts = loads(state[_LENGTH.size : start])
    if facts["layout"] != LAYOUT:
        raise CheckpointError(
            f"the checkpoint has layout {facts['layout']}, this program {LAYOUT}",
            "run the version that wrote it, or start afresh under another TAPESTREAM_GROUP and topic prefix",
        )
    wanted = config.describe()
    if facts["config"] != wanted:
        raise CheckpointError(
            f"the checkpoint was written under [{facts['config']}], configured is [{wanted}]",
            "restore those settings, or start afresh under another TAPESTREAM_GROUP and topic prefix",
        )
    return facts, start


def _blobs(facts: dict[str, Any], state: bytes, at: int) -> Blobs:
    blobs = {}
    for name, size in facts["blobs"]:
        blobs[name] = state[at : at + size]
        at += size
    if at != len(state):
        raise CheckpointError(f"the checkpoint has {len(state)} bytes, its header says {at}")
    return blobs


def _of(blobs: Blobs, prefix: str) -> Blobs:
    return {name.removeprefix(prefix): blob for name, blob in blobs.items() if name.startswith(prefix)}


def _restore_model(partition: Partition, facts: dict[str, Any] | None, arrays: list[bytes], n: int) -> None:
    partition.model_trouble = None
    try:
        partition.model.unpack(facts, arrays, n)
    except ModelError as exc:
        partition.model_trouble = exc
