"""Databento DBN, written with the records of Databento's own library."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.errors import SourceError
from streams.replay.formats import find_format
from streams.replay.formats.base import BadRow
from tests.streams.replay.reading import px, read, rows

dbn = pytest.importorskip("databento_dbn", reason="the extra databento is not installed")

T = 1_723_161_256_000_000_000
RECV = T + 500


@dataclass
class Interval:
    start_date: date
    end_date: date
    symbol: str


@dataclass
class Mapping:
    raw_symbol: str
    intervals: list[Interval]


def file_of(tmp_path: Path, schema: str, *records: Any, version: int = 3) -> Path:
    metadata = dbn.Metadata(
        dataset="XNAS.ITCH",
        start=T,
        end=T + 10**9,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema(schema),
        symbols=["SPY"],
        mappings=[Mapping("SPY", [Interval(date(2024, 8, 8), date(2024, 8, 10), "38")])],
        version=version,
    )
    path = tmp_path / f"ticks.{schema}.dbn"
    path.write_bytes(bytes(metadata) + b"".join(bytes(record) for record in records))
    return path


def book(bid: int, ask: int) -> Any:
    return dbn.BidAskPair(bid_px=bid, ask_px=ask, bid_sz=3, ask_sz=4)


def mbp1(
    ts: int, action: str, *, bid: int = px("10"), ask: int = px("10.01"), side: str = "B", iid: int = 38
) -> Any:
    return dbn.MBP1Msg(
        publisher_id=2,
        instrument_id=iid,
        ts_event=ts,
        price=px("10.01"),
        size=7,
        action=dbn.Action(action),
        side=dbn.Side(side),
        depth=0,
        ts_recv=RECV,
        sequence=9,
        levels=book(bid, ask),
    )


def trade(ts: int, side: str) -> Any:
    return dbn.TradeMsg(
        publisher_id=2,
        instrument_id=38,
        ts_event=ts,
        price=px("10.01"),
        size=7,
        action=dbn.Action.TRADE,
        side=dbn.Side(side),
        depth=0,
        ts_recv=RECV,
    )


QUOTE = (T, "SPY", "q", px("10"), px("10.01"), 3.0, 4.0)


def test_an_mbp_1_file_gives_quotes_and_trades_with_the_aggressor(tmp_path: Path) -> None:
    path = file_of(tmp_path, "mbp-1", mbp1(T, "A"), mbp1(T + 1, "T", side="A"))
    ticks, bad = read(path)
    assert find_format(path).name == "dbn"
    assert rows(ticks) == [
        QUOTE,
        (T + 1, *QUOTE[1:]),
        (T + 1, "SPY", "t", px("10.01"), 7.0, -1),
    ]
    assert ticks.columns["ts_recv_ns"].tolist() == [RECV] * 3
    assert bad.total == 0


def test_the_quote_of_a_tbbo_record_stands_just_before_its_trade(tmp_path: Path) -> None:
    ticks, _ = read(file_of(tmp_path, "tbbo", mbp1(T + 1, "T", side="B")))
    assert rows(ticks) == [QUOTE, (T + 1, "SPY", "t", px("10.01"), 7.0, 1)]


def test_trades_have_no_quotes(tmp_path: Path) -> None:
    ticks, _ = read(file_of(tmp_path, "trades", trade(T, "B"), trade(T, "A"), trade(T, "N")))
    assert [row[2:] for row in rows(ticks)] == [("t", px("10.01"), 7.0, side) for side in (1, -1, 0)]


def test_sampled_quotes_have_the_time_of_their_sample(tmp_path: Path) -> None:
    sample = dbn.BBOMsg(
        rtype=0xC3, publisher_id=2, instrument_id=38, ts_event=dbn.UNDEF_TIMESTAMP, price=dbn.UNDEF_PRICE,
        size=0, side=dbn.Side.NONE, ts_recv=T, levels=book(px("10"), px("10.01")),
    )  # fmt: skip
    assert rows(read(file_of(tmp_path, "bbo-1s", sample))[0]) == [QUOTE]


def test_a_side_without_a_price_is_a_bad_row_and_an_unknown_id_its_own_name(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        "mbp-1",
        mbp1(T, "A", bid=dbn.UNDEF_PRICE),
        mbp1(dbn.UNDEF_TIMESTAMP, "A"),
        mbp1(T, "A", iid=77),
        dbn.SystemMsg(T, "heartbeat"),
    )
    ticks, bad = read(path)
    assert rows(ticks) == [(T, "77", *QUOTE[2:])]
    assert bad.examples == [
        BadRow(path.name, 2, "no time"),
        BadRow(path.name, 1, "a quote without one of its sides"),
    ]
    assert bad.skipped == {"SystemMsg": 1}


def test_a_mapping_message_names_what_follows(tmp_path: Path) -> None:
    named = dbn.SymbolMappingMsg(
        publisher_id=0, instrument_id=77, ts_event=T, stype_in=dbn.SType.RAW_SYMBOL, stype_in_symbol="QQQ",
        stype_out=dbn.SType.RAW_SYMBOL, stype_out_symbol="QQQ", start_ts=T, end_ts=T + 1,
    )  # fmt: skip
    assert rows(read(file_of(tmp_path, "mbp-1", named, mbp1(T, "A", iid=77)))[0])[0][1] == "QQQ"


def test_a_compressed_file_reads_the_same(tmp_path: Path) -> None:
    plain = file_of(tmp_path, "mbp-1", *(mbp1(T + i, "A") for i in range(100)))
    packed = tmp_path / "ticks.dbn.zst"
    packed.write_bytes(pa.compress(plain.read_bytes(), codec="zstd", asbytes=True))
    assert rows(read(packed)[0]) == rows(read(plain)[0])


def test_a_truncated_file_gives_its_whole_records(tmp_path: Path) -> None:
    path = file_of(tmp_path, "mbp-1", mbp1(T, "A"), mbp1(T + 1, "A"))
    path.write_bytes(path.read_bytes()[:-10])
    ticks, bad = read(path)
    assert rows(ticks) == [QUOTE]
    assert bad.examples == [BadRow(path.name, 1, "the file is cut short after this record")]


def test_garbage_after_the_magic_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.dbn"
    path.write_bytes(b"DBN" + b"\xff" * 200)
    with pytest.raises(SourceError, match=r"bad\.dbn: (not DBN|no DBN metadata)"):
        read(path)


def test_without_the_library_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, "mbp-1", mbp1(T, "A"))
    monkeypatch.setitem(sys.modules, "databento_dbn", None)
    with pytest.raises(SourceError, match="databento-dbn is not installed") as caught:
        read(path)
    assert caught.value.remedy == "pip install 'tapestream[databento]'"
