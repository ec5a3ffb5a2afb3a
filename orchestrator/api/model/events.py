"""What changed, for those who watch: the latest events, each with the message that it came of.

An event's id says how far its reader has seen each partition of the log. It therefore holds in every process
that reads the same topics, also after a restart, and whoever names it gets all that came after it, or is told
that this is no longer known.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.api.model.tasks import Place

KEPT_EVENTS = 20_000

_PART = re.compile(r"([a-z])(\d{1,5})-(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    """One change; ``body`` is JSON."""

    number: int
    place: Place
    kind: str
    subject: str
    body: bytes


@dataclass(slots=True)
class Seen:
    """Up to where each partition has been seen: the next offset of (topic, partition)."""

    letters: dict[str, str]
    """Topic to the letter that stands for it in ids."""
    positions: dict[tuple[str, int], int] = field(default_factory=dict)

    def covers(self, place: Place) -> bool:
        """Whether the message at that place has been seen."""
        return place.offset < self.positions.get(place[:2], 0)

    def add(self, place: Place) -> None:
        """The message at that place, and all before it in its partition, have been seen."""
        if not self.covers(place):
            self.positions[place[:2]] = place.offset + 1

    def __str__(self) -> str:
        return ".".join(
            f"{self.letters[base]}{part}-{at}" for (base, part), at in sorted(self.positions.items())
        )

    @classmethod
    def parse(cls, text: str, letters: dict[str, str]) -> Seen:
        """Read what ``str()`` wrote; ValueError for anything else."""
        bases = {letter: base for base, letter in letters.items()}
        positions = {}
        for part in filter(None, text.split(".")[:4_096]):
            found = _PART.fullmatch(part)
            if found is None or found[1] not in bases:
                raise ValueError(f"{part[:40]!r} is no part of an event's id")
            positions[bases[found[1]], int(found[2])] = int(found[3])
        return cls(letters, positions)


class EventLog:
    """The latest events, and a bell for those who wait for more."""

    def __init__(self, kept: int = KEPT_EVENTS) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self._forgotten: dict[tuple[str, int], int] = {}
        self._number = 0
        self._bell = asyncio.Event()
        self.closed = False

    @property
    def next_number(self) -> int:
        """The number that the next event will have."""
        return self._number

    def append(self, place: Place, kind: str, subject: str, body: bytes) -> None:
        """Take an event in; the oldest is forgotten when there are too many."""
        if len(self._events) == self._events.maxlen:
            oldest = self._events[0].place
            self._forgotten[oldest[:2]] = oldest.offset
        self._events.append(Event(self._number, place, kind, subject, body))
        self._number += 1

    def begin(self, place: Place) -> None:
        """What lies up to there in its partition is never told: it counts as forgotten."""
        self._forgotten[place[:2]] = place.offset

    def ring(self) -> None:
        """Wake those who wait."""
        self._bell.set()
        self._bell = asyncio.Event()

    def close(self) -> None:
        """Nothing comes any more."""
        self.closed = True
        self.ring()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next :meth:`ring`, or after that time."""
        bell = self._bell
        try:
            async with asyncio.timeout(timeout_s):
                await bell.wait()
        except TimeoutError:
            pass

    def knows_all_after(self, seen: Seen) -> bool:
        """Whether no event has been forgotten that is not covered by ``seen``."""
        return all(offset < seen.positions.get(part, 0) for part, offset in self._forgotten.items())

    def since(self, number: int) -> list[Event] | None:
        """The events from that number on; None when some of them are forgotten."""
        if not self._events or number >= self._number:
            return []
        first = self._events[0].number
        if number < first:
            return None
        missing = self._number - number
        return [self._events[index] for index in range(len(self._events) - missing, len(self._events))]

    def unseen(self, seen: Seen) -> Iterator[Event]:
        """The kept events that ``seen`` does not cover, in the order in which they came."""
        return (event for event in list(self._events) if not seen.covers(event.place))
