"""Delimited text with a header: maps, units, exact prices, and rows that are no ticks."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.ticks import PRICE_SCALE, Sequences
from streams.replay.formats import ReadOptions
from streams.replay.formats import columns as convert
from streams.replay.formats.base import BadRow
from tests.streams.replay.reading import gzipped, px, read, rows, zipped

T = 1_723_161_256_000_000_000
PLAIN = "time,symbol,bid,ask,bid_size,ask_size\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ticks.csv"
    path.write_text(text)
    return path


def test_usual_names_need_no_map(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN + f"{T},IBM,187.2301,187.24,100,200\n{T + 5},SPY,0.000000001,1,0.5,0\n")
    ticks, bad = read(path)
    assert rows(ticks) == [
        (T, "IBM", "q", 187_230_100_000, 187_240_000_000, 100.0, 200.0),
        (T + 5, "SPY", "q", 1, PRICE_SCALE, 0.5, 0.0),
    ]
    assert (bad.total, ticks.sequences) == (0, Sequences())


def test_a_map_names_columns_units_and_scale(tmp_path: Path) -> None:
    path = write(tmp_path, "when;last;n;who\n1723161256001;1872301;5;B\n1723161256002;1872302;6;S\n")
    options = ReadOptions(
        columns={"ts_event_ns": "when", "trade_px": "last", "trade_sz": "n", "aggressor": "who"},
        symbol="IBM",
        time_unit="ms",
        price_scale=10_000,
    )
    ticks, bad = read(path, options)
    assert rows(ticks) == [
        (T + 1_000_000, "IBM", "t", px("187.2301"), 5.0, 1),
        (T + 2_000_000, "IBM", "t", px("187.2302"), 6.0, -1),
    ]
    assert bad.total == 0


def test_quotes_and_trades_may_share_a_file(tmp_path: Path) -> None:
    text = "time,symbol,bid,ask,bid_size,ask_size,price,size\n"
    path = write(tmp_path, text + f"{T},A,1,2,3,4,,\n{T},A,,,,,1.5,7\n")
    assert rows(read(path)[0]) == [
        (T, "A", "q", px("1"), px("2"), 3.0, 4.0),
        (T, "A", "t", px("1.5"), 7.0, 0),
    ]


def test_a_column_of_kinds_decides(tmp_path: Path) -> None:
    text = "time,symbol,kind,bid,ask,price,size\n"
    path = write(tmp_path, text + f"{T},A,quote,1,2,9,9\n{T},A,Trade,1,2,9,8\n{T},A,halt,1,2,9,8\n")
    ticks, bad = read(path)
    assert rows(ticks) == [(T, "A", "q", px("1"), px("2"), 0.0, 0.0), (T, "A", "t", px("9"), 8.0, 0)]
    assert bad.examples == [BadRow("ticks.csv", 4, "kind is no quote or trade")]


def test_a_buyer_who_made_the_price_was_sold_to(tmp_path: Path) -> None:
    path = write(tmp_path, f"time,symbol,price,qty,is_buyer_maker\n{T},A,1,2,true\n{T},A,1,2,False\n")
    assert [row[-1] for row in rows(read(path)[0])] == [-1, 1]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1723161256", T),
        ("1723161256.000000007", T + 7),
        ("1723161256123", T + 123_000_000),
        ("1723161256123456", T + 123_456_000),
        ("1723161256123456789", T + 123_456_789),
        ("2024-08-08T23:54:16.123456789Z", T + 123_456_789),
        ("2024-08-08 23:54:16", T),
        ("2024-08-08T19:54:16-04:00", T),
    ],
)
def test_times_are_told_by_their_size_or_shape(tmp_path: Path, text: str, ns: int) -> None:
    ticks, bad = read(write(tmp_path, PLAIN + f"{text},A,1,2,3,4\n"))
    assert (ticks.columns["ts_event_ns"].tolist(), bad.total) == ([ns], 0)


def test_a_zone_holds_for_times_that_have_none(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN + "2024-08-08 19:54:16,A,1,2,3,4\n")
    ticks, _ = read(path, ReadOptions(time_zone="America/New_York"))
    assert ticks.columns["ts_event_ns"].tolist() == [T]


def test_bad_rows_are_named_by_line_and_do_not_stop_the_file(tmp_path: Path) -> None:
    lines = [
        f"{T},A,1,2,3,4",
        "soon,A,1,2,3,4",
        f"{T},A,abc,2,3,4",
        f"{T},A,1,2",
        f"{T},A,1,,3,4",
        f"{T},A,-1,2,3,4",
        f"{T},A,1,2,nan,4",
        f"{T},,1,2,3,4",
        f"{T},A,1,2,-3,4",
        f"{T},A,1,2,3,4,5,6",
        "",
        f"{T},A,99999999999999999999,2,3,4",
        f"{T},B,2,3,3,4",
    ]
    ticks, bad = read(write(tmp_path, PLAIN + "\n".join(lines) + "\n"))
    assert [row[1] for row in rows(ticks)] == ["A", "B"]
    assert sorted(bad.examples, key=lambda row: row.line) == [
        BadRow("ticks.csv", 3, "time is no time"),
        BadRow("ticks.csv", 4, "bid is no price"),
        BadRow("ticks.csv", 5, "4 columns, expected 6"),
        BadRow("ticks.csv", 6, "a quote without one of its sides"),
        BadRow("ticks.csv", 7, "a price below zero"),
        BadRow("ticks.csv", 8, "a size that is no number of zero or more"),
        BadRow("ticks.csv", 9, "no symbol of 1 to 64 printable characters"),
        BadRow("ticks.csv", 10, "a size that is no number of zero or more"),
        BadRow("ticks.csv", 11, "8 columns, expected 6"),
        BadRow("ticks.csv", 13, "bid is no price"),
    ]
    assert bad.skipped == {"blank line": 1}


def test_line_numbers_hold_over_many_blocks(tmp_path: Path) -> None:
    pad = "0" * 40
    lines = [f"{T + i},A,1.{pad},2,3,4" for i in range(20_000)]
    lines[15_000] = "x,A,1,2,3,4"
    lines[7] = "too,few"
    ticks, bad = read(write(tmp_path, PLAIN + "\n".join(lines)), ReadOptions(block_rows=100))
    assert len(ticks) == 19_998
    assert bad.examples == [
        BadRow("ticks.csv", 9, "2 columns, expected 6"),
        BadRow("ticks.csv", 15_002, "time is no time"),
    ]


def test_bytes_that_are_no_text_cost_their_row_only(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    good = f"{T},A,1,2,3,4\n".encode()
    path.write_bytes(PLAIN.encode() + good + f"{T},".encode() + b"\xff\xfe,1,2,3,4\n" + good)
    ticks, bad = read(path)
    assert len(ticks) == 2
    assert bad.examples == [BadRow("ticks.csv", 3, "no symbol of 1 to 64 printable characters")]


@pytest.mark.parametrize("kind", ["gz", "zip"])
def test_compressed_files_read_the_same(tmp_path: Path, kind: str) -> None:
    text = PLAIN + f"{T},IBM,1,2,3,4\n"
    path = tmp_path / f"ticks.csv.{kind}"
    path = gzipped(path, text) if kind == "gz" else zipped(path, "ticks.csv", text)
    assert rows(read(path)[0]) == [(T, "IBM", "q", px("1"), px("2"), 3.0, 4.0)]


def test_a_truncated_file_gives_its_whole_lines_and_says_where_it_ends(tmp_path: Path) -> None:
    noise = random.Random(7)
    lines = [f"{T + i},IBM,1.{noise.randrange(10**9)},2,3,4" for i in range(5_000)]
    path = gzipped(tmp_path / "ticks.csv.gz", PLAIN + "\n".join(lines) + "\n")
    path.write_bytes(path.read_bytes()[:-20_000])
    ticks, bad = read(path)
    assert 1_000 < len(ticks) < 5_000
    expected = [int(Decimal(line.split(",")[2]) * PRICE_SCALE) for line in lines[: len(ticks)]]
    assert ticks.columns["bid_px"].tolist() == expected
    assert bad.examples == [BadRow("ticks.csv.gz", len(ticks) + 2, "the file is cut short here")]


def test_a_damaged_file_gives_what_comes_before(tmp_path: Path) -> None:
    noise = random.Random(8)
    lines = [f"{T + i},IBM,1.{noise.randrange(10**9)},2,3,4" for i in range(5_000)]
    path = gzipped(tmp_path / "ticks.csv.gz", PLAIN + "\n".join(lines) + "\n")
    damaged = bytearray(path.read_bytes())
    damaged[-8:-4] = b"\0\0\0\0"  # the checksum
    path.write_bytes(damaged)
    ticks, bad = read(path)
    assert len(ticks) <= 5_000
    assert [example.reason[:26] for example in bad.examples] == ["the file is damaged here: "]


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        (
            "time,symbol,bid\n1,A,2\n",
            "no column for bid_px and ask_px, or trade_px,",
            "give --map bid_px=COLUMN",
        ),
        ("time,bid,ask\n1,1,2\n", "no column for symbol", "or --symbol"),
        ("symbol,bid,ask\nA,1,2\n", "no column for ts_event_ns", "its columns are symbol, bid, ask"),
        ("time,symbol,bid,bid\n1,A,1,2\n", "column bid appears twice", "rename"),
    ],
)
def test_a_missing_column_is_named_with_its_remedy(
    tmp_path: Path, text: str, problem: str, remedy: str
) -> None:
    with pytest.raises(SourceError) as caught:
        read(write(tmp_path, text))
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_a_mapped_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN + f"{T},A,1,2,3,4\n")
    with pytest.raises(SourceError, match="no column best, which the map gives for bid_px"):
        read(path, ReadOptions(columns={"bid_px": "best"}))


def test_a_header_alone_is_no_tick_and_no_error(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN)
    from streams.replay.formats import BadRows
    from streams.replay.formats.delimited import Csv

    assert list(Csv().read(path, ReadOptions(), BadRows())) == []


decimals = st.decimals(min_value=0, max_value=4_000_000_000, places=9, allow_nan=False)


@given(st.lists(decimals, min_size=1, max_size=20))
def test_decimal_text_of_any_price_is_exact(prices: list[Decimal]) -> None:
    found = convert.prices(pa.array([f"{price:f}" for price in prices]))
    assert found.values.tolist() == [int(price * PRICE_SCALE) for price in prices]
    assert not found.bad.any()


@given(st.lists(st.integers(0, 90_000_000_000), min_size=1, max_size=20))
def test_the_dust_of_floats_comes_off(hundredthousandths: list[int]) -> None:
    floats = [n / 100_000 for n in hundredthousandths]
    expected = [n * 10_000 for n in hundredthousandths]
    assert convert.prices(pa.array(floats)).values.tolist() == expected
    assert convert.prices(pa.array([repr(value) for value in floats])).values.tolist() == expected


def test_numbers_with_spaces_exponents_and_dust_are_read_and_words_are_not() -> None:
    texts = [" 1.5", "1.6e2 ", "163.20000000000002", "", "one", "1_000", "0x10", None]
    found = convert.prices(pa.array(texts))
    assert found.values.tolist() == [px("1.5"), px("160"), px("163.2"), 0, 0, 0, 0, 0]
    assert found.bad.tolist() == [False, False, False, False, True, True, True, False]
    assert found.absent.tolist() == [False, False, False, True, False, False, False, True]
