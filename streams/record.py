"""Recording: topics of the log into Parquet files, so that a restart goes on without a gap or a repeat.

No consumer group: the files say where recording goes on (:mod:`streams.record_files`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BrokerUnavailable, DataLossError
from schemas.settings import Settings
from streams import admin, clients, topics
from streams.record_columns import checked_topics, shape_of
from streams.record_files import Place, Recording, Rotation, Tally

POLL_MS = 200


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """What to record, and until when.

    Parameters
    ----------
    topics
        Names in the table of topics.
    from_beginning
        Begin a partition that was never recorded at its oldest message, not at the next one to come.
    seconds
        Stop after so long; None for never.
    until_caught_up
        Stop at the messages that were the last ones on starting.
    skip_lost
        Go on where the log no longer has the next message, instead of stopping.
    """

    topics: tuple[str, ...]
    from_beginning: bool = False
    seconds: float | None = None
    until_caught_up: bool = False
    skip_lost: bool = False
    rotation: Rotation = field(default_factory=Rotation)


async def record(
    settings: Settings,
    folder: Path,
    options: RecordOptions,
    on_progress: Callable[[Tally], None] = lambda tally: None,
    now_s: Callable[[], float] = time.monotonic,
) -> Tally:
    """Record until the options say so, or until cancelled; open files are finished in any case.

    Raises
    ------
    TopicError
        When a topic is not in the table, or absent on the broker.
    RecordingError
        When the folder or the disk refuses.
    DataLossError
        When the log no longer has what the files lack.
    """
    bases = checked_topics(options.topics)
    shapes = {topics.name(settings, base): shape_of(base) for base in bases}
    places = await _places(settings, bases)
    recording = Recording(folder, shapes, options.rotation, now_s)
    deadline_s = None if options.seconds is None else now_s() + options.seconds
    try:
        async with _consumer(settings) as consumer:
            expected, ends = await _seek(consumer, recording, places, options)
            compacted = {place for place in places if "compact" in _cleanup(settings, place)}
            while not (options.until_caught_up and _caught_up(expected, ends)):
                if deadline_s is not None and now_s() >= deadline_s:
                    break
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                for tp, records in batches.items():
                    place = (tp.topic, tp.partition)
                    for message in records:
                        if options.until_caught_up and message.offset >= ends[place]:
                            break
                        if message.offset > expected[place] and place not in compacted:
                            await _check_hole(consumer, place, expected[place], options)
                        recording.take(message)
                        expected[place] = message.offset + 1
                if options.until_caught_up:
                    await _pass_over_holes(consumer, expected, ends)
                recording.finish_old()
                on_progress(recording.tally)
    finally:
        recording.close()
    return recording.tally


async def _places(settings: Settings, bases: Iterable[str]) -> list[Place]:
    states = await admin.present(settings, *bases)
    return [(state.name, number) for state in states for number in range(state.partitions)]


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = clients.consumer(settings)
    try:
        await consumer.start()
        yield consumer
    except KafkaError as exc:
        raise BrokerUnavailable(f"cannot record: {exc!r}", clients.START_BROKER) from exc
    finally:
        await consumer.stop()


async def _seek(
    consumer: AIOKafkaConsumer, recording: Recording, places: list[Place], options: RecordOptions
) -> tuple[dict[Place, int], dict[Place, int]]:
    """Put every partition where its recording goes on; returns those offsets and the ends of now."""
    partitions = {place: TopicPartition(*place) for place in places}
    consumer.assign(list(partitions.values()))
    begins = await consumer.beginning_offsets(list(partitions.values()))
    ends = await consumer.end_offsets(list(partitions.values()))
    fresh = {
        place: (begins if options.from_beginning else ends)[tp]
        for place, tp in partitions.items()
        if recording.next_offset(place) is None
    }
    recording.begin(fresh)
    expected: dict[Place, int] = {}
    for place, tp in partitions.items():
        wanted = recording.next_offset(place)
        assert wanted is not None  # begin() made it known
        if wanted > ends[tp]:
            topic, partition = place
            raise DataLossError(
                f"{topic}[{partition}]: the files end at offset {wanted}, the log already at {ends[tp]}",
                "it is another log: record to another folder",
            )
        if wanted < begins[tp]:
            _lost(place, wanted, begins[tp], options)
        expected[place] = max(wanted, begins[tp])
        consumer.seek(tp, expected[place])
    return expected, {place: ends[tp] for place, tp in partitions.items()}


def _cleanup(settings: Settings, place: Place) -> str:
    return topics.topic(topics.base_name(settings, place[0])).cleanup


async def _check_hole(
    consumer: AIOKafkaConsumer, place: Place, expected: int, options: RecordOptions
) -> None:
    """Offsets that were skipped are lost if the log begins later now; else transactions used them up."""
    tp = TopicPartition(*place)
    begin = (await consumer.beginning_offsets([tp]))[tp]
    if begin > expected:
        _lost(place, expected, begin, options)


def _lost(place: Place, expected: int, found: int, options: RecordOptions) -> None:
    if not options.skip_lost:
        topic, partition = place
        raise DataLossError(
            f"{topic}[{partition}]: offsets {expected} to {found - 1} are no longer in the log",
            "--skip-lost records the rest; record continuously, or keep the topic for longer",
        )


def _caught_up(expected: dict[Place, int], ends: dict[Place, int]) -> bool:
    return all(expected[place] >= end for place, end in ends.items())


async def _pass_over_holes(
    consumer: AIOKafkaConsumer, expected: dict[Place, int], ends: dict[Place, int]
) -> None:
    """A compacted log may end in offsets without a message: then only the client's position tells."""
    for place, end in ends.items():
        if expected[place] < end:
            expected[place] = max(expected[place], min(await consumer.position(TopicPartition(*place)), end))
