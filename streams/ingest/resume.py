"""How ingest goes on after a crash without repeating or losing a tick. Pure.

A commit says how far the JSON was read, and beside it, in the commit's *note*, where ``market.ticks`` and
``dead.letters`` ended at that moment. What was written after the last commit therefore lies behind the
note's offsets. Each frame says in its ``tapestream-source`` header which JSON ticks are in it, and a dead
letter says its origin. So whoever takes a partition over reads the logs from the note on, and knows for
each pair (JSON partition, ticks partition) the last tick that is already there; since the ticks of such a
pair are written in order, all up to it are there and none after it.

What this cannot see: a process that was thought dead, was frozen, and writes on after another has taken
over. Those repeats are left to the worker, which drops duplicates by sequence number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.headers import H_SOURCE, get_header, get_origin
from schemas.ticks import Array
from streams import topics
from streams.clients import partition_of

MAX_NOTE = 4_000
"""Brokers take 4096 bytes (``offset.metadata.max.bytes``); more partitions than fit are not noted."""

Place = tuple[int, int]
"""Offset of a JSON message and element in it; ordered."""


@dataclass(frozen=True, slots=True)
class Note:
    """Where the outputs ended at a commit: each partition of the ticks, and one of the dead letters."""

    ticks: tuple[int, ...]
    dead: int

    def __str__(self) -> str:
        text = f"1;{self.dead};{','.join(map(str, self.ticks))}"
        return text if len(text) <= MAX_NOTE else ""

    @classmethod
    def parse(cls, text: str | None, partitions: int) -> Note | None:
        """Read what ``str()`` wrote for as many partitions; None for anything else."""
        version, _, rest = (text or "").partition(";")
        dead, _, ticks = rest.partition(";")
        try:
            note = cls(tuple(int(end) for end in ticks.split(",")), int(dead))
        except ValueError:
            return None
        return note if version == "1" and len(note.ticks) == partitions else None


@dataclass(slots=True)
class AlreadyWritten:
    """What of one JSON partition the outputs already hold."""

    partition: int
    last: dict[int, Place] = field(default_factory=dict)
    """By partition of the ticks, the last tick that is there."""
    dead: set[Place] = field(default_factory=set)

    def note_frame(self, target: int, headers: Iterable[tuple[str, bytes]]) -> None:
        """Learn from a frame on partition ``target``."""
        for partition, place in parse_spans(get_header(headers, H_SOURCE)):
            if partition == self.partition:
                self.last[target] = max(place, self.last.get(target, place))

    def note_dead_letter(self, headers: Iterable[tuple[str, bytes]]) -> None:
        """Learn from a dead letter."""
        origin = get_origin(headers)
        if origin and origin.topic == topics.TICKS_JSON and origin.partition == self.partition:
            self.dead.add((origin.offset, origin.index))

    @property
    def end(self) -> int:
        """The first offset of which nothing can have been written."""
        return max([place[0] for place in self.last.values()] + [place[0] for place in self.dead] + [-1]) + 1

    def missing(
        self, symbols: tuple[str, ...], codes: Array, offsets: Array, elements: Array, partitions: int
    ) -> npt.NDArray[np.bool_]:
        """Which of some ticks are not there yet.

        Parameters
        ----------
        symbols, codes : int32[n]
            The ticks' symbols.
        offsets : int64[n]
            Offset of each tick's message.
        elements : int32[n]
            Its element in the message.
        partitions
            Number of partitions of the ticks.
        """
        none = (-1, -1)
        targets = [partition_of(symbol, partitions) for symbol in symbols]
        by_symbol = np.array([self.last.get(target, none) for target in targets], np.int64).reshape(-1, 2)
        last = by_symbol[codes]
        missing: npt.NDArray[np.bool_] = (offsets > last[:, 0]) | (
            (offsets == last[:, 0]) & (elements > last[:, 1])
        )
        return missing


def parse_spans(value: bytes | None) -> Iterable[tuple[int, Place]]:
    """The JSON partitions in a ``tapestream-source`` header, each with its last tick."""
    for span in (value or b"").decode("ascii", "replace").split(","):
        partition, _, range_ = span.partition("@")
        offset, _, element = range_.rpartition("-")[2].partition("#")
        try:
            yield int(partition), (int(offset), int(element))
        except ValueError:
            continue


def tail_start(notes: Mapping[int, Note]) -> tuple[list[int], dict[int, int]]:
    """From where to read: each partition of the ticks, and the noted ones of the dead letters."""
    ticks = [min(ends) for ends in zip(*(note.ticks for note in notes.values()), strict=True)]
    return ticks, {partition: note.dead for partition, note in notes.items()}
