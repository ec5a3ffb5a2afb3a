"""Sending dead letters again, to the topic and partition that they came from; each one once."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import DeliveryError, TapestreamError, TopicError
from schemas.headers import H_RETRIED, VERSION_HEADER, get_origin
from schemas.settings import Settings
from streams import clients, topics
from streams.dead_letters.letters import DeadLetter, Wanted, partitions_of, read_partition
from streams.dead_letters.record import KEY, Begun, Entry, RetryRecord, ranges
from streams.log_reader import LogReader

GIVEN_UP_MS = 60_000
"""An attempt that began so long ago and did not come to its end is over."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a letter: sent again, sent again by an earlier retry, or unusable and why."""

    letter: DeadLetter
    verdict: Literal["retried", "already", "unusable"]
    reason: str = ""


def verdict_of(letter: DeadLetter, record: RetryRecord) -> Outcome:
    """Whether a letter is to be sent again."""
    if letter.offset in record:
        return Outcome(letter, "already")
    if letter.origin is None:
        return Outcome(letter, "unusable", "it does not say where it came from")
    try:
        topics.topic(letter.origin.topic)
    except TopicError as error:
        return Outcome(letter, "unusable", error.problem)
    if letter.payload is None:
        return Outcome(letter, "unusable", "the message was too large to be kept here")
    if letter.origin.topic == topics.TICKS and letter.payload[:1] == b"{":
        return Outcome(letter, "unusable", "it tells of a signal's failure, and is no message that was read")
    return Outcome(letter, "retried")


class Retry:
    """Sends the wanted letters again.

    Parameters
    ----------
    settings
        Where the log is.
    wanted
        Which letters.
    dry_run
        Only say what would be done.
    now_ms
        The wall clock, by which a retry knows whether another is at work.
    attempt
        A name that no other attempt has; a random one when absent.
    """

    def __init__(
        self,
        settings: Settings,
        wanted: Wanted,
        *,
        dry_run: bool = False,
        now_ms: Callable[[], int] = _now_ms,
        attempt: str | None = None,
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._dry_run = dry_run
        self._now_ms = now_ms
        self._attempt = attempt or secrets.token_hex(8)
        self._dead = topics.name(settings, topics.DEAD_LETTERS)

    async def run(self) -> AsyncIterator[Outcome]:
        """What became of each letter, partition by partition, after it did.

        Raises
        ------
        DeliveryError
            When the broker did not take one; what it took before is found by the next retry.
        TapestreamError
            When another retry is at work.
        """
        partitions = await partitions_of(self._settings, self._wanted.partition)
        producer = clients.producer(self._settings)
        async with LogReader(self._settings) as reader:
            try:
                await producer.start()
                for partition in partitions:
                    for outcome in await self._retry_partition(reader, producer, partition):
                        yield outcome
            except KafkaError as exc:
                raise DeliveryError(
                    f"{self._dead}: the broker did not take what was to be sent again: {exc!r}",
                    "retry again in a minute: what was sent is not sent twice",
                ) from exc
            finally:
                await producer.stop()

    async def _retry_partition(
        self, reader: LogReader, producer: AIOKafkaProducer, partition: int
    ) -> list[Outcome]:
        part = await read_partition(reader, self._settings, partition, self._wanted)
        ours: set[int] = set()
        for attempt, begun in list(part.record.under_way.items()):
            ended = await self._settle(reader, partition, attempt, begun)
            part.record.apply(ended, begun.at_ms)
            if not self._dry_run:
                ours.add(await self._write(producer, partition, ended))
        outcomes = [verdict_of(letter, part.record) for letter in part.letters]
        chosen = [outcome.letter for outcome in outcomes if outcome.verdict == "retried"]
        if not chosen or self._dry_run:
            return outcomes
        begin = Entry(self._attempt, await self._ends(reader, chosen))
        place = await self._write(producer, partition, begin)
        if not await self._is_alone(reader, partition, range(part.end, place), ours):
            await self._write(producer, partition, Entry(self._attempt))
            raise self._busy(partition)
        await self._send(producer, chosen)
        sent = ranges(letter.offset for letter in chosen)
        await self._write(producer, partition, Entry(self._attempt, retried=sent))
        return outcomes

    async def _ends(self, reader: LogReader, letters: list[DeadLetter]) -> dict[tuple[str, int], int]:
        """Where the letters' origin topics end now."""
        targets = {(origin.topic, origin.partition) for origin in (x.origin for x in letters) if origin}
        return {
            (topic, number): (await reader.bounds(topics.name(self._settings, topic), number))[1]
            for topic, number in sorted(targets)
        }

    async def _settle(self, reader: LogReader, partition: int, attempt: str, begun: Begun) -> Entry:
        """How an attempt ended that did not say so: with what arrived."""
        if self._now_ms() - begun.at_ms < GIVEN_UP_MS:
            raise self._busy(partition)
        arrived: list[int] = []
        for (topic, number), start in begun.ends.items():
            name = topics.name(self._settings, topic)
            async for message in reader.rest(name, number, start):
                letter = get_origin(message.headers, H_RETRIED)
                if letter and (letter.topic, letter.partition) == (topics.DEAD_LETTERS, partition):
                    arrived.append(letter.offset)
        return Entry(attempt, retried=ranges(arrived))

    async def _is_alone(self, reader: LogReader, partition: int, unseen: range, ours: set[int]) -> bool:
        """Whether nobody else wrote to the record since we looked; of two that begin at once, the second
        gives way.
        """
        async for message in reader.read(self._dead, partition, unseen.start, unseen.stop):
            if message.key == KEY and message.offset not in ours:
                return False
        return True

    def _busy(self, partition: int) -> TapestreamError:
        return TapestreamError(
            f"{self._dead}[{partition}]: another retry is at work, or was until a moment ago",
            "retry again in a minute: what was sent is not sent twice",
        )

    async def _send(self, producer: AIOKafkaProducer, letters: list[DeadLetter]) -> None:
        futures = []
        for letter in letters:
            assert letter.origin is not None
            name = topics.name(self._settings, letter.origin.topic)
            headers = letter.original_headers()
            futures.append(
                await producer.send(name, letter.payload, None, letter.origin.partition, None, headers)
            )
        for future in futures:
            await future

    async def _write(self, producer: AIOKafkaProducer, partition: int, entry: Entry) -> int:
        """Append an entry of the record; its offset."""
        future = await producer.send(
            self._dead, entry.encode(), KEY, partition, self._now_ms(), [VERSION_HEADER]
        )
        return int((await future).offset)
