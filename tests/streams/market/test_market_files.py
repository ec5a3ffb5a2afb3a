"""A sample on disk is the market's own ticks, and the truth beside it says what is in them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from schemas.errors import SettingsError
from schemas.frame import read_promise
from schemas.ticks import ARROW_SCHEMA, COLUMNS, Sequences, make_ticks
from streams.market.config import MarketConfig
from streams.market.fault_plan import FaultPlan
from streams.market.files import ParquetSink, write_truth
from streams.market.market import SimulatedMarket

CONFIG = MarketConfig(symbols=3, seed=4, faults=FaultPlan(gap=0.01, duplicate=0.01))


async def test_a_parquet_file_has_the_ticks_and_promises_of_the_market(tmp_path: Path) -> None:
    market = SimulatedMarket(CONFIG)
    blocks = [market.block(n_ticks=1_000), market.block(n_ticks=500)]
    async with ParquetSink(tmp_path / "sample.parquet") as sink:
        for block in blocks:
            await sink.write(block)
        await sink.heartbeat(1)
    table = pq.read_table(tmp_path / "sample.parquet")
    assert table.schema.names == ARROW_SCHEMA.names
    assert read_promise(table.schema.metadata) == Sequences(dense_quotes=True, dense_trades=True)
    for name in COLUMNS:
        expected = [value for block in blocks for value in block.columns[name].tolist()]
        if name == "symbol":
            expected = [market.symbols[code] for code in expected]
        assert table[name].to_pylist() == expected


async def test_the_same_ticks_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        async with ParquetSink(tmp_path / name) as sink:
            await sink.write(SimulatedMarket(CONFIG).block(n_ticks=2_000))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


async def test_a_file_that_cannot_be_written_is_told_by_name(tmp_path: Path) -> None:
    async with ParquetSink(tmp_path / "absent" / "x.parquet") as sink:
        with pytest.raises(SettingsError, match=r"absent/x\.parquet: No such file"):
            await sink.write(make_ticks(("A",), ts_event_ns=[1], symbol=[0], kind=[0]))
    with pytest.raises(SettingsError, match=r"absent/t\.json: No such file"):
        write_truth(tmp_path / "absent" / "t.json", SimulatedMarket(CONFIG).truth)


def test_the_truth_as_json_is_all_of_it(tmp_path: Path) -> None:
    market = SimulatedMarket(CONFIG)
    market.block(n_ticks=3_000)
    assert write_truth(tmp_path / "t.json", market.truth) == [tmp_path / "t.json"]
    read = json.loads((tmp_path / "t.json").read_text())
    assert read["config"] == asdict(CONFIG)
    assert read["symbols"] == [asdict(one) for one in market.truth.symbols]
    assert read["faults"] == [asdict(fault) for fault in market.truth.faults]
    assert len(read["faults"]) > 20


def test_the_truth_as_parquet_is_a_table_of_symbols_and_one_of_faults(tmp_path: Path) -> None:
    market = SimulatedMarket(CONFIG)
    market.block(n_ticks=3_000)
    symbols, faults = write_truth(tmp_path / "t.parquet", market.truth)
    assert faults == tmp_path / "t.faults.parquet"
    table = pq.read_table(symbols)
    assert table.to_pylist() == [asdict(one) for one in market.truth.symbols]
    assert json.loads(table.schema.metadata[b"market"]) == asdict(CONFIG)
    assert pq.read_table(faults).to_pylist() == [asdict(fault) for fault in market.truth.faults]


def test_the_truth_of_a_market_without_faults_is_an_empty_table_of_the_same_columns(tmp_path: Path) -> None:
    truth = SimulatedMarket(MarketConfig()).truth
    _, faults = write_truth(tmp_path / "t.parquet", truth)
    table = pq.read_table(faults)
    assert table.num_rows == 0
    assert table.schema.field("row").type == "int64"
