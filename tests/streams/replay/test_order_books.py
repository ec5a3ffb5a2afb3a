"""Files of order events with the book after each: ITCH CSV and LOBSTER."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import SourceError
from schemas.ticks import TRADE
from streams.replay.formats import ReadOptions, find_format
from streams.replay.formats.base import BadRow
from streams.replay.formats.itch import NEEDED
from tests.streams.replay.reading import px, read, real, rows

MIDNIGHT = 1_340_251_200_000_000_000  # 2012-06-21 00:00 in New York, which is 04:00 UTC
PAIR = "AAPL_2012-06-21_34200000_57600000_{}_2.csv"
EMPTY_ASK, EMPTY_BID = "9999999999,0", "-9999999999,0"


def lobster(tmp_path: Path, messages: list[str], books: list[str]) -> Path:
    (tmp_path / PAIR.format("orderbook")).write_text("\n".join(books) + "\n")
    path = tmp_path / PAIR.format("message")
    path.write_text("\n".join(messages) + "\n")
    return path


def levels(ask: str, bid: str) -> str:
    return f"{ask},{bid},{EMPTY_ASK},{EMPTY_BID}"


MESSAGES = [
    "34200.004241176,1,16113575,18,5853300,1",
    "34200.025551909,4,16120456,18,5859100,-1",
    "34200.1,5,0,100,5859000,1",
    "34200.200000001,3,16113575,18,5853300,1",
    "34201,7,0,0,-1,-1",
    "34202.5,4,16120457,7,5859400,-1",
]
BOOKS = [
    levels("5859400,200", "5853300,18"),
    levels("5859400,182", "5853300,18"),
    levels("5859400,182", "5853300,18"),
    levels("5859400,182", EMPTY_BID),
    levels("5859400,182", EMPTY_BID),
    levels("5859500,10", "5853200,5"),
]
EXPECTED = [
    (MIDNIGHT + 34_200_004_241_176, "AAPL", "q", px("585.33"), px("585.94"), 18.0, 200.0),
    (MIDNIGHT + 34_200_025_551_909, "AAPL", "t", px("585.91"), 18.0, 1),
    (MIDNIGHT + 34_200_025_551_909, "AAPL", "q", px("585.33"), px("585.94"), 18.0, 182.0),
    (MIDNIGHT + 34_200_100_000_000, "AAPL", "t", px("585.9"), 100.0, -1),
    (MIDNIGHT + 34_202_500_000_000, "AAPL", "t", px("585.94"), 7.0, 1),
    (MIDNIGHT + 34_202_500_000_000, "AAPL", "q", px("585.32"), px("585.95"), 5.0, 10.0),
]


def test_lobster_gives_executions_and_changes_of_the_top(tmp_path: Path) -> None:
    ticks, bad = read(lobster(tmp_path, MESSAGES, BOOKS))
    assert rows(ticks) == EXPECTED
    assert bad.skipped == {"trading halt": 1, "top of the book unchanged": 1}
    assert [str(row) for row in bad.examples] == [
        f"{PAIR.format('message')}:4: a quote without one of its sides"
    ]


def test_either_file_of_a_lobster_pair_names_it(tmp_path: Path) -> None:
    path = lobster(tmp_path, MESSAGES, BOOKS)
    twin = path.with_name(PAIR.format("orderbook"))
    assert (find_format(path).name, find_format(twin).name) == ("lobster", "lobster")
    assert rows(read(twin)[0]) == EXPECTED


def test_lobster_blocks_of_both_files_meet_by_line(tmp_path: Path) -> None:
    messages = [f"{34200 + i / 1000:.3f},1,{i},10,5853300,1" for i in range(9_000)]
    books = [levels(f"5859400,{i + 1}", "5853300,18") for i in range(9_000)]
    messages[4_000] = "34204.0,1,half"
    path = lobster(tmp_path, messages, [*books, books[-1]])
    ticks, bad = read(path, ReadOptions(block_rows=10))
    assert ticks.columns["ask_sz"].tolist() == [i + 1 for i in range(9_000) if i != 4_000]
    assert bad.examples == [BadRow(path.name, 4_001, "3 columns, expected 6")]
    assert bad.skipped == {"order book row without a message": 1}


def test_lobster_rows_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    messages = [*MESSAGES[:1], "34200.1,4,1,many,5859000,1", "later.5,1,1,1,5859000,1", *MESSAGES[:1]]
    path = lobster(tmp_path, messages, BOOKS[:3])
    ticks, bad = read(path)
    assert rows(ticks) == EXPECTED[:1]
    assert bad.examples == [
        BadRow(path.name, 4, "no row in the order book file"),
        BadRow(path.name, 3, "time is no number of seconds"),
        BadRow(path.name, 2, "size is no whole number"),
    ]


def test_a_lobster_file_without_its_twin_names_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / PAIR.format("message")
    path.write_text("\n".join(MESSAGES))
    with pytest.raises(SourceError, match="no order book file beside it"):
        read(path)


def itch(tmp_path: Path, *events: dict[str, object], name: str = "itch_AAPL_20120621.csv") -> Path:
    blank = dict.fromkeys(NEEDED, "") | {
        "stock": "AAPL",
        "size": 1,
        "direction": 1,
        "ask_price_1": "10.02",
        "ask_size_1": "5.0",
        "bid_price_1": "10.01",
        "bid_size_1": "4.0",
        "price": "10.01",
        "message_type": "A",
        "source_message_sequence": 1,
    }
    lines = [",".join(NEEDED), *(",".join(str((blank | event)[c]) for c in NEEDED) for event in events)]
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_itch_executions_are_trades_of_the_other_side(tmp_path: Path) -> None:
    path = itch(
        tmp_path,
        {"timestamp_ns": 5},
        {"timestamp_ns": 6, "message_type": "E", "direction": 1, "size": 3, "bid_size_1": "1.0"},
        {
            "timestamp_ns": 7,
            "message_type": "C",
            "direction": -1,
            "execution_price": "10.015",
            "bid_size_1": "1.0",
        },
        {"timestamp_ns": 8, "bid_price_1": "", "bid_size_1": ""},
        {"timestamp_ns": "x"},
    )
    ticks, bad = read(path)
    assert rows(ticks) == [
        (MIDNIGHT + 5, "AAPL", "q", px("10.01"), px("10.02"), 4.0, 5.0),
        (MIDNIGHT + 6, "AAPL", "t", px("10.01"), 3.0, -1),
        (MIDNIGHT + 6, "AAPL", "q", px("10.01"), px("10.02"), 1.0, 5.0),
        (MIDNIGHT + 7, "AAPL", "t", px("10.015"), 1.0, 1),
    ]
    assert bad.examples == [
        BadRow(path.name, 6, "timestamp_ns is no number"),
        BadRow(path.name, 5, "a quote without one of its sides"),
    ]


def test_a_file_without_a_date_needs_one(tmp_path: Path) -> None:
    path = itch(tmp_path, {"timestamp_ns": 5}, name="events.csv")
    with pytest.raises(SourceError, match="its name tells no date") as caught:
        read(path)
    assert "--date" in caught.value.remedy
    dated, _ = read(path, ReadOptions(day=date(2012, 6, 21)))
    assert dated.columns["ts_event_ns"].tolist() == [MIDNIGHT + 5]
    elsewhere, _ = read(path, ReadOptions(day=date(2012, 6, 21), time_zone="UTC"))
    assert elsewhere.columns["ts_event_ns"].tolist() == [MIDNIGHT + 5 - 4 * 3_600_000_000_000]


def test_an_itch_file_of_two_symbols_is_refused(tmp_path: Path) -> None:
    path = itch(tmp_path, {"timestamp_ns": 5}, {"timestamp_ns": 5, "stock": "IBM"})
    with pytest.raises(SourceError, match="holds the symbols AAPL, IBM"):
        read(path)


def test_a_recorded_itch_file_is_accounted_for() -> None:
    ticks, bad = read(real("itch/itch_AAPL_20190130_10000events_10level.csv.gz"))
    trades = ticks.columns["kind"] == TRADE
    assert (int(trades.sum()), int((~trades).sum()), bad.total) == (746, 2_227, 0)
    assert bad.skipped == {"top of the book unchanged": 10_000 - 2_227}
    assert np.bincount(ticks.columns["aggressor"][trades] + 1).tolist() == [486, 0, 260]
    assert (ticks.columns["bid_px"] <= ticks.columns["ask_px"]).all()
