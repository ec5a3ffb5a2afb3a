"""Which dead letters of a partition have been sent again. Pure.

The record is kept in ``dead.letters`` itself, behind the letters that it is about: whatever time the topic
keeps, the letters are gone before their record is. An attempt writes two entries. Before it sends, the first
says where the letters' origin topics end; after all is acknowledged, the second says which were sent. Whoever
finds a first without a second looks behind those ends for what arrived, and writes the second.

What has been sent is the union of all second entries, so it does not matter in which order attempts end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas import codec
from schemas.errors import FrameError

KEY = b"tapestream-retry-record"
"""Key of an entry, by which it is told from a letter."""

Range = tuple[int, int]
"""First and last offset."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: that an attempt begins, or what it sent.

    Attributes
    ----------
    attempt
        The attempt's own name.
    ends
        When it begins: where each origin (topic, partition) ends. None when it ends.
    retried
        When it ends: ranges of the letters that it sent, ascending, apart.
    """

    attempt: str
    ends: dict[tuple[str, int], int] | None = None
    retried: tuple[Range, ...] = ()

    def encode(self) -> bytes:
        """The message's value."""
        ends = None
        if self.ends is not None:
            ends = [[topic, partition, end] for (topic, partition), end in self.ends.items()]
        return codec.dumps({"attempt": self.attempt, "ends": ends, "retried": self.retried})

    @classmethod
    def decode(cls, value: bytes | None) -> Entry:
        """Read a message's value.

        Raises
        ------
        FrameError
            When it is no such entry.
        """
        try:
            found = codec.loads(value or b"")
            ends = found["ends"]
            if ends is not None:
                ends = {(str(topic), int(partition)): int(end) for topic, partition, end in ends}
            retried = tuple((int(first), int(last)) for first, last in found["retried"])
            return cls(str(found["attempt"]), ends, retried)
        except (KeyError, TypeError, ValueError) as exc:
            raise FrameError(f"not an entry of the retry record: {exc!r}", "upgrade Tapestream") from exc


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that has not ended: when it began, ms since 1970, and where its targets ended then."""

    at_ms: int
    ends: dict[tuple[str, int], int]


@dataclass(slots=True)
class RetryRecord:
    """What the entries of a partition come to.

    Attributes
    ----------
    done
        Ranges of the letters that have been sent again, ascending, apart.
    under_way
        The attempts that have not ended, by name.
    """

    done: tuple[Range, ...] = ()
    under_way: dict[str, Begun] = field(default_factory=dict)

    def __contains__(self, offset: int) -> bool:
        return any(first <= offset <= last for first, last in self.done)

    def apply(self, entry: Entry, at_ms: int) -> None:
        """Take in the next entry, written at that time."""
        if entry.ends is not None:
            self.under_way[entry.attempt] = Begun(at_ms, entry.ends)
        else:
            self.under_way.pop(entry.attempt, None)
            self.done = merge(self.done + entry.retried)


def ranges(offsets: Iterable[int]) -> tuple[Range, ...]:
    """The offsets as ranges."""
    return merge((offset, offset) for offset in offsets)


def merge(some: Iterable[Range]) -> tuple[Range, ...]:
    """The same offsets in as few ranges as possible, ascending."""
    merged: list[Range] = []
    for first, last in sorted(some):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
