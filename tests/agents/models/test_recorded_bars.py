"""``market.bars`` as ``tapestream record`` wrote them: found by content, of one length, each bar once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.models.bar_files import read_all, read_bars
from agents.models.bars import COLUMNS, Bars
from agents.models.given_bars import given_bars
from schemas.errors import ModelError
from streams.record_files import Recording, Rotation
from streams.topics import BARS
from tests.agents.tasks.analytics.frames import SECOND, frame

Rows = Sequence[tuple[str, int, int, float]]
"""Symbol, window and close in seconds, price."""

HISTORY: Rows = [("B", 1, 1, 20.0), ("A", 1, 1, 10.0), ("A", 1, 2, 11.0), ("A", 10, 10, 12.0)]
LATER: Rows = [("A", 1, 3, 12.5), ("A", 1, 2, 11.25)]
"""Goes on, and writes one of the bars anew."""


@dataclass
class Message:
    offset: int
    value: bytes
    topic: str = BARS
    partition: int = 0
    timestamp: int = 1_000
    key: bytes | None = b"A"
    headers: Sequence[tuple[str, bytes]] = ()


def record(folder: Path, *parts: Rows) -> list[Path]:
    """A recording with a file a part, a message a bar, oldest file first."""
    offset = 0
    for rows in parts:
        recording = Recording(folder, {BARS: "frame"}, Rotation(), lambda: 0.0)
        for row in rows:
            recording.take(Message(offset, frame(row)))
            offset += 1
        recording.close()
    return sorted(folder.glob("*.parquet"))


def told(series: Sequence[Bars]) -> dict[str, list[tuple[int, float]]]:
    """By symbol: seconds of the close, and the price."""
    return {b.symbol: list(zip((b.ts_ns // SECOND).tolist(), b.close.tolist(), strict=True)) for b in series}


A_AND_B = {"A": [(1, 10.0), (2, 11.25), (3, 12.5)], "B": [(1, 20.0)]}


def test_a_recording_is_read_like_the_bars_it_holds(tmp_path: Path) -> None:
    (path,) = record(tmp_path, HISTORY)
    a, b = read_bars(path)
    assert (a.symbol, a.ts_ns.tolist()) == ("A", [SECOND, 2 * SECOND])
    assert [getattr(b, name).tolist() for name in COLUMNS] == [[20.0], [20.5], [19.5], [20.0], [100.0]]


def test_files_of_a_recording_are_one_history_and_a_bar_counts_as_last_written(tmp_path: Path) -> None:
    files = record(tmp_path, HISTORY, LATER)
    assert len(files) == 2
    assert told(read_all(files[::-1])) == A_AND_B
    assert told(read_all([tmp_path])) == A_AND_B
    assert told(read_bars(tmp_path)) == A_AND_B
    assert told(given_bars({"path": "bars", "symbols": ["A"]}, _moved(tmp_path))) == {"A": A_AND_B["A"]}


def _moved(folder: Path) -> Path:
    """A data folder in which the recording is the folder ``bars``."""
    home = folder / "home"
    home.mkdir()
    (home / "bars").mkdir()
    for file in folder.glob("*.parquet"):
        file.rename(home / "bars" / file.name)
    return home


def test_the_length_is_the_one_asked_for_or_the_usual_one_or_the_shortest(tmp_path: Path) -> None:
    (path,) = record(tmp_path, HISTORY)
    long = {"A": [(10, 12.0)]}
    assert told(read_bars(path, window_ms=10_000)) == long
    assert told(read_bars(path, usual_ms=10_000)) == long
    assert told(given_bars({"path": path.name, "window_ms": 10_000}, tmp_path)) == long
    assert set(told(read_bars(path, usual_ms=60_000))) == {"A", "B"}
    with pytest.raises(ModelError) as refused:
        read_bars(path, window_ms=60_000)
    assert str(refused.value) == (
        "path: has no bars of 60000 ms, only of 1000, 10000 ms (ask for one of 1000, 10000)"
    )


def test_other_topics_in_the_folder_are_passed_over_and_a_folder_without_bars_is_refused(
    tmp_path: Path,
) -> None:
    record(tmp_path / "all", HISTORY, LATER)
    other = pa.table({"log_offset": [1], "symbol": ["A"], "bid_px": [1]})
    pq.write_table(other, tmp_path / "all" / "market.ticks.parquet")
    assert told(read_bars(tmp_path / "all")) == A_AND_B
    (tmp_path / "none").mkdir()
    pq.write_table(other, tmp_path / "none" / "market.ticks.parquet")
    with pytest.raises(ModelError, match=r"path: the folder none has no recorded bars \(tapestream record"):
        read_bars(tmp_path / "none")


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("close_px", pa.array([None], pa.int64()), "path.close_px: has empty values"),
        ("volume", pa.array([float("nan")]), r"path.A.volume\[0\]: must be a volume"),
        ("high_px", pa.array([1], pa.int64()), r"path.A.high\[0\]: 1e-09 does not enclose"),
        ("close_px", pa.array(["ten"]), "path: is no recording of bars"),
        ("window_ns", pa.array([], pa.int64()), "path: there are no bars in it"),
    ],
)
def test_a_damaged_recording_is_refused_by_its_column(
    tmp_path: Path, column: str, values: pa.Array, words: str
) -> None:
    (path,) = record(tmp_path, HISTORY[1:2])
    table = pq.read_table(path).slice(0, len(values))
    pq.write_table(table.set_column(table.column_names.index(column), column, values), path)
    with pytest.raises(ModelError, match=words):
        read_bars(path)
