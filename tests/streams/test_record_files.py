"""Recording into a folder, without a broker: files, restarts, rotation, and a disk that is full."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import codec
from schemas.errors import RecordingError, TopicError
from schemas.frame import encode_frame
from schemas.ipc import write_batch
from schemas.ticks import Sequences, make_ticks
from streams import record_files, topics
from streams.record_columns import checked_topics, shape_of
from streams.record_files import Recording, Rotation
from streams.replay.formats import BadRows, ReadOptions
from streams.replay.formats.parquet import Parquet, recorded_partition
from streams.replay.order import join
from tests.streams.replay.making import T, marks, ticks_at

TICKS, JSON = "market.ticks", "market.signals"
SHAPES: dict[str, Any] = {TICKS: "ticks", JSON: "json", "dead.letters": "raw", "market.bars": "frame"}


@dataclass
class Message:
    offset: int
    value: bytes | None
    topic: str = TICKS
    partition: int = 0
    timestamp: int = 1_000
    key: bytes | None = b"A"
    headers: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def frame(*at: int, first: int = 1, dense: bool = False) -> bytes:
    return encode_frame(ticks_at(at, first=first, sequences=Sequences(dense_quotes=dense)))


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    made = Recording(tmp_path / "out", SHAPES, Rotation(), Clock())
    yield made
    made.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".parquet")


def table(folder: Path, number: int = 0) -> pa.Table:
    return pq.read_table(folder / names(folder)[number])


def test_ticks_are_recorded_with_their_place_in_the_log(recording: Recording) -> None:
    recording.take(Message(4, frame(0, 1, dense=True), partition=2))
    recording.take(Message(5, frame(2, first=3, dense=True), partition=2))
    recording.finish()
    assert names(recording.folder) == ["market.ticks.00002.0000000000000000004-0000000000000000005.parquet"]
    found = table(recording.folder)
    assert found.column("log_offset").to_pylist() == [4, 4, 5]
    assert found.column("log_partition").to_pylist() == [2, 2, 2]
    path = recording.folder / names(recording.folder)[0]
    ticks = join(list(Parquet().read(path, ReadOptions(), BadRows())))
    assert (marks(ticks), ticks.sequences) == ([1, 2, 3], Sequences(dense_quotes=True))
    assert recorded_partition(path) == (TICKS, 2)


def test_heartbeats_have_no_rows_and_unreadable_messages_are_named(recording: Recording) -> None:
    empty = encode_frame(make_ticks((), ts_event_ns=[], symbol=[], kind=[]))
    for offset, value in enumerate([empty, b"garbage", None, frame(0)]):
        recording.take(Message(offset, value))
    recording.finish()
    tally = recording.tally
    assert (tally.messages, tally.rows, tally.empty, tally.unreadable) == (4, 1, 3, 2)
    assert [example[:18] for example in tally.examples] == ["market.ticks[0]@1:", "market.ticks[0]@2:"]
    assert names(recording.folder) == ["market.ticks.00000.0000000000000000000-0000000000000000003.parquet"]


def test_a_null_in_a_foreign_frame_stays_a_null(recording: Recording) -> None:
    batch = pa.record_batch(
        {
            "ts_event_ns": pa.array([T, None]),
            "symbol": ["A", "A"],
            "kind": pa.array([0, 0], pa.uint8()),
        }
    )
    recording.take(Message(0, write_batch(batch)))
    recording.finish()
    assert table(recording.folder).column("kind").to_pylist() == [0, None]


def test_another_promise_begins_another_file(recording: Recording) -> None:
    for offset, dense in enumerate([False, False, True]):
        recording.take(Message(offset, frame(offset, dense=dense)))
    recording.finish()
    assert [name[-47:] for name in names(recording.folder)] == [
        "0000000000000000000-0000000000000000001.parquet",
        "0000000000000000002-0000000000000000002.parquet",
    ]


def test_a_file_is_finished_by_rows_and_by_time(tmp_path: Path) -> None:
    clock = Clock()
    recording = Recording(tmp_path, SHAPES, Rotation(rows=3, seconds=10), clock)
    for offset in range(4):
        recording.take(Message(offset, frame(0, 1)))
    assert len(recording.tally.files) == 2
    recording.take(Message(4, frame(0)))
    clock.now = 9.9
    recording.finish_old()
    assert len(recording.tally.files) == 2
    clock.now = 10.0
    recording.finish_old()
    recording.close()
    assert len(recording.tally.files) == 3
    assert recording.next_offset((TICKS, 0)) == 5


def test_large_row_groups_are_cut_while_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "_GROUP_ROWS", 5)
    recording = Recording(tmp_path, SHAPES, Rotation(), Clock())
    for offset in range(10):
        recording.take(Message(offset, frame(0, 1)))
    recording.close()
    assert pq.ParquetFile(tmp_path / names(tmp_path)[0]).metadata.num_row_groups == 4


def test_json_fields_are_columns_of_the_type_that_holds_them(recording: Recording) -> None:
    values: list[Any] = [
        {"symbol": "A", "side": 1, "strength": 2, "features": {"x": 1.5}, "ok": True},
        {"symbol": "B", "side": -1, "strength": 2.5, "mixed": "text"},
        [{"mixed": 7}, {"symbol": None}],
        {"side": 2**63},
        3,
    ]
    for offset, value in enumerate(values):
        recording.take(Message(offset, codec.dumps(value), topic=JSON, headers=[("h", b"v")]))
    recording.finish()
    found = table(recording.folder)
    shown = ["log_offset", "log_item", "symbol", "strength", "features", "ok", "mixed", "side"]
    assert [tuple(row.values()) for row in found.select(shown).to_pylist()] == [
        (0, 0, "A", 2.0, '{"x":1.5}', True, None, "1"),
        (1, 0, "B", 2.5, None, None, '"text"', "-1"),
        (2, 0, None, None, None, None, "7", None),
        (2, 1, None, None, None, None, None, None),
        (3, 0, None, None, None, None, None, str(2**63)),
        (4, 0, None, None, None, None, None, None),
    ]
    assert found.column("log_value").to_pylist()[5] == "3"
    assert set(found.column("log_headers").to_pylist()) == {'[["h","v"]]'}


def test_other_messages_are_kept_as_they_are(recording: Recording) -> None:
    recording.take(Message(0, b"\xff\0", topic="dead.letters", key=None))
    recording.take(Message(1, None, topic="dead.letters"))
    recording.finish()
    found = table(recording.folder).select(["log_key", "log_value"]).to_pylist()
    assert found == [{"log_key": None, "log_value": b"\xff\0"}, {"log_key": b"A", "log_value": None}]


def test_other_frames_keep_their_columns_and_a_lacking_one_is_null(recording: Recording) -> None:
    wide = pa.record_batch({"close": [1.5], "symbol": pa.array(["A"]).dictionary_encode()})
    for offset, batch in enumerate(
        [wide, pa.record_batch({"close": [2.5]}), pa.record_batch({"close": [7]})]
    ):
        recording.take(Message(offset, write_batch(batch), topic="market.bars"))
    recording.finish()
    first, second = (table(recording.folder, number) for number in range(2))
    assert first.select(["close", "symbol"]).to_pylist() == [
        {"close": 1.5, "symbol": "A"},
        {"close": 2.5, "symbol": None},
    ]
    assert second.column("close").to_pylist() == [7]


def test_a_restart_goes_on_where_the_files_end_and_drafts_are_gone(tmp_path: Path) -> None:
    first = Recording(tmp_path, SHAPES, Rotation(rows=2), Clock())
    first.begin({(TICKS, 0): 5, (TICKS, 1): 9})
    first.take(Message(5, frame(0, 1)))
    first.take(Message(6, frame(0)))
    first._lock.close()  # killed: nothing is finished
    (tmp_path / ".market.ticks.00001.draft").write_bytes(b"PAR1 half a file")
    again = Recording(tmp_path, SHAPES, Rotation(), Clock())
    places = [(TICKS, partition) for partition in range(3)]
    assert [again.next_offset(place) for place in places] == [6, 9, None]
    assert list(tmp_path.glob(".*.draft")) == []
    again.take(Message(6, frame(0)))
    again.close()
    offsets = [offset for number in range(2) for offset in table(tmp_path, number)["log_offset"].to_pylist()]
    assert offsets == [5, 5, 6]


def test_two_recorders_do_not_share_a_folder(recording: Recording) -> None:
    with pytest.raises(RecordingError, match="another recorder writes here"):
        Recording(recording.folder, SHAPES, Rotation(), Clock())


def test_a_folder_with_a_foreign_start_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_text("[]")
    with pytest.raises(RecordingError, match=r"recording\.json: not ours"):
        Recording(tmp_path, SHAPES, Rotation(), Clock())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="cannot be written: Not a directory"):
        Recording(tmp_path / "file" / "out", SHAPES, Rotation(), Clock())


def fill(folder: Path) -> tuple[str, list[str], int | None]:
    """Record until it fails; the error, the files and where recording would go on."""
    recording = Recording(folder, SHAPES, Rotation(rows=200), Clock())
    noise = os.urandom(400_000)
    try:
        for offset in range(2_000):
            sizes = [float(byte) + 0.5 for byte in noise[100 * offset : 100 * offset + 100]]
            ticks = make_ticks(
                ("A",), ts_event_ns=range(1, 101), symbol=[0] * 100, kind=[1] * 100, trade_sz=sizes
            )
            recording.take(Message(offset, encode_frame(ticks)))
    except RecordingError as exc:
        recording.close()
        again = Recording(folder, SHAPES, Rotation(), Clock())
        again.close()
        return str(exc), names(folder), again.next_offset((TICKS, 0))
    return "did not fail", [], None


def check_whole(folder: Path, found: list[str], next_offset: int | None) -> None:
    assert list(folder.glob(".*.draft")) == []
    offsets = [offset for name in found for offset in pq.read_table(folder / name)["log_offset"].to_pylist()]
    assert next_offset is not None
    assert offsets == [offset for offset in range(next_offset) for _ in range(100)]
    assert next_offset > 1


def test_a_full_disk_stops_recording_and_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_files, "_GROUP_ROWS", 5)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        problem, found, next_offset = fill(disk)
        assert "cannot be written: " in problem
        assert "No space left on device" in problem
        assert "goes on where the files end" in problem
        check_whole(disk, found, next_offset)
    finally:
        subprocess.run(["umount", disk], check=True)


def limited(folder: Path, answers: Any) -> None:
    record_files._GROUP_ROWS = 5
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))
    answers.put(fill(folder))


def test_a_write_that_fails_half_way_leaves_whole_files(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    first = Recording(folder, SHAPES, Rotation(), Clock())
    for offset in range(3):
        first.take(Message(offset, encode_frame(ticks_at(range(100)))))
    first.close()
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=limited, args=(folder, answers))
    child.start()
    problem, found, next_offset = answers.get(timeout=60)
    child.join(60)
    assert "cannot be written: File too large" in problem
    assert (found, next_offset) == (names(folder), 3)
    check_whole(folder, found, next_offset)


def test_a_failure_of_one_partition_finishes_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path, SHAPES, Rotation(), Clock())
    recording.take(Message(0, frame(0), partition=1))
    monkeypatch.setattr(record_files, "_GROUP_ROWS", 1)
    whole = pq.ParquetWriter

    def full_for_partition_0(path: Path, *args: Any, **options: Any) -> Any:
        if ".00000." in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, *args, **options)

    monkeypatch.setattr(pq, "ParquetWriter", full_for_partition_0)
    with pytest.raises(RecordingError, match="No space left on device"):
        recording.take(Message(0, frame(0), partition=0))
    recording.close()
    assert [name[:18] for name in names(tmp_path)] == ["market.ticks.00001"]
    assert list(tmp_path.glob(".*.draft")) == []


def test_topics_are_those_of_the_table() -> None:
    assert checked_topics([" market.ticks", "market.bars", "market.ticks", ""]) == (
        "market.ticks",
        "market.bars",
    )
    with pytest.raises(TopicError, match=r"market\.tick: no such topic"):
        checked_topics(["market.tick"])
    with pytest.raises(TopicError, match="no topic to record"):
        checked_topics(["", " "])


def test_every_topic_of_the_table_has_a_shape() -> None:
    assert {topic.name: shape_of(topic.name) for topic in topics.TOPICS} == {
        "market.ticks": "ticks",
        "market.ticks.json": "json",
        "market.depth": "frame",
        "market.bars": "frame",
        "market.features": "frame",
        "market.indicators": "frame",
        "market.signals": "json",
        "market.quality": "json",
        "gpu.tasks": "json",
        "gpu.results": "json",
        "gpu.devices": "json",
        "orchestrator.allocations": "json",
        "gpu.commands": "json",
        "gpu.memory.alerts": "json",
        "streams.checkpoints": "raw",
        "streams.workers": "json",
        "dead.letters": "raw",
    }
