"""Ingest on a real broker: every tick once, bad ones alone, whatever happens to the process."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from schemas import codec
from schemas.errors import DeliveryError, TopicError
from schemas.frame import decode_frame
from schemas.headers import H_ERROR, H_SOURCE, H_VERSION, H_WATERMARK, Origin, get_header, get_origin
from schemas.settings import Settings
from streams import admin, clients, topics
from streams.broker import EmbeddedBroker
from streams.clients import partition_of
from streams.ingest import Ingest
from streams.log_reader import LogReader
from tests.integration.lane import (
    SYMBOLS,
    by_partition,
    command,
    environment_of,
    ingest_all,
    ingesting,
    read_ticks,
    read_topic,
    repeats,
    send_json,
    some_ticks,
    tick,
)
from tests.kafka import ROOT
from tests.streams.test_health import fetch
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("topics_ready")]


def in_order(rows: dict[int, list[tuple[str, int]]]) -> dict[int, list[tuple[str, int]]]:
    """By symbol and sequence: the order that is promised when ticks of one partition come by several ways."""
    return {partition: sorted(found) for partition, found in rows.items()}


async def test_good_ticks_become_frames_and_bad_ones_dead_letters_of_their_own(settings: Settings) -> None:
    good = some_ticks(1, 41)
    array = [tick("S1", 100), tick("S1", 101, trade_px=-1.0), 7, tick("S1", 102)]
    await send_json(settings, good[:20])
    await send_json(
        settings, [b"{not json", array], partition=partition_of("S1", 4), headers=[("trace", b"x")]
    )
    await send_json(settings, good[20:])
    ingest = await ingest_all(settings, 42)
    expected = [*good[:20], array[0], array[3], *good[20:]]
    assert await read_ticks(settings) == by_partition(expected, 4)
    source = partition_of("S1", 4)
    at = sum(partition_of(value["symbol"], 4) == source for value in good[:20])
    letters = await read_topic(settings, topics.DEAD_LETTERS)
    where = f"market.ticks.json[{source}]@"
    assert [
        (r.partition, get_origin(r.headers), r.value, (get_header(r.headers, H_ERROR) or b"").decode())
        for r in letters
    ] == [
        (
            source,
            Origin("market.ticks.json", source, at),
            b"{not json",
            f"{where}{at}: not JSON: unexpected character, expected a string key: line 1 column 2 (char 1)",
        ),
        (
            source,
            Origin("market.ticks.json", source, at + 1, 1),
            codec.dumps(array[1]),
            f"{where}{at + 1} [1]: trade_px: input should be greater than 0, was -1.0",
        ),
        (
            source,
            Origin("market.ticks.json", source, at + 1, 2),
            b"7",
            f"{where}{at + 1} [2]: a tick must be a JSON object, was int",
        ),
    ]
    assert {get_header(letter.headers, "trace") for letter in letters} == {b"x"}
    totals = ingest.totals
    assert (totals.messages, totals.ticks, totals.framed, totals.dead, totals.repeated) == (42, 45, 42, 3, 0)


async def test_ticks_of_any_partitioner_reach_the_partition_of_their_symbol(settings: Settings) -> None:
    ticks = some_ticks(1, 200)
    for partition in range(4):
        await send_json(settings, ticks[partition::4], partition=partition)
    await ingest_all(settings, len(ticks), max_ticks=16)
    assert in_order(await read_ticks(settings)) == in_order(by_partition(ticks, 4))


async def test_a_message_of_a_later_version_is_kept_for_a_later_program(settings: Settings) -> None:
    await send_json(settings, [tick("S1", 1)], headers=[(H_VERSION, b"99")])
    await send_json(settings, [tick("S1", 2)], headers=[(H_VERSION, b"1")])
    ingest = await ingest_all(settings, 2)
    (letter,) = await read_topic(settings, topics.DEAD_LETTERS)
    assert "message version '99' is unknown" in (get_header(letter.headers, H_ERROR) or b"").decode()
    assert [value for name, value in letter.headers if name == H_VERSION] == [b"1", b"99"]
    assert await read_ticks(settings) == by_partition([tick("S1", 2)], 4)
    assert (ingest.totals.framed, ingest.totals.dead) == (1, 1)


async def test_a_bad_message_that_is_too_large_to_copy_is_pointed_at(settings: Settings) -> None:
    large = b'{"symbol":"' + b"x" * (clients.MAX_RECORD_BYTES - 100) + b'"}'
    await send_json(settings, [large], partition=2)
    await ingest_all(settings, 1)
    (letter,) = await read_topic(settings, topics.DEAD_LETTERS)
    assert letter.value is None
    assert get_origin(letter.headers) == Origin("market.ticks.json", 2, 0)
    assert b"too large to be copied here" in (get_header(letter.headers, H_ERROR) or b"")


async def crash(settings: Settings, messages: int) -> None:
    """An ingest that writes everything, and ends before it commits."""
    ingest = Ingest(settings, commit_interval_s=3_600)
    running = asyncio.create_task(ingest.run(asyncio.Event()))
    await until(lambda: ingest.totals.messages >= messages and ingest.writer is not None)
    assert ingest.writer is not None
    await ingest.writer.flush()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert ingest.totals.commits == 0


@pytest.mark.parametrize("scattered", [False, True])
async def test_after_a_crash_what_was_written_is_not_written_again(
    settings: Settings, scattered: bool
) -> None:
    first = some_ticks(1, 120)
    bad = [tick("S3", 900, trade_sz=-1.0), b"[]", b"nonsense"]
    array = [tick(SYMBOLS[k % 12], 1_000 + k) for k in range(30)]
    for number, values in enumerate((first, bad, [array])):
        await send_json(settings, values, partition=number if scattered or values is bad else None)
    await crash(settings, len(first) + len(bad) + 1)
    more = some_ticks(2_000, 2_040)
    await send_json(settings, more)
    ingest = await ingest_all(settings, len(first) + len(bad) + 1 + len(more))
    rows = await read_ticks(settings)
    assert repeats(rows) == {}
    assert in_order(rows) == in_order(by_partition([*first, *array, *more], 4))
    assert len(await read_topic(settings, topics.DEAD_LETTERS)) == 2
    totals = ingest.totals
    assert (totals.framed, totals.dead, totals.repeated) == (len(more), 0, len(first) + len(array) + 2)


async def test_after_a_crash_in_the_middle_only_the_rest_is_written(settings: Settings) -> None:
    """Of an array, the frames of two partitions had arrived, those of the others had not."""
    array = [tick(SYMBOLS[k % 12], 1 + k) for k in range(60)]
    await send_json(settings, [array], partition=0)
    await crash(settings, 1)
    rows = await read_ticks(settings)
    arrived = [record for record in await read_topic(settings, topics.TICKS) if record.partition % 2 == 0]
    other = settings.model_copy(update={"topic_prefix": settings.topic_prefix + "second."})
    await admin.ensure_topics(other)
    await start_and_stop(other)
    await send_json(other, [array], partition=0)
    name = topics.name(other, topics.TICKS)
    async with clients.started(other, clients.producer(other)) as producer:
        for frame in arrived:
            await producer.send_and_wait(name, frame.value, None, frame.partition, None, list(frame.headers))
    ingest = await ingest_all(other, 1)
    found = await read_ticks(other)
    await admin.delete_topics(other)
    assert found == rows
    assert ingest.totals.repeated == sum(len(rows[partition]) for partition in rows if partition % 2 == 0)
    assert 0 < ingest.totals.repeated < 60


async def start_and_stop(settings: Settings) -> None:
    """An ingest that finds nothing: it leaves offsets at the start behind, with notes."""
    async with ingesting(settings):
        pass


async def test_two_share_the_partitions_and_hand_them_over(settings: Settings) -> None:
    parts = [some_ticks(1 + 300 * k, 301 + 300 * k) for k in range(3)]
    async with ingesting(settings) as first:
        await send_json(settings, parts[0])
        await until(lambda: first.totals.messages == 300)
        async with ingesting(settings) as second:
            await until(lambda: 0 < len(first.lags()) < 4 or len(second.lags()) in (1, 2, 3))
            await send_json(settings, parts[1])
            await until(lambda: first.totals.messages + second.totals.messages == 600)
            assert second.totals.messages > 0
        await until(lambda: first.ready and len(first.lags()) == 4)
        await send_json(settings, parts[2])
        await until(lambda: first.totals.messages + second.totals.messages == 900)
    assert await read_ticks(settings) == by_partition([value for part in parts for value in part], 4)
    assert first.totals.repeated + second.totals.repeated == 0


async def test_an_idle_partition_hears_of_the_time_once_all_is_read(settings: Settings) -> None:
    target = partition_of("S1", 4)
    async with ingesting(settings, heartbeat_ms=10) as ingest:
        await send_json(settings, [tick("S1", 5)])
        await until(lambda: ingest.writer is not None and ingest.writer.heartbeats == 3)
    beats = {
        record.partition: get_header(record.headers, H_WATERMARK)
        for record in await read_topic(settings, topics.TICKS)
        if len(decode_frame(record.value)) == 0
    }
    assert beats == {p: b"1700000000000000005" for p in range(4) if p != target}


async def test_frames_say_which_json_they_hold(settings: Settings) -> None:
    ticks = [tick("S1", k) for k in range(1, 8)]
    await send_json(settings, ticks)
    await ingest_all(settings, 7, max_ticks=4)
    source = partition_of("S1", 4)
    spans = [get_header(r.headers, H_SOURCE) for r in await read_topic(settings, topics.TICKS)]
    assert spans == [f"{source}@0#0-3#0".encode(), f"{source}@4#0-6#0".encode()]


async def test_a_topic_of_another_size_is_refused(settings: Settings) -> None:
    with pytest.raises(TopicError, match="partition count is 4, declared 3"):
        await Ingest(settings.model_copy(update={"partitions": 3})).run(asyncio.Event())


async def test_a_stop_that_the_broker_does_not_acknowledge_ends_in_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = settings.model_copy(update={"shutdown_timeout_s": 0.2})
    stop = asyncio.Event()
    ingest = Ingest(hurried)
    running = asyncio.create_task(ingest.run(stop))
    await until(lambda: ingest.ready)
    assert ingest.writer is not None

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(ingest.writer, "flush", never)
    monkeypatch.setattr("streams.writer.writer.EXIT_S", 0.2)
    stop.set()
    with pytest.raises(DeliveryError, match=r"no acknowledgement within 0\.2 s"):
        await running


async def test_the_example_of_a_foreign_producer_is_understood(settings: Settings) -> None:
    example = await asyncio.create_subprocess_exec(
        sys.executable, "examples/foreign_producer.py", settings.broker, settings.topic_prefix,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await example.communicate()
    assert (example.returncode, out.startswith(b"wrote a frame of 3 ticks and 1 JSON tick of AAPL")) == (
        0,
        True,
    )
    await ingest_all(settings, 1)
    target = partition_of("AAPL", 4)
    frames = await read_topic(settings, topics.TICKS)
    assert [record.partition for record in frames] == [target] * 2
    foreign, ours = (decode_frame(record.value) for record in frames)
    assert foreign.columns["bid_px"].tolist() == [187_250_000_000, 0, 187_260_000_000]
    assert (ours.symbols, ours.columns["trade_px"].tolist()) == (("AAPL",), [187_280_000_000])


async def test_the_example_that_uses_our_writer_runs(settings: Settings) -> None:
    example = await asyncio.create_subprocess_exec(
        sys.executable, "examples/produce_ticks.py",
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)} | environment_of(settings),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await example.communicate()
    assert (example.returncode, out.startswith(b"10001 ticks in ")) == (0, True)
    assert sum(map(len, (await read_ticks(settings)).values())) == 10_001


async def test_the_command_reports_its_totals_and_serves_its_metrics(settings: Settings) -> None:
    port_file = settings.data_dir / "port"
    process = await command(
        settings, "ingest", "--json", "--metrics-port", "0", "--port-file", str(port_file)
    )
    try:
        await send_json(settings, [*some_ticks(1, 11), tick("S1", 11, trade_px=0)])
        await until(port_file.exists)
        address = f"http://127.0.0.1:{port_file.read_text()}"
        await written(settings, 10)
        await written(settings, 1, topics.DEAD_LETTERS)
        assert await fetch(f"{address}/ready") == (200, "ready\n")
        _, metrics = await fetch(f"{address}/metrics")
        assert 'tapestream_ingest_ticks_total{outcome="dead"} 1.0' in metrics
    finally:
        process.terminate()
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert json.loads(out) == {
        "messages": 11,
        "ticks": 11,
        "framed": 10,
        "dead": 1,
        "repeated": 0,
        "commits": json.loads(out)["commits"],
    }


async def test_the_command_waits_for_a_broker_and_can_be_stopped_while_it_does() -> None:
    process = await command(Settings(broker="127.0.0.1:1"), "ingest")
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readuntil(b"waiting for Kafka at 127.0.0.1:1"), 60)
    process.terminate()
    out, _ = await process.communicate()
    assert (process.returncode, out[:10]) == (0, b"0 messages"), line


@pytest.mark.faults
async def test_killed_under_load_again_and_again_every_tick_arrives_once(settings: Settings) -> None:
    """Kill -9 three times while JSON comes in, some of it keyed by another partitioner."""
    sent = 0
    enough = asyncio.Event()

    async def keep_sending_until_enough() -> None:
        nonlocal sent
        while not enough.is_set():
            await keep_sending(settings, sent + 200, first=sent + 1)
            sent += 200

    sending = asyncio.create_task(keep_sending_until_enough())
    seen = 0
    for _ in range(3):
        process = await command(settings, "ingest", "--commit-interval-s", "0.3", "--max-age-ms", "5")
        try:
            seen = await written(settings, seen + 3_000)
            assert not sending.done()
        finally:
            process.kill()
            await process.communicate()
    enough.set()
    await sending
    port_file = settings.data_dir / "port"
    last = await command(settings, "ingest", "--metrics-port", "0", "--port-file", str(port_file))
    try:
        await until(port_file.exists, timeout_s=60)
        await written(settings, sent)
    finally:
        last.terminate()
        _, err = await last.communicate()
    assert last.returncode == 0, err.decode()
    rows = await read_ticks(settings)
    assert repeats(rows) == {}
    assert in_order(rows) == in_order(by_partition(some_ticks(1, sent + 1), 4))


@pytest.mark.faults
async def test_a_broker_that_is_killed_and_comes_back_costs_no_tick(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "kafka", port=0) as broker:
        settings = Settings(broker=broker.address, partitions=4)
        await admin.ensure_topics(settings)
        total = 12_000
        async with ingesting(settings, commit_interval_s=0.2, max_age_ms=2) as ingest:
            await keep_sending(settings, total // 2)
            await until(lambda: ingest.totals.framed > total // 10)
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.restart)
            await keep_sending(settings, total, first=total // 2 + 1)
            await until(lambda: ingest.totals.messages >= total, timeout_s=90)
        rows = await read_ticks(settings)
    assert repeats(rows) == {}
    assert in_order(rows) == in_order(by_partition(some_ticks(1, total + 1), 4))


async def keep_sending(settings: Settings, total: int, first: int = 1) -> None:
    """Bursts of 200, each to one partition or, every fifth one, to a wrong one."""
    for start in range(first, total + 1, 200):
        burst = some_ticks(start, start + 200)
        await send_json(settings, burst, partition=(start // 200) % 4 if start // 200 % 5 == 0 else None)


async def written(settings: Settings, ticks: int, base: str = topics.TICKS) -> int:
    """Return when so many ticks, or dead letters, are on the log, and how many there are."""
    seen: dict[int, int] = {}
    count = 0
    name = topics.name(settings, base)
    async with asyncio.timeout(120), LogReader(settings) as reader:
        while count < ticks:
            for partition in range(4):
                _, end = await reader.bounds(name, partition)
                async for record in reader.read(name, partition, seen.get(partition, 0), end):
                    count += len(decode_frame(record.value)) if base == topics.TICKS else 1
                seen[partition] = end
            await asyncio.sleep(0.02)
    return count
