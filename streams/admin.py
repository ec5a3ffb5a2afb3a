"""Topics on the broker against the table of topics: create what is absent, name what differs.

The comparison is pure (:func:`differences`); the rest asks and tells the broker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.errors import BrokerUnavailable, TopicError
from schemas.settings import Settings
from streams import clients, topics

T = TypeVar("T")

CHECKED = ("cleanup.policy", "retention.ms", "max.message.bytes", "message.timestamp.type")
"""What a topic of ours cannot do without; anything else is the operator's to tune."""

CREATE_TOPICS = "`tapestream topics create` makes it"

SETTLE_S = 20.0
"""How long a topic may take until every partition of it has a leader, or until it is gone."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it; an absent one has no partitions."""

    name: str
    """With the prefix of the settings."""
    partitions: int = 0
    replicas: int = 0
    config: dict[str, str] = field(default_factory=dict)
    led: bool = False
    """Whether every partition has a leader, so that it can be written and read."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a topic is not as the table says."""

    topic: str
    what: str
    declared: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what} is {self.found}, declared {self.declared}"


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client; Kafka's errors inside the block become ours.

    Raises
    ------
    BrokerUnavailable
        When the broker does not answer.
    """
    await clients.wait_for_broker(settings, timeout_s=0.0)
    client = clients.admin(settings)
    try:
        await client.start()
        yield client
    except (KafkaError, TimeoutError) as exc:
        raise BrokerUnavailable(
            f"Kafka at {settings.broker}: {exc or type(exc).__name__}", clients.START_BROKER
        ) from exc
    finally:
        await client.close()


def differences(settings: Settings, states: Iterable[TopicState]) -> list[Difference]:
    """Each way in which what the broker has will not do for what the table declares, in the order given."""
    found: list[Difference] = []
    for state in states:
        row = topics.topic(topics.base_name(settings, state.name))
        wanted = row.partition_count(settings)
        if not state.partitions:
            found.append(Difference(state.name, "topic", f"{wanted} partition(s)", "absent", CREATE_TOPICS))
            continue
        if state.partitions != wanted:
            found.append(_other_partitions(row, state, wanted))
        found += [
            Difference(
                state.name, key, value, state.config[key], "`tapestream topics create --repair` sets it back"
            )
            for key, value in row.config().items()
            if key in CHECKED
            and key in state.config
            and not _fits(key, value, state.config[key], row.cleanup)
        ]
    return found


def _other_partitions(row: topics.Topic, state: TopicState, wanted: int) -> Difference:
    recreate = f"delete {state.name} and let `tapestream topics create` make it anew"
    remedy = (
        f"set TAPESTREAM_PARTITIONS={state.partitions}, or {recreate}"
        if row.partitions == "partitioned"
        else recreate
    )
    return Difference(state.name, "partition count", str(wanted), str(state.partitions), remedy)


def _fits(key: str, declared: str, found: str, cleanup: topics.Cleanup) -> bool:
    """Whether a topic can be used as it is: keeping longer and taking larger messages does no harm."""
    if key == "retention.ms":
        return "delete" not in cleanup or _forever_last(found) >= _forever_last(declared)
    if key == "max.message.bytes":
        return int(found) >= int(declared)
    return sorted(declared.split(",")) == sorted(found.split(","))


def _forever_last(retention_ms: str) -> float:
    return float("inf") if int(retention_ms) == topics.FOREVER else int(retention_ms)


async def present(settings: Settings, *bases: str) -> list[TopicState]:
    """The topics as they are; like :func:`describe`, but all of them must be there.

    Raises
    ------
    TopicError
        Naming the first that is absent.
    """
    states = await describe(settings, *bases)
    for state in states:
        if not state.partitions:
            raise TopicError(f"{state.name} is absent", CREATE_TOPICS)
    return states


async def describe(settings: Settings, *bases: str) -> list[TopicState]:
    """The topics of the table (or only ``bases``) as the broker has them, absent ones too."""
    async with admin_client(settings) as client:
        return await _describe(client, _full_names(settings, bases))


def _full_names(settings: Settings, bases: tuple[str, ...]) -> list[str]:
    return [topics.name(settings, base) for base in bases or (row.name for row in topics.TOPICS)]


async def _describe(client: AIOKafkaAdminClient, names: list[str]) -> list[TopicState]:
    answer = await _patiently(lambda: client.describe_topics(names))
    described = {topic["topic"]: topic for topic in answer}
    present = [name for name in names if described[name]["partitions"] and not described[name]["error_code"]]
    configs = await _configs(client, present)
    return [
        TopicState(
            name,
            partitions=len(described[name]["partitions"]),
            replicas=len(described[name]["partitions"][0]["replicas"]),
            config=configs[name],
            led=all(part["leader"] >= 0 for part in described[name]["partitions"]),
        )
        if name in configs
        else TopicState(name)
        for name in names
    ]


async def _configs(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answers = await _patiently(lambda: client.describe_configs(asked))
    configs: dict[str, dict[str, str]] = {}
    for answer in answers:
        for error, _message, _kind, name, entries in answer.resources:
            # Between the two questions a topic may be deleted: it is then absent, not an error.
            if not error:
                configs[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    return configs


async def check(settings: Settings, *bases: str) -> list[Difference]:
    """Each difference between the broker's topics and the table; empty when all is well."""
    return differences(settings, await describe(settings, *bases))


