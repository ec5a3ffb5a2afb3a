"""Files as one stream: selection, passes, numbers, faults, positions, identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import SourceError
from schemas.ticks import Sequences, Ticks
from streams.market.faults import FaultPlan
from streams.replay import Source, SourceSpec
from streams.replay.formats import ReadOptions
from streams.replay.formats.parquet import META_PARTITION, META_TOPIC
from streams.replay.numbering import Numbering
from streams.replay.order import join
from tests.streams.replay.making import MS, T, marks, parquet, ticks_at

SECOND = 1_000_000_000


def stream(spec: SourceSpec, skip: int = 0) -> Ticks:
    return join(list(Source(spec).blocks(skip)))


def spec_of(tmp_path: Path, *files: Ticks, **options: object) -> SourceSpec:
    paths = tuple(parquet(tmp_path / f"{i}.parquet", ticks) for i, ticks in enumerate(files))
    return replace(SourceSpec(paths), **options)  # type: ignore[arg-type]


def recorded(path: Path, ticks: Ticks, partition: int) -> Path:
    return parquet(path, ticks, {META_TOPIC: b"market.ticks", META_PARTITION: str(partition).encode()})


def test_files_interleave_in_event_time(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, ticks_at([0, 2, 4]), ticks_at([1, 2, 3], "qtq", first=11))
    assert marks(stream(spec)) == [1, 11, 12, 2, 13, 3]


def test_a_span_of_time_and_some_symbols_are_chosen(tmp_path: Path) -> None:
    ticks = ticks_at(range(6), symbols=["A", "B", "C"] * 2)
    spec = spec_of(tmp_path, ticks, from_ns=T + MS, to_ns=T + 5 * MS, symbols=("A", "B"))
    assert marks(stream(spec)) == [2, 4, 5]


def test_further_passes_are_later_by_whole_windows_and_numbers_go_on(tmp_path: Path) -> None:
    ticks = ticks_at([0, 500, 1_500], "qtt", first=7, sequences=Sequences(dense_trades=True))
    ticks.columns["ts_recv_ns"][1] = T
    found = stream(spec_of(tmp_path, ticks, loops=3, loop_grid_ns=SECOND))
    times = [0, 500, 1_500]
    expected = [T + ms * MS + turn * 2 * SECOND for turn in range(3) for ms in times]
    assert found.columns["ts_event_ns"].tolist() == expected
    assert found.columns["ts_recv_ns"].tolist() == [0, T, 0, 0, T + 2 * SECOND, 0, 0, T + 4 * SECOND, 0]
    assert found.columns["sequence"].tolist() == [7, 8, 9, 8, 10, 11, 9, 12, 13]
    assert found.sequences == Sequences(dense_trades=True)


def test_without_end_means_until_the_reader_stops(tmp_path: Path) -> None:
    blocks = Source(spec_of(tmp_path, ticks_at([0, 1]), loops=0)).blocks()
    assert [marks(next(blocks)) for _ in range(5)] == [[1, 2]] * 5


def test_an_empty_choice_does_not_loop_for_ever(tmp_path: Path) -> None:
    source = Source(spec_of(tmp_path, ticks_at([0, 1]), loops=0, symbols=("X",)))
    assert list(source.blocks()) == []


def test_ticks_are_numbered_by_symbol_and_kind(tmp_path: Path) -> None:
    ticks = ticks_at(range(6), "qqtqtt", symbols=list("ABAAAB"), first=50)
    found = stream(spec_of(tmp_path, ticks, number=True, loops=2))
    assert found.columns["sequence"].tolist() == [1, 1, 1, 2, 2, 1, 3, 2, 3, 4, 4, 2]
    assert found.sequences == Sequences(dense_quotes=True, dense_trades=True)


def test_numbers_do_not_depend_on_blocks() -> None:
    rng = np.random.default_rng(3)
    ticks = ticks_at(
        range(500),
        "".join(rng.choice(list("qt"), 500)),
        symbols=rng.choice(list("ABCD"), 500).tolist(),
    )
    whole = Numbering().apply(ticks).columns["sequence"]
    piecewise = Numbering()
    parts = [piecewise.apply(ticks.take(slice(i, i + 7))).columns["sequence"] for i in range(0, 500, 7)]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_a_position_means_the_same_tick_with_faults_passes_and_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    files = [ticks_at(np.sort(rng.integers(0, 3_000, 400)).tolist(), first=1_000 * i) for i in (1, 2)]
    faults = FaultPlan(gap=0.05, duplicate=0.05, reorder=0.05, seed=9)
    spec = spec_of(tmp_path, *files, loops=2, number=True, faults=faults)
    whole = stream(spec)
    assert set(Source(spec).planted) == set()
    source = Source(spec)
    list(source.blocks())
    assert set(source.planted) == {"gap", "duplicate", "reorder"}
    for skip in (1, 700, len(whole) - 1):
        rest = stream(spec, skip)
        for name, column in whole.columns.items():
            assert rest.columns[name].tolist() == column[skip:].tolist()


def test_the_stream_does_not_depend_on_the_size_of_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    files = [ticks_at(rng.integers(0, 3_000, 5_000).tolist(), first=10_000 * i) for i in range(3)]
    spec = spec_of(tmp_path, *files, faults=FaultPlan(reorder=0.02, gap=0.02))
    whole = stream(spec)
    monkeypatch.setattr("streams.replay.order.MEMORY_ROWS", 900)
    assert marks(stream(spec)) == marks(whole)


def test_recordings_of_ours_stay_as_they_are_and_follow_one_another(tmp_path: Path) -> None:
    late = recorded(tmp_path / "t.00000.0-1.parquet", ticks_at([3, 1], first=1), 0)
    later = recorded(tmp_path / "t.00000.2-3.parquet", ticks_at([2, 6], first=3), 0)
    other = recorded(tmp_path / "t.00001.0-1.parquet", ticks_at([2, 5], first=11), 1)
    source = Source(SourceSpec((later, other, late)))
    assert source.order == "file"
    assert marks(join(list(source.blocks()))) == [11, 1, 2, 3, 12, 4]
    assert marks(stream(SourceSpec((later, other, late), order="event"))) == [2, 3, 11, 1, 12, 4]


def test_bad_rows_are_counted_once_however_often_a_file_is_read(tmp_path: Path) -> None:
    ticks = ticks_at(range(3))
    ticks.columns["bid_px"][1] = 0
    source = Source(spec_of(tmp_path, ticks, loops=3))
    assert len(join(list(source.blocks()))) == 6
    assert [file.bad.total for file in source.files] == [1]


def test_the_estimate_of_a_whole_is_exact_once_all_is_read(tmp_path: Path) -> None:
    source = Source(spec_of(tmp_path, ticks_at(range(30)), ticks_at(range(20)), loops=2))
    assert source.estimate() is None
    list(source.blocks())
    assert source.estimate() == 100


def test_identity_is_that_of_content_and_choice_not_of_folder(tmp_path: Path) -> None:
    ticks = ticks_at(range(5))
    spec = spec_of(tmp_path, ticks)
    (tmp_path / "elsewhere").mkdir()
    moved = spec_of(tmp_path / "elsewhere", ticks)
    assert Source(spec).identity == Source(moved).identity
    others = [
        replace(spec, number=True),
        replace(spec, loops=2),
        replace(spec, symbols=("A",)),
        replace(spec, faults=FaultPlan(gap=0.1)),
        replace(spec, options=ReadOptions(symbol="B")),
        replace(spec, options=ReadOptions(columns={"symbol": "symbol"})),
        replace(spec, order="file"),
    ]
    found = {Source(other).identity for other in [spec, *others]}
    assert len(found) == len(others) + 1
    parquet(spec.paths[0], ticks_at([0, 1, 2, 3, 5]))
    assert Source(spec).identity not in found


def test_an_absent_file_and_no_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        Source(SourceSpec((tmp_path / "absent.csv",)))
    with pytest.raises(SourceError, match="no files to replay"):
        Source(SourceSpec(()))
