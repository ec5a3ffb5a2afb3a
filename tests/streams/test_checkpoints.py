"""Checkpoints: whole or not at all, the furthest one counts, and the log says what is there already."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.errors import CheckpointError
from schemas.headers import Origin, output_headers
from schemas.settings import Settings
from streams import checkpoints, clients, topics
from streams.checkpoints import PART_BYTES, Checkpoint, cut, join, newest
from streams.log_reader import LogReader
from streams.output_log import OutputClient, OutputLog
from streams.recovery import recover


@dataclass
class Record:
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def records_of(checkpoint: Checkpoint, token: str) -> list[Record]:
    return [Record(*message) for message in cut(checkpoint, token).messages]


def noise(n: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(n)


@given(
    st.integers(0, 2**60),
    st.dictionaries(st.text(max_size=8), st.integers(0, 2**60)),
    st.binary(max_size=5000),
)
@hypothesis_settings(deadline=None)
def test_what_is_cut_joins_again(next_offset: int, positions: dict[str, int], state: bytes) -> None:
    checkpoint = Checkpoint(next_offset, positions, state, 1)
    pieces = [value for _, value, _ in cut(checkpoint, "t").messages]
    assert join(pieces, 1) == checkpoint


def test_a_large_state_takes_several_messages_none_above_the_limit() -> None:
    parts = cut(Checkpoint(5, {}, noise(3 * PART_BYTES)), "t")
    assert len(parts.messages) == 4
    assert max(len(value) for _, value, _ in parts.messages) <= PART_BYTES
    assert [key for key, _, _ in parts.messages] == [b"0/0", b"0/1", b"0/2", b"0/3"]


def test_the_furthest_whole_checkpoint_counts_not_the_last_one_written() -> None:
    far, near = Checkpoint(90, {}, b"far", 0), Checkpoint(40, {}, b"near", 1)
    assert newest(records_of(far, "a") + records_of(near, "b")) == far


def test_a_checkpoint_with_a_part_missing_does_not_count() -> None:
    whole, broken = Checkpoint(10, {}, b"whole", 0), Checkpoint(20, {}, noise(2 * PART_BYTES), 1)
    for missing in range(3):
        parts = records_of(broken, "b")
        del parts[missing]
        assert newest(records_of(whole, "a") + parts) == whole


def test_parts_of_two_writers_do_not_make_one_checkpoint() -> None:
    one, two = (records_of(Checkpoint(10, {}, noise(2 * PART_BYTES, s), 0), str(s)) for s in (1, 2))
    assert newest([one[0], two[1], one[2]]) is None


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before() -> None:
    good, bad = Checkpoint(10, {}, b"good", 0), records_of(Checkpoint(20, {}, b"bad" * 99, 1), "b")
    bad[0].value = b"\x00" * len(bad[0].value or b"")
    assert newest(records_of(good, "a") + bad) == good


@given(st.binary(max_size=64))
def test_no_bytes_are_a_checkpoint_by_accident(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        join([data], 0)


def test_records_of_others_and_tombstones_are_ignored() -> None:
    assert newest([Record(b"0/0", None), Record(b"x", b"y"), Record(b"x", b"y", [("a", b"b")])]) is None  # type: ignore[list-item]


@pytest.mark.kafka
@pytest.mark.usefixtures("topics_ready")
async def test_a_checkpoint_is_found_behind_any_number_of_broken_ones(settings: Settings) -> None:
    async with (
        LogReader(settings) as reader,
        clients.started(settings, clients.producer(settings)) as producer,
    ):
        assert await checkpoints.load(settings, reader, 1) is None
        kept = Checkpoint(77, {"market.features": 3}, noise(2 * PART_BYTES), 1)
        await checkpoints.save(settings, producer, 1, cut(kept, checkpoints.new_token()))
        broken = cut(Checkpoint(99, {}, noise(2 * PART_BYTES, 1), 0), "broken")
        half = checkpoints.Parts(broken.messages[:1], 0)
        for _ in range(70):
            await checkpoints.save(settings, producer, 1, half)
        assert await checkpoints.load(settings, reader, 1) == kept
        assert await checkpoints.load(settings, reader, 0) is None


@pytest.mark.kafka
@pytest.mark.usefixtures("topics_ready")
async def test_recovery_knows_the_outputs_that_are_on_the_log_already(settings: Settings) -> None:
    async with (
        LogReader(settings) as reader,
        clients.started(settings, clients.producer(settings)) as producer,
    ):
        log = OutputLog(settings, OutputClient(settings), 2, {})
        for offset, index in ((4, 0), (5, 0), (5, 1)):
            origin = Origin(topics.TICKS, 2, offset, index)
            log.add(topics.FEATURES, b"2", b"row", output_headers(origin))
        await log.flush()
        first = await log.acknowledged(log.take_sent())
        assert first == {topics.FEATURES: 3}
        await checkpoints.save(settings, producer, 2, cut(Checkpoint(6, first, b"state"), "t"))
        for topic, origin in (
            (topics.FEATURES, Origin(topics.TICKS, 2, 6, 0)),
            (topics.SIGNALS, Origin(topics.TICKS, 2, 6, 1)),
            (topics.DEAD_LETTERS, Origin(topics.TICKS_JSON, 2, 7, 0)),
        ):
            log.add(topic, b"2", b"row", output_headers(origin))
        await log.flush()
        await log.acknowledged(log.take_sent())
        found = await recover(settings, reader, 2)
    assert found.checkpoint == Checkpoint(6, first, b"state", 0)
    assert found.emitted == {(6, 0), (6, 1)}
    assert found.positions == {
        topics.FEATURES: 4,
        topics.BARS: 0,
        topics.INDICATORS: 0,
        topics.SIGNALS: 1,
        topics.QUALITY: 0,
        topics.DEAD_LETTERS: 1,
    }
