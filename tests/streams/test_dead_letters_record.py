"""The record of what has been sent again, and what a letter is sent again with."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import FrameError
from schemas.headers import H_RETRIED, H_VERSION, Origin, dead_letter_headers
from streams.dead_letters import DeadLetter, Wanted
from streams.dead_letters.record import Begun, Entry, RetryRecord, ranges
from streams.dead_letters.retry import verdict_of


@given(st.lists(st.sets(st.integers(0, 40)), max_size=5))
def test_the_record_holds_exactly_what_all_attempts_sent(attempts: list[set[int]]) -> None:
    record = RetryRecord()
    for number in range(len(attempts)):
        record.apply(Entry(str(number), ends={}), at_ms=number)
    for number, offsets in reversed(list(enumerate(attempts))):
        record.apply(Entry(str(number), retried=ranges(offsets)), at_ms=9)
    assert {offset for offset in range(50) if offset in record} == set().union(*attempts)
    assert record.under_way == {}
    assert all(a[1] + 1 < b[0] for a, b in pairwise(record.done))


def test_an_attempt_is_under_way_until_it_says_that_it_ended() -> None:
    record = RetryRecord()
    ends = {("market.ticks.json", 2): 17}
    record.apply(Entry("a", ends), at_ms=5)
    record.apply(Entry("b", {}), at_ms=6)
    record.apply(Entry("b", retried=((1, 2),)), at_ms=7)
    assert record == RetryRecord(((1, 2),), {"a": Begun(5, ends)})


@pytest.mark.parametrize("entry", [Entry("a", {("t", 2): 17}), Entry("a", {}), Entry("a", retried=((3, 5),))])
def test_an_entry_reads_back_as_it_was_written(entry: Entry) -> None:
    assert Entry.decode(entry.encode()) == entry


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b'{"attempt":"a","ends":null,"retried":[[1]]}'])
def test_what_is_no_entry_is_refused(value: bytes | None) -> None:
    with pytest.raises(FrameError):
        Entry.decode(value)


def letter(
    origin: Origin | None = Origin("market.ticks.json", 1, 7),  # noqa: B008
    payload: bytes | None = b"{}",
    headers: list[tuple[str, bytes]] | None = None,
) -> DeadLetter:
    given_headers = dead_letter_headers(origin, "e", "r") if origin else []
    return DeadLetter(1, 4, 0, origin, "e", "r", payload, given_headers + (headers or []))


def test_a_letter_is_sent_again_with_the_headers_it_came_with() -> None:
    came_with = [("trace", b"abc"), (H_VERSION, b"99"), (H_RETRIED, b"dead.letters[0]@1#0")]
    assert letter(headers=came_with).original_headers() == [
        ("trace", b"abc"),
        (H_VERSION, b"99"),
        (H_RETRIED, b"dead.letters[1]@4#0"),
    ]


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        (letter(), "retried", ""),
        (letter(Origin("market.ticks", 1, 7), b"\xff\xff"), "retried", ""),
        (letter(None), "unusable", "it does not say where it came from"),
        (letter(payload=None), "unusable", "the message was too large to be kept here"),
        (letter(Origin("old.topic", 1, 7)), "unusable", "old.topic: no such topic"),
        (
            letter(Origin("market.ticks", 1, 7), b'{"signal":1}'),
            "unusable",
            "it tells of a signal's failure, and is no message that was read",
        ),
    ],
)
def test_the_verdict_on_a_letter(found: DeadLetter, verdict: str, reason: str) -> None:
    outcome = verdict_of(found, RetryRecord())
    assert (outcome.verdict, outcome.reason) == (verdict, reason)


def test_a_letter_in_the_record_is_not_sent_again() -> None:
    assert verdict_of(letter(), RetryRecord(((4, 4),))).verdict == "already"


def test_letters_are_wanted_by_origin_and_range() -> None:
    json_letter, lost = letter(), letter(None)
    assert [
        Wanted().holds(lost),
        Wanted(topic="market.ticks.json").holds(json_letter),
        Wanted(topic="market.ticks").holds(json_letter),
        Wanted(topic="market.ticks.json").holds(lost),
        Wanted(first=4, last=4).holds(json_letter),
        Wanted(first=5).holds(json_letter),
        Wanted(last=3).holds(json_letter),
    ] == [True, True, False, False, True, False, False]
