"""The table of topics: one row a topic, and how a row becomes a name and a configuration.

Everything that creates, checks, produces to or consumes from a topic takes its name from here, by
:func:`name`, which puts the settings' prefix before it. Plain data; no I/O.

Record timestamps are the producer's clock, never the exchange time of the ticks inside: retention by
time would otherwise delete a replayed day of last year as soon as it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.errors import TopicError
from schemas.settings import MAX_MESSAGE_BYTES, Settings

TICKS = "market.ticks"
TICKS_JSON = "market.ticks.json"
DEPTH = "market.depth"
BARS = "market.bars"
FEATURES = "market.features"
INDICATORS = "market.indicators"
SIGNALS = "market.signals"
QUALITY = "market.quality"
GPU_TASKS = "gpu.tasks"
GPU_RESULTS = "gpu.results"
GPU_DEVICES = "gpu.devices"
WORKERS = "streams.workers"
ALLOCATIONS = "orchestrator.allocations"
GPU_COMMANDS = "gpu.commands"
MEMORY_ALERTS = "gpu.memory.alerts"
CHECKPOINTS = "streams.checkpoints"
DEAD_LETTERS = "dead.letters"

DAY_MS = 86_400_000
FOREVER = -1
MIB = 1_048_576

Cleanup = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table.

    Parameters
    ----------
    name
        Without the prefix of the settings.
    key
        What the message key is, and so what decides the partition.
    payload
        What the message value is.
    partitions
        A number, or ``"partitioned"``: as many as ``settings.partitions``, so that what comes of partition
        *p* of the ticks can go to partition *p*.
    cleanup
        Kafka's ``cleanup.policy``.
    retention_ms
        How long a ``delete`` topic keeps a record; :data:`FOREVER` for no end.
    segment_bytes
        Size at which Kafka closes a log file; only closed files are compacted or deleted.
    max_message_bytes
        Kafka's limit of one record batch on this topic.
    """

    name: str
    key: str
    payload: str
    partitions: Literal["partitioned"] | int
    cleanup: Cleanup
    retention_ms: int
    description: str
    segment_bytes: int = 256 * MIB
    max_message_bytes: int = MAX_MESSAGE_BYTES

    def partition_count(self, settings: Settings) -> int:
        """The number of partitions that this topic should have under ``settings``."""
        return settings.partitions if self.partitions == "partitioned" else self.partitions

    def config(self) -> dict[str, str]:
        """Kafka's own configuration of this topic, as text, the way a broker reports it."""
        config = {
            "cleanup.policy": self.cleanup,
            "compression.type": "producer",
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "CreateTime",
            "retention.ms": str(self.retention_ms),
            "segment.bytes": str(self.segment_bytes),
        }
        if "compact" in self.cleanup:
            # Compact early and often: these topics are read from the start, so their size is a start-up time.
            config["min.cleanable.dirty.ratio"] = "0.1"
            config["min.compaction.lag.ms"] = "0"
            config["delete.retention.ms"] = str(DAY_MS)
        return config


def _market(name: str, payload: str, description: str, *, key: str = "symbol", days: int = 7) -> Topic:
    return Topic(name, key, payload, "partitioned", "delete", days * DAY_MS, description)


TOPICS: tuple[Topic, ...] = (
    _market(TICKS, "tick frame (Arrow IPC)", "ticks in, 256 to 8192 a message"),
    _market(TICKS_JSON, "JSON tick, or an array of them", "ticks in, from any client and language"),
    _market(DEPTH, "depth frame (Arrow IPC)", "order book levels in"),
    Topic(
        BARS,
        "origin of the frame",
        "bar frame (Arrow IPC)",
        "partitioned",
        "compact,delete",
        30 * DAY_MS,
        "open, high, low, close and volume, a frame a partition and close",
    ),
    _market(FEATURES, "feature frame (Arrow IPC)", "a row a symbol and window", key="partition of the ticks"),
    _market(
        INDICATORS,
        "indicator frame (Arrow IPC)",
        "technical indicators, a row a bar",
        key="partition of the ticks",
    ),
    _market(SIGNALS, "JSON signal", "trading signals out"),
    _market(QUALITY, "JSON event", "late, repeated and missing ticks and crossed books, with coordinates"),
    Topic(GPU_TASKS, "task id", "JSON task request", "partitioned", "delete", 7 * DAY_MS, "tasks in"),
    Topic(
        GPU_RESULTS,
        "task id",
        "JSON result, refusal or failure",
        "partitioned",
        "delete",
        7 * DAY_MS,
        "what became of each task",
    ),
    Topic(
        GPU_DEVICES,
        "gpu uuid",
        "JSON device report",
        1,
        "compact",
        FOREVER,
        "memory, utilisation and health of each device",
        segment_bytes=16 * MIB,
    ),
    Topic(
        ALLOCATIONS,
        "domain (host or pool)",
        "JSON decision",
        # One partition is one total order, which the fold of the decisions needs.
        1,
        "delete",
        FOREVER,
        "who got which GPU, when and why",
    ),
    Topic(GPU_COMMANDS, "gpu uuid", "JSON command", 1, "delete", 7 * DAY_MS, "cleanup and policy commands"),
    Topic(MEMORY_ALERTS, "gpu uuid", "JSON alert", 1, "delete", 30 * DAY_MS, "GPU memory alerts"),
    Topic(
        CHECKPOINTS,
        "partition of the ticks",
        "checkpoint",
        "partitioned",
        "compact",
        FOREVER,
        "state and next offset of each partition",
        segment_bytes=64 * MIB,
    ),
    Topic(
        WORKERS,
        "worker",
        "JSON worker report",
        1,
        "compact,delete",
        DAY_MS,
        "what each tick worker holds, how much it has done and how far it is behind",
        segment_bytes=16 * MIB,
    ),
    Topic(
        DEAD_LETTERS,
        "origin topic",
        "the raw message",
        "partitioned",
        "delete",
        30 * DAY_MS,
        "what could not be used, with its origin, error and remedy in the headers",
        # A message of the greatest size must fit with its error beside it.
        max_message_bytes=2 * MIB,
    ),
)

_BY_NAME = {topic.name: topic for topic in TOPICS}


def topic(base: str) -> Topic:
    """The row of the topic called ``base``, the name without a prefix.

    Raises
    ------
    TopicError
        When the table has no such row.
    """
    try:
        return _BY_NAME[base]
    except KeyError:
        known = ", ".join(_BY_NAME)
        raise TopicError(f"{base}: no such topic", f"one of {known}") from None


def name(settings: Settings, base: str) -> str:
    """The name of the topic ``base`` on the broker: the settings' prefix, then ``base``."""
    return settings.topic_prefix + topic(base).name


def base_name(settings: Settings, full: str) -> str:
    """The inverse of :func:`name`; a name without the prefix comes back as it is."""
    return full.removeprefix(settings.topic_prefix)


def group(settings: Settings, base: str | None = None) -> str:
    """The consumer group ``base`` (the workers' own when absent) with the settings' prefix."""
    return settings.topic_prefix + (base or settings.group)