async def ensure_topics(settings: Settings, *bases: str, repair: bool = False) -> list[str]:
    """Create the topics that are absent, and return their names.

    Parameters
    ----------
    settings
        Where the broker is, the prefix, the number of partitions and of replicas.
    bases
        Names from the table; all of them when none is given.
    repair
        Set differing configurations back to the table's instead of raising.

    Raises
    ------
    TopicError
        When a topic has another number of partitions, or is kept in another way, than declared.
    BrokerUnavailable
        When the broker does not answer.
    """
    names = _full_names(settings, bases)
    async with admin_client(settings) as client:
        states = await _describe(client, names)
        absent = [state.name for state in states if not state.partitions]
        if absent:
            await _create(client, settings, absent)
            states = await _settled(client, names, lambda state: state.led, "has no leader")
        found = differences(settings, states)
        repairable = {difference.topic for difference in found if difference.what in CHECKED}
        if repair and repairable:
            await _repair(client, settings, sorted(repairable))
            found = differences(settings, await _describe(client, names))
    if found:
        more = f" (and {len(found) - 1} more differences)" if len(found) > 1 else ""
        raise TopicError(f"{found[0]}{more}", found[0].remedy)
    return absent


async def _create(client: AIOKafkaAdminClient, settings: Settings, names: list[str]) -> None:
    rows = {name: topics.topic(topics.base_name(settings, name)) for name in names}
    answer = await client.create_topics(
        [
            NewTopic(
                name, row.partition_count(settings), settings.replication_factor, topic_configs=row.config()
            )
            for name, row in rows.items()
        ]
    )
    for name, code, message in answer.topic_errors:
        # Somebody who creates the same topics at the same time is welcome; what they made is checked next.
        if code not in (0, TopicAlreadyExistsError.errno):
            raise TopicError(
                f"{name} cannot be created: {message or for_code(code).__name__}",
                "check TAPESTREAM_REPLICATION_FACTOR against the number of brokers, and your rights",
            )


async def _settled(
    client: AIOKafkaAdminClient, names: list[str], settled: Callable[[TopicState], bool], trouble: str
) -> list[TopicState]:
    """The topics once each is as it should be; creating and deleting answer a little before that."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        states = await _describe(client, names)
        waited_for = [state.name for state in states if not settled(state)]
        if not waited_for:
            return states
        if time.monotonic() >= deadline:
            raise TopicError(
                f"{waited_for[0]} {trouble} after {SETTLE_S:g} s", "look at the broker's own log"
            )
        await asyncio.sleep(0.02)


async def _repair(client: AIOKafkaAdminClient, settings: Settings, names: list[str]) -> None:
    wanted = [
        ConfigResource(
            ConfigResourceType.TOPIC, name, topics.topic(topics.base_name(settings, name)).config()
        )
        for name in names
    ]
    for answer in await client.alter_configs(wanted):
        for code, message, _kind, name in answer.resources:
            if code:
                raise TopicError(
                    f"{name} cannot be altered: {message or for_code(code).__name__}", "check your rights"
                )


async def committed_offsets(client: AIOKafkaAdminClient, group: str) -> dict[Any, int]:
    """What a group has committed, by partition; empty for a group that nobody knows."""
    offsets = await _patiently(lambda: client.list_consumer_group_offsets(group))
    return {partition: entry.offset for partition, entry in offsets.items() if entry.offset >= 0}


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """An answer, asked for again while the broker has reasons that pass.

    A node that is asked at random may have just gone, and a group's coordinator needs a moment to be made.
    """
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            return await ask()
        except KafkaError as exc:
            if not exc.retriable or time.monotonic() >= deadline:
                raise
            await asyncio.sleep(0.05)


async def delete_topics(settings: Settings, *bases: str) -> None:
    """Delete the topics of the table (or only ``bases``) with all that they hold; absent ones are fine.

    Raises
    ------
    TopicError
        When one cannot be deleted, or is still there after a while.
    """
    names = _full_names(settings, bases)
    async with admin_client(settings) as client:
        answer = await client.delete_topics(names)
        unknown = 3
        for name, code in (row[:2] for row in answer.topic_error_codes):
            if code not in (0, unknown):
                raise TopicError(f"{name} cannot be deleted: {for_code(code).__name__}", "check your rights")
        await _settled(client, names, lambda state: not state.partitions, "is still there")
