"""Listing dead letters and sending them again, each one once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from schemas import codec
from schemas.errors import TapestreamError, TopicError
from schemas.headers import (
    H_ERROR,
    H_RETRIED,
    H_VERSION,
    VERSION_HEADER,
    Origin,
    dead_letter_headers,
    get_header,
)
from schemas.settings import Settings
from streams import clients, topics
from streams.dead_letters import Outcome, Retry, Wanted, read_letter, read_letters
from streams.dead_letters.record import KEY, Entry
from streams.dead_letters.retry import GIVEN_UP_MS
from tests.integration.lane import command, ingest_all, read_ticks, read_topic, send_json, tick

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("topics_ready")]

LATER_MS = time.time_ns() // 1_000_000 + 10 * GIVEN_UP_MS


async def bury(settings: Settings, *letters: tuple[Origin, bytes | None], partition: int = 1) -> None:
    """Put letters onto a partition of the topic."""
    async with clients.started(settings, clients.producer(settings)) as producer:
        for origin, payload in letters:
            headers = [*dead_letter_headers(origin, f"{origin}: bad", "mend it"), ("trace", b"t")]
            name = topics.name(settings, topics.DEAD_LETTERS)
            await producer.send_and_wait(name, payload, b"key", partition, headers=headers)


async def write_entry(settings: Settings, record: Entry, at_ms: int, partition: int = 1) -> None:
    async with clients.started(settings, clients.producer(settings)) as producer:
        name = topics.name(settings, topics.DEAD_LETTERS)
        await producer.send_and_wait(name, record.encode(), KEY, partition, at_ms, [VERSION_HEADER])


async def retry(settings: Settings, wanted: Wanted | None = None, **options: Any) -> list[Outcome]:
    return [outcome async for outcome in Retry(settings, wanted or Wanted(), **options).run()]


def verdicts(outcomes: list[Outcome]) -> list[tuple[int, str]]:
    return [(outcome.letter.offset, outcome.verdict) for outcome in outcomes]


def json_origin(offset: int, partition: int = 1) -> Origin:
    return Origin(topics.TICKS_JSON, partition, offset)


async def test_a_bad_tick_can_be_sent_again_once_and_says_so(settings: Settings) -> None:
    await send_json(
        settings, [tick("S1", 7, trade_px=-1.0)], partition=2, headers=[("trace", b"t"), (H_VERSION, b"1")]
    )
    await ingest_all(settings, 1)
    assert verdicts(await retry(settings, dry_run=True)) == [(0, "retried")]
    assert len(await read_topic(settings, topics.TICKS_JSON)) == 1
    assert verdicts(await retry(settings)) == [(0, "retried")]
    assert verdicts(await retry(settings)) == [(0, "already")]
    first, again = await read_topic(settings, topics.TICKS_JSON)
    assert (again.partition, again.value) == (2, first.value)
    assert list(again.headers) == [
        ("trace", b"t"),
        (H_VERSION, b"1"),
        (H_RETRIED, b"dead.letters[2]@0#0"),
    ]
    ingest = await ingest_all(settings, 1)
    assert ingest.totals.dead == 1  # it is as bad as it was; its new letter can be retried too
    letters = [(letter.offset, retried) async for letter, retried in read_letters(settings, Wanted())]
    assert letters == [(0, True), (3, False)]
    assert verdicts(await retry(settings)) == [(0, "already"), (3, "retried")]
    last = (await read_topic(settings, topics.TICKS_JSON))[-1]
    assert [value for name, value in last.headers if name == H_RETRIED] == [b"dead.letters[2]@3#0"]


async def test_a_mended_reason_makes_the_tick_good(settings: Settings) -> None:
    good = tick("S1", 9)
    target = clients.partition_of("S1", 4)
    await bury(settings, (json_origin(0, target), codec.dumps(good)), partition=target)
    await retry(settings)
    await ingest_all(settings, 1)
    assert await read_ticks(settings) == {target: [("S1", 9)]}


async def test_only_the_wanted_letters_are_sent(settings: Settings) -> None:
    await bury(
        settings,
        (json_origin(0), b"0"),
        (Origin(topics.TICKS, 1, 5), b"\xff\xff frame"),
        (json_origin(2), b"2"),
        (json_origin(3), b"3"),
        (Origin("another.topic", 1, 1), b"4"),
        (json_origin(9), None),
    )
    assert verdicts(await retry(settings, Wanted(topics.TICKS_JSON, 1, 2, 2))) == [(2, "retried")]
    assert verdicts(await retry(settings, Wanted(topics.TICKS_JSON))) == [
        (0, "retried"),
        (2, "already"),
        (3, "retried"),
        (5, "unusable"),
    ]
    assert [record.value for record in await read_topic(settings, topics.TICKS_JSON)] == [b"2", b"0", b"3"]
    assert verdicts(await retry(settings)) == [
        (0, "already"),
        (1, "retried"),
        (2, "already"),
        (3, "already"),
        (4, "unusable"),
        (5, "unusable"),
    ]
    assert [record.value for record in await read_topic(settings, topics.TICKS)] == [b"\xff\xff frame"]


async def test_what_an_interrupted_retry_sent_is_not_sent_again(settings: Settings) -> None:
    await bury(settings, (json_origin(0), b"0"), (json_origin(1), b"1"), (json_origin(2), b"2"))
    await send_json(settings, [b"before"], partition=1)
    # the record of what was to be done, one letter of three sent, and then the end
    began_ms = LATER_MS - 2 * GIVEN_UP_MS
    await write_entry(settings, Entry("a", {(topics.TICKS_JSON, 1): 1}), began_ms)
    await send_json(settings, [b"1"], partition=1, headers=[(H_RETRIED, b"dead.letters[1]@1#0")])
    outcomes = await retry(settings, now_ms=lambda: LATER_MS)
    assert verdicts(outcomes) == [(0, "retried"), (1, "already"), (2, "retried")]
    values = [record.value for record in await read_topic(settings, topics.TICKS_JSON)]
    assert values == [b"before", b"1", b"0", b"2"]
    assert [verdict for _, verdict in verdicts(await retry(settings))] == ["already"] * 3


async def test_a_second_retry_gives_way_while_a_first_is_at_work(settings: Settings) -> None:
    await bury(settings, (json_origin(0), b"0"))
    await write_entry(settings, Entry("a", {(topics.TICKS_JSON, 1): 0}), LATER_MS - GIVEN_UP_MS // 2)
    with pytest.raises(TapestreamError, match="another retry is at work"):
        await retry(settings, now_ms=lambda: LATER_MS)
    assert await read_topic(settings, topics.TICKS_JSON) == []


async def test_of_two_retries_at_once_each_letter_is_sent_by_one(settings: Settings) -> None:
    await bury(settings, *((json_origin(k), b"%d" % k) for k in range(20)))
    ended = await asyncio.gather(retry(settings), retry(settings), return_exceptions=True)
    assert any(not isinstance(end, BaseException) for end in ended)
    assert all(isinstance(end, list | TapestreamError) for end in ended)
    values = [record.value for record in await read_topic(settings, topics.TICKS_JSON)]
    assert values == [b"%d" % k for k in range(20)]


async def test_a_letter_that_is_not_there_is_named(settings: Settings) -> None:
    with pytest.raises(TopicError, match=r"dead\.letters\[1\]@5 is no dead letter"):
        await read_letter(settings, 1, 5)
    with pytest.raises(TopicError, match="has no partition 9"):
        await retry(settings, Wanted(partition=9))


async def run(settings: Settings, *words: str) -> tuple[int | None, str, str]:
    process = await command(settings, "dead-letters", *words)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_commands_list_show_and_retry(settings: Settings) -> None:
    await send_json(settings, [[tick("S1", 1), tick("S1", 2, trade_px=-1.0)]], partition=2)
    await ingest_all(settings, 1)
    code, out, err = await run(settings, "list", "--json")
    assert (code, err) == (0, "")
    (line,) = [codec.loads(text) for text in out.splitlines()]
    error = "market.ticks.json[2]@0 [1]: trade_px: input should be greater than 0, was -1.0"
    remedy = "prices are positive numbers, or strings of them, of at most 9 decimals"
    assert line | {"written": ""} == {
        "letter": "2@0",
        "written": "",
        "origin": "market.ticks.json[2]@0#1",
        "error": error,
        "remedy": remedy,
        "bytes": len(codec.dumps(tick("S1", 2, trade_px=-1.0))),
        "retried": False,
    }
    code, out, _ = await run(settings, "list")
    assert (code, "2@0" in out, "trade_px" in out) == (0, True, True)
    code, out, _ = await run(settings, "show", "2@0", "--json")
    shown = codec.loads(out)
    assert shown["payload"] == tick("S1", 2, trade_px=-1.0)
    assert [H_ERROR, error] in shown["headers"]
    code, out, _ = await run(settings, "retry", "--dry-run")
    assert (code, out) == (
        0,
        "2@0: would go to market.ticks.json[2]\n1 would be sent again, 0 were already, 0 cannot be\n",
    )
    code, out, _ = await run(settings, "retry", "--topic", "market.ticks.json")
    assert (code, out.splitlines()[0]) == (0, "2@0: sent to market.ticks.json[2]")
    code, out, _ = await run(settings, "retry", "--json")
    assert (code, codec.loads(out)["verdict"]) == (0, "already")
    code, out, _ = await run(settings, "list")
    assert "yes" in out


async def test_the_commands_say_what_is_wrong_with_their_arguments(settings: Settings) -> None:
    code, _, err = await run(settings, "show", "here")
    assert (code, "is not like 2@17" in err) == (2, True)
    code, _, err = await run(settings, "show", "1@5")
    assert (code, "is no dead letter" in err) == (4, True)


async def test_a_letter_keeps_the_headers_of_its_message(settings: Settings) -> None:
    await bury(settings, (json_origin(3), b"x"))
    letter, retried = await read_letter(settings, 1, 0)
    assert (letter.origin, letter.error, letter.remedy, letter.payload, retried) == (
        json_origin(3),
        "market.ticks.json[1]@3#0: bad",
        "mend it",
        b"x",
        False,
    )
    assert get_header(letter.headers, "trace") == b"t"
