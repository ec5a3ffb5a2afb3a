"""Parquet: our own layout and any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import SourceError
from schemas.frame import write_promise
from schemas.ticks import Sequences
from streams.replay.formats import ReadOptions
from streams.replay.formats.base import BadRow
from tests.streams.replay.reading import px, read, rows

T = 1_723_161_256_000_000_000


def own(n: int = 3, **changed: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "ts_event_ns": np.arange(T, T + n),
        "symbol": [f"S{i % 2}" for i in range(n)],
        "kind": np.zeros(n, np.uint8),
        "bid_px": np.full(n, px("1.5")),
        "ask_px": np.full(n, px("1.6")),
        "bid_sz": np.full(n, 2.0),
        "ask_sz": np.full(n, 3.0),
        "sequence": np.arange(1, n + 1, dtype=np.uint64),
    } | changed
    return pa.table(columns)


def write(tmp_path: Path, table: pa.Table, **options: Any) -> Path:
    path = tmp_path / "ticks.parquet"
    pq.write_table(table, path, **options)
    return path


def test_the_columns_of_a_frame_need_no_map(tmp_path: Path) -> None:
    table = own().replace_schema_metadata(write_promise(Sequences(dense_quotes=True)))
    ticks, bad = read(write(tmp_path, table))
    assert rows(ticks) == [(T + i, f"S{i % 2}", "q", px("1.5"), px("1.6"), 2.0, 3.0) for i in range(3)]
    assert ticks.columns["sequence"].tolist() == [1, 2, 3]
    assert (ticks.sequences, bad.total) == (Sequences(dense_quotes=True), 0)


def test_nulls_are_bad_rows(tmp_path: Path) -> None:
    table = own(bid_px=pa.array([px("1.5"), None, px("1.5")]))
    ticks, bad = read(write(tmp_path, table))
    assert (len(ticks), bad.examples) == (2, [BadRow("ticks.parquet", 2, "a null")])


@pytest.mark.parametrize(
    "times",
    [
        pa.array([T], pa.timestamp("ns")),
        pa.array([T // 1_000], pa.timestamp("us", "America/New_York")),
        pa.array([T // 1_000_000], pa.int64()),
        pa.array([T / 1e9], pa.float64()),
        pa.array(["2024-08-08T23:54:16Z"]),
    ],
)
@pytest.mark.parametrize(
    "prices",
    [
        pa.array([187.2301]),
        pa.array(["187.2301"]),
        pa.array([187], pa.int32()),
        pa.array([187.25], pa.float32()),
    ],
)
def test_foreign_columns_of_any_type_are_read(tmp_path: Path, times: pa.Array, prices: pa.Array) -> None:
    path = write(tmp_path, pa.table({"time": times, "ticker": ["IBM"], "price": prices, "size": [5]}))
    price = px(str(prices[0].as_py()))
    assert rows(read(path)[0]) == [(T, "IBM", "t", price, 5.0, 0)]


def test_decimals_and_a_map(tmp_path: Path) -> None:
    from decimal import Decimal

    prices = pa.array([Decimal("187.23010")], pa.decimal128(20, 5))
    path = write(tmp_path, pa.table({"when": [T], "who": pa.array(["IBM"]).dictionary_encode(), "p": prices}))
    options = ReadOptions(columns={"ts_event_ns": "when", "symbol": "who", "trade_px": "p"})
    assert rows(read(path, options)[0]) == [(T, "IBM", "t", px("187.2301"), 0.0, 0)]


def test_a_column_of_the_wrong_type_makes_bad_rows_that_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"time": [T, T], "symbol": ["A", "A"], "price": ["1", "cheap"]}))
    ticks, bad = read(path)
    assert (len(ticks), bad.examples) == (1, [BadRow("ticks.parquet", 2, "price is no price")])


def test_a_missing_column_is_named_with_its_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"time": [T], "symbol": ["A"]}))
    with pytest.raises(SourceError, match="no column for bid_px and ask_px, or trade_px") as caught:
        read(path)
    assert "--map" in caught.value.remedy


def test_row_groups_before_the_wanted_time_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, own(100), row_group_size=10)
    ticks, _ = read(path, ReadOptions(from_ns=T + 55))
    assert ticks.columns["ts_event_ns"].tolist() == list(range(T + 50, T + 100))


@pytest.mark.parametrize("keep", [4, 100, -20])
def test_a_truncated_file_is_refused_as_a_whole(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path, own(1_000))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=r"ticks\.parquet: damaged Parquet"):
        read(path)


def test_a_damaged_page_is_refused_not_read_wrongly(tmp_path: Path) -> None:
    path = write(tmp_path, own(50_000), write_page_checksum=True)
    damaged = bytearray(path.read_bytes())
    damaged[100:5_000] = b"\xff" * 4_900
    path.write_bytes(damaged)
    with pytest.raises(SourceError, match=r"ticks\.parquet: damaged Parquet"):
        read(path)
