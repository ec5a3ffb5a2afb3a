"""Replay and record against a real broker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas import codec
from schemas.errors import DataLossError, TopicError
from schemas.frame import decode_frame
from schemas.headers import H_WATERMARK, get_header
from schemas.settings import Settings
from schemas.ticks import NUMERIC, Sequences, Ticks
from streams import clients, topics
from streams.admin import admin_client
from streams.log_reader import LogReader
from streams.record import RecordOptions, record
from streams.record_files import Rotation
from streams.replay import Replay, ReplayOptions, Source, SourceSpec
from streams.replay import send as sending_module
from streams.replay.order import join
from tests.streams.replay.making import parquet, ticks_at
from tests.streams.replay.reading import real

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("topics_ready")]

FULL_SPEED = ReplayOptions(speed=None)


async def log_of(settings: Settings, base: str = topics.TICKS) -> list[list[tuple[bytes, bool]]]:
    """By partition, the payloads and whether each is a heartbeat."""
    name = topics.name(settings, base)
    async with LogReader(settings) as reader:
        return [
            [
                (record.value, get_header(record.headers, H_WATERMARK) is not None)
                async for record in reader.rest(name, partition)
            ]
            for partition in range(settings.partitions)
        ]


def ticks_of(partition: list[tuple[bytes, bool]]) -> Ticks | None:
    frames = [decode_frame(value) for value, heartbeat in partition if not heartbeat]
    return join(frames) if frames else None


def content(ticks: Ticks | None) -> list[tuple[object, ...]]:
    """Every column of every tick, symbols by name."""
    if ticks is None:
        return []
    names = [ticks.symbols[code] for code in ticks.columns["symbol"].tolist()]
    return list(zip(names, *(ticks.columns[name].tolist() for name in NUMERIC), strict=True))


def market(n: int = 30_000) -> Ticks:
    rng = np.random.default_rng(1)
    at = np.sort(rng.integers(0, 60_000, n)).tolist()
    symbols = rng.choice([f"S{i}" for i in range(20)], n).tolist()
    return ticks_at(at, "".join(rng.choice(list("qt"), n)), symbols=symbols)


async def replayed(settings: Settings, spec: SourceSpec, options: ReplayOptions = FULL_SPEED) -> Replay:
    replay = Replay(settings, Source(spec), options)
    await replay.run()
    return replay


async def test_a_replay_sends_every_tick_in_order_and_closes_the_windows(
    settings: Settings, tmp_path: Path
) -> None:
    ticks = market()
    replay = await replayed(settings, SourceSpec((parquet(tmp_path / "m.parquet", ticks),)))
    log = await log_of(settings)
    expected = [row for block in Source(replay.source.spec).blocks() for row in content(block)]
    for number, partition in enumerate(log):
        mine = [row for row in expected if clients.partition_of(str(row[0]), settings.partitions) == number]
        assert content(ticks_of(partition)) == mine
        assert [heartbeat for _, heartbeat in partition][-1:] == [True]
    report = replay.report()
    assert (report["ticks"], report["finished"], report["pacing_error_ms"]) == (30_000, True, None)
    assert report["frames"] == sum(not heartbeat for partition in log for _, heartbeat in partition)


async def test_going_on_after_a_crash_sends_the_frames_of_an_undisturbed_replay(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_module, "FLUSH_TICKS", 8_192)
    spec = SourceSpec((parquet(tmp_path / "m.parquet", market()),), number=True)
    await replayed(settings, spec)
    undisturbed = await log_of(settings)

    other = settings.model_copy(update={"topic_prefix": settings.topic_prefix + "again."})
    from streams import admin

    await admin.ensure_topics(other)
    try:
        crashing = Replay(other, Source(spec), FULL_SPEED)

        def crash(sending: sending_module.Sending) -> None:
            if sending.ticks >= 2 * 8_192:
                raise RuntimeError("killed")

        with pytest.raises(RuntimeError, match="killed"):
            await crashing.run(crash)
        position = crashing._positions().load()
        assert (position.ticks, position.finished) == (16_384, False)
        again = await replayed(other, spec, replace(FULL_SPEED, resume=True))
        assert (again.report()["resumed_at"], again.report()["ticks"]) == (16_384, 30_000 - 16_384)
        assert await log_of(other) == undisturbed
        done = await replayed(other, spec, replace(FULL_SPEED, resume=True))
        assert (done.report()["ticks"], done.report()["finished"]) == (0, True)
        assert await log_of(other) == undisturbed
    finally:
        await admin.delete_topics(other)


async def test_what_is_recorded_replays_to_the_same_ticks(settings: Settings, tmp_path: Path) -> None:
    ticks = market(5_000)
    ticks = Ticks(ticks.symbols, ticks.columns, Sequences(dense_trades=True))
    jumbled = ticks.take(np.random.default_rng(2).permutation(5_000))  # late ticks must stay late
    spec = SourceSpec((parquet(tmp_path / "m.parquet", jumbled),), order="file")
    await replayed(settings, spec, replace(FULL_SPEED, frame_ticks=300))
    before = await log_of(settings)
    options = RecordOptions(
        (topics.TICKS,), from_beginning=True, until_caught_up=True, rotation=Rotation(rows=700)
    )
    tally = await record(settings, tmp_path / "out", options)
    assert (tally.rows, tally.unreadable) == (5_000, 0)
    assert len(tally.files) > settings.partitions
    paths = tuple(sorted((tmp_path / "out").glob("*.parquet"), reverse=True))
    source = Source(SourceSpec(paths))
    assert source.order == "file"
    await Replay(settings, source, FULL_SPEED).run()
    after = [log[len(old) :] for log, old in zip(await log_of(settings), before, strict=True)]
    assert [content(ticks_of(log)) for log in after] == [content(ticks_of(log)) for log in before]
    assert {decode_frame(value).sequences for log in after for value, beat in log if not beat} == {
        Sequences(dense_trades=True)
    }


async def test_recording_goes_on_without_a_gap_or_a_repeat(settings: Settings, tmp_path: Path) -> None:
    path = parquet(tmp_path / "m.parquet", ticks_at(range(100), symbols=["A", "B"] * 50))
    folder = tmp_path / "out"
    # Nothing is there yet: what comes after this start must be found by the next one.
    first = await record(settings, folder, RecordOptions((topics.TICKS,), until_caught_up=True))
    assert (first.messages, first.files) == (0, [])
    for _ in range(3):
        await replayed(settings, SourceSpec((path,), number=True), replace(FULL_SPEED, close=False))
        await record(settings, folder, RecordOptions((topics.TICKS,), until_caught_up=True))
    offsets: dict[int, list[int]] = {}
    for name in sorted(file.name for file in folder.glob("*.parquet")):
        for row in pq.read_table(folder / name, columns=["log_partition", "log_offset"]).to_pylist():
            offsets.setdefault(row["log_partition"], []).append(row["log_offset"])
    ends = [len(log) for log in await log_of(settings)]
    assert {number: sorted(set(found)) for number, found in offsets.items()} == {
        number: list(range(end)) for number, end in enumerate(ends) if end
    }
    assert sum(map(len, offsets.values())) == 300
    assert all(found == sorted(found) for found in offsets.values())


async def test_a_follower_records_what_comes_and_stops_in_time(settings: Settings, tmp_path: Path) -> None:
    path = parquet(tmp_path / "m.parquet", ticks_at(range(100)))
    seen = asyncio.Event()
    task = asyncio.create_task(
        record(
            settings,
            tmp_path / "out",
            RecordOptions((topics.TICKS, topics.SIGNALS), from_beginning=True),
            lambda tally: seen.set() if tally.rows >= 100 else None,
        )
    )
    await replayed(settings, SourceSpec((path,)))
    async with asyncio.timeout(30):
        await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    tables = [pq.read_table(name) for name in (tmp_path / "out").glob("*.parquet")]
    assert sum(table.num_rows for table in tables) == 100
    timed = await record(settings, tmp_path / "out", RecordOptions((topics.TICKS,), seconds=0.0))
    assert timed.messages == 0


async def test_signals_are_recorded_as_columns(settings: Settings, tmp_path: Path) -> None:
    producer = clients.producer(settings)
    await producer.start()
    for side in (1, -1):
        value = codec.dumps({"symbol": "SPY", "side": side, "features": {"ofi": 2.5}})
        await producer.send_and_wait(topics.name(settings, topics.SIGNALS), value, key=b"SPY", partition=0)
    await producer.stop()
    options = RecordOptions((topics.SIGNALS,), from_beginning=True, until_caught_up=True)
    tally = await record(settings, tmp_path / "out", options)
    [name] = tally.files
    found = pq.read_table(tmp_path / "out" / name).select(
        ["log_offset", "log_key", "symbol", "side", "features"]
    )
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        (0, b"SPY", "SPY", 1, '{"ofi":2.5}'),
        (1, b"SPY", "SPY", -1, '{"ofi":2.5}'),
    ]


async def test_a_log_that_lost_what_the_files_lack_is_data_loss(settings: Settings, tmp_path: Path) -> None:
    from aiokafka import TopicPartition
    from aiokafka.admin import RecordsToDelete

    folder = tmp_path / "out"
    path = parquet(tmp_path / "m.parquet", ticks_at(range(10)))
    keep_open = replace(FULL_SPEED, close=False)
    await replayed(settings, SourceSpec((path,)), keep_open)
    caught_up = RecordOptions((topics.TICKS,), from_beginning=True, until_caught_up=True)
    await record(settings, folder, caught_up)
    for _ in range(2):
        await replayed(settings, SourceSpec((path,)), keep_open)
    name, number = topics.name(settings, topics.TICKS), clients.partition_of("A", settings.partitions)
    async with admin_client(settings) as admin:
        await admin.delete_records({TopicPartition(name, number): RecordsToDelete(before_offset=2)})
    with pytest.raises(DataLossError, match=r"offsets 1 to 1 are no longer in the log") as caught:
        await record(settings, folder, caught_up)
    assert "--skip-lost" in caught.value.remedy
    tally = await record(settings, folder, replace(caught_up, skip_lost=True))
    assert tally.messages == 1


async def test_a_folder_of_another_log_is_not_gone_on_with(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    caught_up = RecordOptions((topics.TICKS,), from_beginning=True, until_caught_up=True)
    await record(settings, folder, caught_up)
    name = topics.name(settings, topics.TICKS)
    (folder / f"{name}.00002.{0:019d}-{41:019d}.parquet").touch()  # of a log that was longer
    with pytest.raises(DataLossError, match=r"\[2\]: the files end at offset 42, the log already at 0"):
        await record(settings, folder, caught_up)


async def test_an_absent_topic_is_named(settings: Settings, tmp_path: Path) -> None:
    nowhere = settings.model_copy(update={"topic_prefix": settings.topic_prefix + "none."})
    with pytest.raises(TopicError, match=r"market\.ticks is absent"):
        await record(nowhere, tmp_path / "out", RecordOptions((topics.TICKS,)))
    with pytest.raises(TopicError):
        await replayed(nowhere, SourceSpec((parquet(tmp_path / "m.parquet", ticks_at([0])),)))


async def test_a_recorded_exchange_goes_through_kafka_whole(settings: Settings) -> None:
    path = real("binance/usdm_btcusdt_20240808.gz")
    replay = await replayed(settings, SourceSpec((path,)))
    assert replay.report()["ticks"] == 66_089 + 21_313
    [ticks] = [found for log in await log_of(settings) if (found := ticks_of(log)) is not None]
    at, kind = ticks.columns["ts_event_ns"], ticks.columns["kind"]
    assert len(ticks) == 66_089 + 21_313
    assert ((np.diff(at) > 0) | ((np.diff(at) == 0) & (kind[:-1] >= kind[1:]))).all()
    assert (np.diff(ticks.columns["sequence"][kind == 1].astype(np.int64)) == 1).mean() > 0.99
    assert ticks.sequences == Sequences(dense_trades=True)


async def test_a_paced_replay_keeps_its_pace_on_the_broker(settings: Settings, tmp_path: Path) -> None:
    path = parquet(tmp_path / "m.parquet", ticks_at(range(0, 1_000, 10)))
    replay = await replayed(settings, SourceSpec((path,)), ReplayOptions(speed=2.0))
    report = replay.report()
    assert report["seconds"] >= 0.495  # a replay is never early; how late it is, the machine decides
    assert report["pacing_error_ms"]["p99"] >= 0
    log = await log_of(settings)
    assert [len(content(ticks_of(partition))) for partition in log if ticks_of(partition)] == [100]
