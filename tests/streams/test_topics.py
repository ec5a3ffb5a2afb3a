"""The table of topics, and how a row becomes a name and a configuration."""

import pytest

from schemas.errors import SettingsError, TopicError
from schemas.settings import MAX_MESSAGE_BYTES, Settings, load_settings
from streams import topics
from streams.admin import Difference, TopicState, differences

SETTINGS = Settings(topic_prefix="desk-7.", partitions=3)


def as_declared(base: str, **config: str) -> TopicState:
    row = topics.topic(base)
    return TopicState("desk-7." + base, row.partition_count(SETTINGS), 1, row.config() | config, led=True)


def test_no_two_rows_have_the_same_name_even_where_kafka_confuses_dots_and_underscores() -> None:
    names = [row.name.replace(".", "_") for row in topics.TOPICS]
    assert len(set(names)) == len(names)


def test_every_name_constant_is_a_row_and_every_row_has_one() -> None:
    constants = {value for key, value in vars(topics).items() if key.isupper() and isinstance(value, str)}
    assert constants == {row.name for row in topics.TOPICS}


def test_outputs_of_the_ticks_have_as_many_partitions_as_the_ticks() -> None:
    along = (
        topics.TICKS_JSON,
        topics.DEPTH,
        topics.BARS,
        topics.FEATURES,
        topics.INDICATORS,
        topics.SIGNALS,
        topics.QUALITY,
    )
    for base in (topics.TICKS, *along, topics.CHECKPOINTS, topics.DEAD_LETTERS):
        assert topics.topic(base).partition_count(SETTINGS) == 3


def test_the_decisions_have_one_order_whatever_the_settings_say() -> None:
    assert topics.topic(topics.ALLOCATIONS).partition_count(SETTINGS) == 1


def test_checkpoints_are_compacted_early_in_small_files() -> None:
    config = topics.topic(topics.CHECKPOINTS).config()
    assert config["cleanup.policy"] == "compact"
    assert int(config["segment.bytes"]) <= 64 * topics.MIB
    assert float(config["min.cleanable.dirty.ratio"]) <= 0.1
    assert config["min.compaction.lag.ms"] == "0"


def test_every_topic_takes_the_largest_message_that_we_send() -> None:
    sizes = {row.name: row.max_message_bytes for row in topics.TOPICS}
    # A dead letter holds a message of the greatest size and what is said about it.
    assert sizes.pop(topics.DEAD_LETTERS) == 2 * MAX_MESSAGE_BYTES
    assert set(sizes.values()) == {MAX_MESSAGE_BYTES}


def test_a_name_carries_the_prefix_and_gives_it_back() -> None:
    full = topics.name(SETTINGS, topics.TICKS)
    assert full == "desk-7.market.ticks"
    assert topics.base_name(SETTINGS, full) == topics.TICKS
    assert topics.group(SETTINGS) == "desk-7.tapestream-worker"
    assert topics.group(SETTINGS, "mine") == "desk-7.mine"


def test_an_unknown_topic_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(TopicError, match=r"market\.tickz: no such topic.*market\.ticks, ") as caught:
        topics.name(SETTINGS, "market.tickz")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("prefix", ["a b", "ä", "a/b", "a:", "x" * 129])
def test_a_prefix_that_kafka_would_refuse_is_refused_in_the_settings(prefix: str) -> None:
    with pytest.raises(SettingsError, match="TAPESTREAM_TOPIC_PREFIX"):
        load_settings(topic_prefix=prefix)


def test_topics_as_declared_have_no_differences() -> None:
    assert differences(SETTINGS, [as_declared(row.name) for row in topics.TOPICS]) == []


def test_an_absent_topic_is_a_difference() -> None:
    [found] = differences(SETTINGS, [TopicState("desk-7.market.ticks")])
    assert str(found) == "desk-7.market.ticks: topic is absent, declared 3 partition(s)"


def test_another_partition_count_names_both_numbers_and_both_ways_out() -> None:
    state = TopicState("desk-7.market.ticks", 8, 1, topics.topic(topics.TICKS).config())
    remedy = (
        "set TAPESTREAM_PARTITIONS=8, "
        "or delete desk-7.market.ticks and let `tapestream topics create` make it anew"
    )
    assert differences(SETTINGS, [state]) == [
        Difference("desk-7.market.ticks", "partition count", "3", "8", remedy)
    ]


def test_a_topic_of_fixed_partitions_cannot_be_mended_by_a_setting() -> None:
    state = TopicState("desk-7.orchestrator.allocations", 2, 1, topics.topic(topics.ALLOCATIONS).config())
    [found] = differences(SETTINGS, [state])
    assert "TAPESTREAM_PARTITIONS" not in found.remedy


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (topics.TICKS, "retention.ms", "1000"),
        (topics.ALLOCATIONS, "retention.ms", "604800000"),  # declared to be kept forever
        (topics.CHECKPOINTS, "cleanup.policy", "delete"),
        (topics.TICKS, "max.message.bytes", "1000"),
        (topics.TICKS, "message.timestamp.type", "LogAppendTime"),
    ],
)
def test_what_a_topic_cannot_do_without_is_a_difference(base: str, key: str, value: str) -> None:
    [found] = differences(SETTINGS, [as_declared(base, **{key: value})])
    assert (found.what, found.found) == (key, value)
    assert "--repair" in found.remedy


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (topics.TICKS, "segment.bytes", "1073741824"),
        (topics.TICKS, "compression.type", "zstd"),
        (topics.TICKS, "retention.ms", "-1"),
        (topics.TICKS, "retention.ms", "999999999999"),
        (topics.TICKS, "max.message.bytes", "1048588"),
        (topics.CHECKPOINTS, "retention.ms", "604800000"),  # which a topic that only compacts does not heed
    ],
)
def test_what_an_operator_may_tune_is_no_difference(base: str, key: str, value: str) -> None:
    assert differences(SETTINGS, [as_declared(base, **{key: value})]) == []


def test_the_order_in_which_a_broker_lists_policies_does_not_matter() -> None:
    assert differences(SETTINGS, [as_declared(topics.BARS, **{"cleanup.policy": "delete,compact"})]) == []
