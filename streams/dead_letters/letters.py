"""A dead letter: the message as it came, where it came from, what was wrong and what to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from schemas.errors import TopicError
from schemas.headers import (
    H_ERROR,
    H_ORIGIN,
    H_REMEDY,
    H_RETRIED,
    H_VERSION,
    Headers,
    Origin,
    get_header,
    get_origin,
)
from schemas.settings import Settings
from streams import admin, topics
from streams.dead_letters.record import KEY, Entry, RetryRecord
from streams.log_reader import LogReader


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of ``dead.letters``.

    Attributes
    ----------
    partition, offset
        Where it lies in ``dead.letters``.
    timestamp_ms
        When it was written there, ms since 1970.
    origin
        The message that it was; None when the letter does not say so.
    error, remedy
        One line each.
    payload
        The message's value, or the part of it that was at fault; None when it was too large to be copied.
    headers
        All of them: those of the letter first, then those that the message came with.
    """

    partition: int
    offset: int
    timestamp_ms: int
    origin: Origin | None
    error: str
    remedy: str
    payload: bytes | None
    headers: Headers

    @classmethod
    def of(cls, record: ConsumerRecord) -> DeadLetter:
        """Read a record of the topic."""
        headers = list(record.headers)
        error, remedy = (get_header(headers, name) or b"" for name in (H_ERROR, H_REMEDY))
        return cls(
            record.partition,
            record.offset,
            record.timestamp,
            get_origin(headers),
            error.decode(errors="replace"),
            remedy.decode(errors="replace"),
            record.value,
            headers,
        )

    @property
    def retried_from(self) -> Origin:
        """What a message that is sent again says of itself."""
        return Origin(topics.DEAD_LETTERS, self.partition, self.offset)

    def original_headers(self) -> Headers:
        """The headers to send it again with: those it came with, and whence it is sent again."""
        kept: Headers = []
        version_seen = False
        for name, value in self.headers:
            if name == H_VERSION and not version_seen:
                version_seen = True  # the letter's own; a second one is the message's
            elif name not in (H_ORIGIN, H_ERROR, H_REMEDY, H_RETRIED):
                kept.append((name, value))
        return [*kept, (H_RETRIED, str(self.retried_from).encode())]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters: of an origin topic, a partition, a range of offsets with both ends; None for all."""

    topic: str | None = None
    partition: int | None = None
    first: int | None = None
    last: int | None = None

    def holds(self, letter: DeadLetter) -> bool:
        """Whether a letter is wanted; its partition is seen to by who reads."""
        if self.topic is not None and (letter.origin is None or letter.origin.topic != self.topic):
            return False
        return (self.first or 0) <= letter.offset and (self.last is None or letter.offset <= self.last)


@dataclass(frozen=True, slots=True)
class Part:
    """What a partition of ``dead.letters`` held, in ``begin <= offset < end``.

    Attributes
    ----------
    letters
        Those that are wanted, in order.
    record
        Which letters have been sent again.
    """

    begin: int
    end: int
    letters: list[DeadLetter]
    record: RetryRecord


async def partitions_of(settings: Settings, wanted: int | None) -> list[int]:
    """The partitions of the topic, or the wanted one.

    Raises
    ------
    TopicError
        When the topic is absent or has no such partition.
    """
    (state,) = await admin.present(settings, topics.DEAD_LETTERS)
    if wanted is None:
        return list(range(state.partitions))
    if not 0 <= wanted < state.partitions:
        raise TopicError(
            f"{state.name} has no partition {wanted}", f"choose one of 0 to {state.partitions - 1}"
        )
    return [wanted]


async def read_partition(reader: LogReader, settings: Settings, partition: int, wanted: Wanted) -> Part:
    """All of a partition that concerns the wanted letters."""
    name = topics.name(settings, topics.DEAD_LETTERS)
    begin, end = await reader.bounds(name, partition)
    letters: list[DeadLetter] = []
    retried = RetryRecord()
    async for message in reader.read(name, partition, begin, end):
        if message.key == KEY:
            retried.apply(Entry.decode(message.value), message.timestamp)
            continue
        letter = DeadLetter.of(message)
        if wanted.holds(letter):
            letters.append(letter)
    return Part(begin, end, letters, retried)


async def read_letters(settings: Settings, wanted: Wanted) -> AsyncIterator[tuple[DeadLetter, bool]]:
    """The wanted letters that the log has now, in order, and whether each has been sent again."""
    partitions = await partitions_of(settings, wanted.partition)
    async with LogReader(settings) as reader:
        for partition in partitions:
            part = await read_partition(reader, settings, partition, wanted)
            for letter in part.letters:
                yield letter, letter.offset in part.record


async def read_letter(settings: Settings, partition: int, offset: int) -> tuple[DeadLetter, bool]:
    """One letter, and whether it has been sent again; TopicError when the log does not have it."""
    async for found in read_letters(settings, Wanted(None, partition, offset, offset)):
        return found
    name = topics.name(settings, topics.DEAD_LETTERS)
    raise TopicError(
        f"{name}[{partition}]@{offset} is no dead letter", "`tapestream dead-letters list` shows them"
    )
