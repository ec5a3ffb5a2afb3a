"""The analysis gives the stream's rows, bit for bit, whether it reads the topic or a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.configuration import partition_config
from agents.messages import Message
from agents.partition import Partition
from agents.tasks.agent import MIB, Task
from agents.tasks.hft_analysis import HftAnalysis, HftAnalysisData
from agents.tasks.results import TaskRows
from schemas.codec import loads
from schemas.errors import TaskError, TopicError
from schemas.frame import encode_frame
from schemas.headers import H_WATERMARK, VERSION_HEADER
from schemas.ipc import read_batch
from schemas.settings import Settings
from schemas.ticks import Ticks
from streams import checkpoints, clients, topics
from streams.clients import partition_of
from streams.log_reader import LogReader
from streams.market.config import MarketConfig
from streams.market.files import ParquetSink
from streams.market.market import SimulatedMarket
from streams.replay.run import Replay, ReplayOptions
from streams.replay.send import closing_ns
from streams.replay.source import Source, SourceSpec
from streams.topics import FEATURES, SIGNALS
from tests.agents.tasks.running import CPU, assignment, new_runner

WINDOWS_MS = (100, 1_000)


@pytest.fixture(scope="module")
def ticks() -> Ticks:
    """Six symbols; without a fee they bring some signals."""
    return SimulatedMarket(MarketConfig(symbols=6, seed=3)).block(n_ticks=24_000)


async def written(ticks: Ticks, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    async with ParquetSink(path) as sink:
        for start in range(0, len(ticks), 7_000):
            await sink.write(ticks.take(slice(start, start + 7_000)))
    return path


def stream(ticks: Ticks, settings: Settings, frame_ticks: int) -> tuple[list[tuple], list[tuple]]:
    """Rows and signals as workers write them, partition after partition, the last windows closed."""
    homes = np.array([partition_of(symbol, settings.partitions) for symbol in ticks.symbols])
    homes = homes[ticks.columns["symbol"]]
    rows, signals = [], []
    config = partition_config(settings)
    close = str(closing_ns(settings)(int(ticks.columns["ts_event_ns"].max()))).encode()
    for number in range(settings.partitions):
        own = ticks.take(np.flatnonzero(homes == number))
        frames = [encode_frame(own.take(slice(k, k + frame_ticks))) for k in range(0, len(own), frame_ticks)]
        messages = [Message(offset, 0, [VERSION_HEADER], frame) for offset, frame in enumerate(frames)]
        messages.append(Message(len(frames), 0, [VERSION_HEADER, (H_WATERMARK, close)], b""))
        state = Partition(config(number))
        for message in messages:
            for output in state.process(message):
                if output.topic == FEATURES:
                    rows += bits(pa.Table.from_batches([read_batch(output.value)]))
                elif output.topic == SIGNALS:
                    found = loads(output.value)
                    signals.append((found["symbol"], found["ts_event_ns"], found["kind"], found["side"]))
    return rows, signals


def bits(table: pa.Table) -> list[tuple]:
    """Rows as tuples in which floats are their bits, so that NaN equals NaN and -0.0 is not 0.0."""
    columns = []
    for name in table.column_names:
        if name == "signals":
            continue
        values = table.column(name)
        is_float = pa.types.is_floating(values.type)
        columns.append(values.to_numpy().view(np.uint64).tolist() if is_float else values.to_pylist())
    return list(zip(*columns, strict=True))


def the_task(settings: Settings, **fields: object) -> Task:
    data = HftAnalysisData.model_validate(fields)
    return Task("t", "hft_analysis", 1, data, CPU, 512 * MIB, settings)


async def analysed(settings: Settings, **fields: object) -> TaskRows:
    return await HftAnalysis().process_task(the_task(settings, **fields))


def by_key(rows: list[tuple]) -> list[tuple]:
    return sorted(rows, key=lambda row: (row[0], row[1], row[3]))


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_file_gives_the_rows_that_the_stream_gives(tmp_path, ticks, partitions):
    settings = Settings(data_dir=tmp_path, partitions=partitions, windows_ms=WINDOWS_MS, fee_bps=0.0)
    await written(ticks, tmp_path / "day.parquet")
    wanted = list(ticks.symbols[:5])
    found = await analysed(settings, symbols=wanted, file="day.parquet")
    rows, signals = stream(ticks, settings, frame_ticks=1_000)
    assert bits(found.rows) == by_key([row for row in rows if row[0] in wanted])
    assert len(found.rows) > 100
    said = [
        (row["symbol"], row["close_ns"], signal["kind"], signal["side"])
        for row in found.rows.select(["symbol", "close_ns", "signals"]).to_pylist()
        for signal in row["signals"]
    ]
    assert sorted(said) == sorted(signal for signal in signals if signal[0] in wanted)
    assert (len(said) > 0, found.summary["n_signals"]) == (True, len(said))
    homes = {partition_of(symbol, partitions) for symbol in wanted}
    in_homes = sum(
        int((ticks.columns["symbol"] == code).sum())
        for code, symbol in enumerate(ticks.symbols)
        if partition_of(symbol, partitions) in homes
    )
    assert found.summary["counts"]["ticks_in"] == in_homes
    assert found.summary["whole_history"] is True


async def test_a_range_is_of_windows_that_lie_inside_it(tmp_path, ticks):
    settings = Settings(data_dir=tmp_path, partitions=1, windows_ms=WINDOWS_MS, fee_bps=0.0)
    await written(ticks, tmp_path / "day.parquet")
    ask = {"symbols": list(ticks.symbols), "file": "day.parquet"}
    whole = await analysed(settings, **ask)
    times = ticks.columns["ts_event_ns"]
    from_ns, to_ns = int(times[len(times) // 3]), int(times[len(times) // 2])
    part = await analysed(settings, **ask, from_ns=from_ns, to_ns=to_ns)
    assert bits(part.rows) == [row for row in bits(whole.rows) if row[2] >= from_ns and row[3] <= to_ns]
    assert len(part.rows) > 10
    assert part.summary["counts"]["ticks_in"] <= whole.summary["counts"]["ticks_in"]


async def test_rows_with_signals_alone_can_be_asked_for(tmp_path, ticks):
    settings = Settings(data_dir=tmp_path, partitions=1, windows_ms=WINDOWS_MS, fee_bps=0.0)
    await written(ticks, tmp_path / "day.parquet")
    ask = {"symbols": list(ticks.symbols), "file": "day.parquet"}
    whole = await analysed(settings, **ask)
    changed = await analysed(settings, **ask, rows="signals")
    expected = [row for row in whole.rows.to_pylist() if row["signals"]]
    assert [row["signals"] for row in changed.rows.to_pylist()] == [row["signals"] for row in expected]
    assert changed.summary["n_rows"] == len(expected) > 0


async def test_other_windows_can_be_asked_for(tmp_path, ticks):
    settings = Settings(data_dir=tmp_path, partitions=1, windows_ms=WINDOWS_MS, fee_bps=0.0)
    await written(ticks, tmp_path / "day.parquet")
    found = await analysed(settings, symbols=[ticks.symbols[0]], file="day.parquet", windows_ms=[500])
    assert set(found.rows.column("window_ns").to_pylist()) == {500_000_000}
    with pytest.raises(TaskError, match=r"data\.windows_ms: .*ascend") as error:
        await analysed(settings, symbols=["A"], file="day.parquet", windows_ms=[500, 100])
    assert error.value.field == "data.windows_ms"


async def test_symbols_without_ticks_are_named(tmp_path, ticks):
    settings = Settings(data_dir=tmp_path, partitions=1, windows_ms=WINDOWS_MS, fee_bps=0.0)
    await written(ticks, tmp_path / "day.parquet")
    found = await analysed(settings, symbols=["NOBODY", ticks.symbols[0]], file="day.parquet")
    assert found.summary["unknown_symbols"] == ["NOBODY"]


@pytest.mark.parametrize("name", ["../secret.parquet", "/etc/passwd", "link.parquet", ".", "a/../../x"])
async def test_a_file_outside_of_the_data_folder_is_refused(tmp_path, ticks, name):
    data = tmp_path / "data"
    data.mkdir()
    await written(ticks, tmp_path / "secret.parquet")
    (data / "link.parquet").symlink_to(tmp_path / "secret.parquet")
    with pytest.raises(TaskError, match="is outside of the data folder") as error:
        await analysed(Settings(data_dir=data), symbols=["A"], file=name)
    assert (error.value.code, error.value.field) == ("BAD_REQUEST", "data.file")


async def test_a_file_that_is_no_parquet_of_ticks_is_refused(tmp_path):
    (tmp_path / "text.parquet").write_text("no parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    for name in ("absent.parquet", "text.parquet", "other.parquet"):
        with pytest.raises(TaskError, match=name) as error:
            await analysed(Settings(data_dir=tmp_path), symbols=["A"], file=name)
        assert (error.value.code, error.value.field) == ("BAD_REQUEST", "data.file")


@pytest.mark.parametrize(
    "fields",
    [
        {"symbols": []},
        {"symbols": ["A"], "from_ns": 2, "to_ns": 2},
        {"symbols": ["A"], "file": "x", "first_offset": 0},
        {"symbols": ["A"], "first_offset": 2, "last_offset": 1},
        {"symbols": ["A"], "form_ns": 1},
        {"symbols": ["A" * 65]},
    ],
    ids=str,
)
def test_data_that_makes_no_sense_is_refused(fields):
    with pytest.raises(ValidationError):
        HftAnalysisData.model_validate(fields)


@given(st.lists(st.floats(allow_nan=True), max_size=8))
@bounded(max_examples=20, deadline=None)
def test_bits_tell_every_float_apart(values):
    table = pa.table({"x": pa.array(values, pa.float64())})
    assert bits(table) == [(int(np.float64(value).view(np.uint64)),) for value in values]


async def test_a_child_does_it_and_writes_parquet_when_it_is_large(tmp_path, ticks):
    # The settings of the runner reach the child; the windows here are the default ones.
    await written(ticks, tmp_path / "ticks" / "day.parquet")
    told = []
    async with new_runner(tmp_path, options={"inline_bytes": 20_000}) as runner:
        large = await runner.run(
            assignment("hft_analysis", symbols=list(ticks.symbols), file="ticks/day.parquet"),
            progress=told.append,
        )
        outside = await runner.run(assignment("hft_analysis", symbols=["A"], file="../day.parquet"))
    assert (large.failure, large.result_path) == (None, "results/task.1.parquet")
    settings = Settings(data_dir=tmp_path)
    here = await analysed(settings, symbols=list(ticks.symbols), file="ticks/day.parquet")
    assert bits(pq.read_table(tmp_path / large.result_path)) == bits(here.rows)
    assert large.result == here.summary
    assert told[-1].stage == "computing"
    assert (outside.failure.code, outside.failure.field) == ("BAD_REQUEST", "data.file")


@pytest.mark.kafka
@pytest.mark.usefixtures("topics_ready")
async def test_the_topic_gives_the_rows_of_the_file_that_was_replayed_to_it(settings, ticks):
    settings = settings.model_copy(update={"windows_ms": WINDOWS_MS, "fee_bps": 0.0})
    path = await written(ticks, settings.data_dir / "day.parquet")
    await Replay(settings, Source(SourceSpec((path,))), ReplayOptions(speed=None, frame_ticks=512)).run()
    wanted = list(ticks.symbols[:4])
    of_file = await analysed(settings, symbols=wanted, file="day.parquet")
    of_topic = await analysed(settings, symbols=wanted)
    assert bits(of_topic.rows) == bits(of_file.rows)
    assert of_topic.rows.column("signals").to_pylist() == of_file.rows.column("signals").to_pylist()
    assert of_topic.summary["whole_history"] is True

    # A range of offsets begins with an empty state, and says so.
    symbol = wanted[0]
    home = partition_of(symbol, settings.partitions)
    late = await analysed(settings, symbols=[symbol], first_offset=2, last_offset=5)
    assert (late.summary["whole_history"], late.summary["offsets"]) == (False, {str(home): [2, 6]})
    early = await analysed(settings, symbols=[symbol], last_offset=5)
    expected = bits(of_topic.rows)
    assert set(bits(early.rows)) <= set(expected)
    assert (early.summary["whole_history"], len(early.rows) > 0) == (True, True)
    apart = next(other for other in wanted if partition_of(other, settings.partitions) != home)
    with pytest.raises(TaskError, match="offsets belong to one"):
        await analysed(settings, symbols=[symbol, apart], last_offset=5)

    # With a checkpoint before the range, only what comes after it is read, and the bits are the same.
    state = Partition(partition_config(settings)(home))
    name = topics.name(settings, topics.TICKS)
    async with LogReader(settings) as reader:
        async for record in reader.read(name, home, 0, 3):
            state.process(Message(record.offset, record.timestamp, list(record.headers), record.value))
    async with clients.started(settings, clients.producer(settings)) as producer:
        parts = checkpoints.cut(checkpoints.Checkpoint(3, {}, state.snapshot()), checkpoints.new_token())
        await checkpoints.save(settings, producer, home, parts)
    before = await analysed(settings, symbols=[symbol], from_ns=state.watermark_ns - 1)
    after = await analysed(settings, symbols=[symbol], from_ns=state.watermark_ns)
    assert before.summary["offsets"][str(home)][0] == 0
    assert (after.summary["offsets"][str(home)][0], after.summary["whole_history"]) == (3, True)
    assert bits(after.rows) == [row for row in expected if row[0] == symbol and row[2] >= state.watermark_ns]


@pytest.mark.kafka
async def test_an_absent_topic_is_said(settings):
    with pytest.raises(TopicError, match=r"market\.ticks is absent"):
        await analysed(settings, symbols=["A"])
