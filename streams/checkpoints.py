"""Checkpoints on ``streams.checkpoints``: the state of a partition and the offset to go on from.

A checkpoint is a numbered set of messages, since state may exceed what one message may hold; it counts
only when all of them are there. Two slots of keys alternate, so that compaction keeps the last whole set
while the next one is being written. Which of several is the newest is told by its ``next_offset``, not by
its place: a worker that was thought dead may write one late.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import zlib
from collections import defaultdict
from dataclasses import dataclass

import pyarrow as pa
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from schemas.codec import dumps, loads
from schemas.errors import CheckpointError, DeliveryError, FrameError
from schemas.headers import VERSION_HEADER, check_version, get_header
from schemas.settings import Settings
from streams import topics
from streams.clients import MAX_RECORD_BYTES
from streams.log_reader import LogReader

H_CHECKPOINT = "tapestream-checkpoint"
PART_BYTES = MAX_RECORD_BYTES - 4_096
_SCAN_RECORDS = 64
_LENGTH = struct.Struct("<Q")
_HEAD = struct.Struct("<QI")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a partition needs to go on as if nothing had happened.

    Attributes
    ----------
    next_offset
        The first offset of the ticks that is not in the state.
    positions
        Base name of each output topic to the offset from which outputs may be newer than the state.
    state
        The partition's own bytes.
    slot
        Which of the two sets of keys it lies under.
    """

    next_offset: int
    positions: dict[str, int]
    state: bytes
    slot: int = 0

    @property
    def size(self) -> int:
        """Bytes of state before compression."""
        return len(self.state)


@dataclass(frozen=True, slots=True)
class Parts:
    """A checkpoint cut into messages: (key, value, headers) each."""

    messages: list[tuple[bytes, bytes, list[tuple[str, bytes]]]]
    size: int


def cut(checkpoint: Checkpoint, token: str) -> Parts:
    """Compress a checkpoint and cut it into messages; ``token`` makes the set's name unique."""
    meta = dumps({"next_offset": checkpoint.next_offset, "positions": checkpoint.positions})
    body = _LENGTH.pack(len(meta)) + meta + checkpoint.state
    packed: bytes = pa.compress(body, codec="lz4", asbytes=True)
    packed = _HEAD.pack(len(body), zlib.crc32(packed)) + packed
    pieces = [packed[i : i + PART_BYTES] for i in range(0, len(packed), PART_BYTES)]
    messages = []
    for index, piece in enumerate(pieces):
        name = {
            "id": token,
            "next_offset": checkpoint.next_offset,
            "part": index,
            "parts": len(pieces),
            "slot": checkpoint.slot,
        }
        headers = [VERSION_HEADER, (H_CHECKPOINT, dumps(name))]
        messages.append((f"{checkpoint.slot}/{index}".encode(), piece, headers))
    return Parts(messages, len(packed))


def join(pieces: list[bytes], slot: int) -> Checkpoint:
    """The inverse of :func:`cut`.

    Raises
    ------
    CheckpointError
        When the bytes are damaged.
    """
    packed = b"".join(pieces)
    try:
        size, checksum = _HEAD.unpack_from(packed)
        content = packed[_HEAD.size :]
        if zlib.crc32(content) != checksum:
            raise ValueError("its checksum differs")
        body = pa.decompress(content, size, codec="lz4", asbytes=True)
        (length,) = _LENGTH.unpack_from(body)
        start = _LENGTH.size + length
        meta = loads(body[_LENGTH.size : start])
        return Checkpoint(meta["next_offset"], meta["positions"], body[start:], slot)
    except (
        pa.ArrowException,
        OSError,
        struct.error,
        FrameError,
        KeyError,
        TypeError,
        ValueError,
        MemoryError,
    ) as exc:
        raise CheckpointError(f"a checkpoint is damaged: {exc}") from exc


async def save(settings: Settings, producer: AIOKafkaProducer, partition: int, parts: Parts) -> None:
    """Write a checkpoint and return when the broker has acknowledged all of it.

    Raises
    ------
    DeliveryError
        When the broker refused a part; the checkpoint then does not exist.
    """
    topic = topics.name(settings, topics.CHECKPOINTS)
    try:
        futures = [
            await producer.send(topic, value, key=key, partition=partition, headers=headers)
            for key, value, headers in parts.messages
        ]
        await asyncio.gather(*futures)
    except KafkaError as exc:
        raise DeliveryError(f"{topic}[{partition}]: checkpoint not written: {exc}") from exc


def new_token() -> str:
    """A name for a set of parts that no other writer will choose."""
    return secrets.token_hex(8)


async def load(settings: Settings, reader: LogReader, partition: int) -> Checkpoint | None:
    """The checkpoint with the highest next offset among the newest whole ones, or None.

    Looks back from the end of the log in growing steps until it finds a whole set, so that the cost does
    not depend on how much compaction has left.
    """
    topic = topics.name(settings, topics.CHECKPOINTS)
    begin, end = await reader.bounds(topic, partition)
    span = _SCAN_RECORDS
    while True:
        start = max(begin, end - span)
        records = [record async for record in reader.read(topic, partition, start, end)]
        found = newest(records)
        if found is not None or start == begin:
            return found
        span *= 4


def newest(records: list[ConsumerRecord]) -> Checkpoint | None:
    """The whole checkpoint with the highest next offset among the records; damaged ones do not count."""
    sets: dict[tuple[str, int, int, int], dict[int, bytes]] = defaultdict(dict)
    for record in records:
        header = get_header(record.headers, H_CHECKPOINT)
        if header is None or record.value is None:
            continue
        try:
            check_version(record.headers)
            name = loads(header)
            key = (name["id"], name["next_offset"], name["parts"], name["slot"])
            sets[key][name["part"]] = record.value
        except (FrameError, KeyError, TypeError):
            continue
    for key in sorted(sets, key=lambda k: k[1], reverse=True):
        pieces = sets[key]
        if len(pieces) == key[2]:
            try:
                return join([pieces[i] for i in range(key[2])], key[3])
            except CheckpointError:
                continue
    return None
