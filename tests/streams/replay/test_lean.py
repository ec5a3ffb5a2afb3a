"""Lean tick zips: national best quotes of both kinds of file, trades, forex."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.errors import SourceError
from schemas.ticks import Array
from streams.replay.formats import ReadOptions, nbbo
from streams.replay.formats.base import BadRow
from streams.replay.formats.registry import find_format
from tests.streams.replay.reading import px, read, real, rows, zipped

MIDNIGHT = 1_381_118_400_000_000_000  # 2013-10-07 00:00 in New York, which is 04:00 UTC
QUOTES, TRADES = "20131007_ibm_Quote_Tick.csv", "20131007_ibm_Trade_Tick.csv"


def at(ms: int) -> int:
    return MIDNIGHT + ms * 1_000_000


def test_pairs_that_mix_exchanges_are_national_best_quotes(tmp_path: Path) -> None:
    text = (
        "1000,1000000,300,0,0,P,1,0\n1000,0,0,1000100,100,Q,1,0\n"
        "2000,1000000,200,0,0,N,1,0\n2000,0,0,1000100,100,Q,1,0\n"
        "3000,1000000,200,0,0,P,1,0\n3000,0,0,1000100,100,K,1,0\n"
    )
    ticks, bad = read(zipped(tmp_path / "20131007_quote.zip", QUOTES, text))
    assert rows(ticks) == [
        (at(1000), "IBM", "q", px("100"), px("100.01"), 300.0, 100.0),
        (at(2000), "IBM", "q", px("100"), px("100.01"), 200.0, 100.0),
    ]
    assert (bad.skipped, bad.total) == ({"first half of a quote": 3, "best quote unchanged": 1}, 0)


def test_quotes_of_single_exchanges_add_up_to_the_best_of_all(tmp_path: Path) -> None:
    text = (
        "1000,1000000,300,0,0,P,1,0\n1000,0,0,1000300,100,P,1,0\n"
        "2000,1000100,200,0,0,Q,1,0\n2000,0,0,1000200,500,Q,1,0\n"
        "3000,1000100,50,0,0,P,1,0\n3000,0,0,1000400,100,P,1,0\n"
        "4000,1000000,0,0,0,Q,1,0\n4000,0,0,1000200,0,Q,1,0\n"
        "5000,1000500,10,0,0,Q,1,0\n5000,0,0,1000600,10,Q,1,0\n"
    )
    ticks, bad = read(zipped(tmp_path / "20131007_quote.zip", QUOTES, text))
    assert rows(ticks) == [
        (at(1000), "IBM", "q", px("100"), px("100.03"), 300.0, 100.0),
        (at(2000), "IBM", "q", px("100.01"), px("100.02"), 200.0, 500.0),
        (at(3000), "IBM", "q", px("100.01"), px("100.02"), 250.0, 500.0),
        (at(4000), "IBM", "q", px("100.01"), px("100.04"), 50.0, 100.0),
    ]
    assert bad.examples == [BadRow("20131007_quote.zip", 10, "the best bid is above the best ask")]


def test_bad_rows_are_named_and_suspicious_ones_skipped(tmp_path: Path) -> None:
    text = (
        "1000,x,300,0,0,P,1,0\n1000,0,0,1000300,100,P,1,0\n2000,1000000,5\n"
        "3000,0,0,0,0,P,1,0\n4000,1000000,9,0,0,P,1,1\n5000,1000000,7,0,0,P,1,0\n"
    )
    ticks, bad = read(zipped(tmp_path / "20131007_quote.zip", QUOTES, text))
    assert rows(ticks) == [(at(5000), "IBM", "q", px("100"), px("100.03"), 7.0, 100.0)]
    assert sorted(bad.examples, key=lambda row: row.line) == [
        BadRow("20131007_quote.zip", 1, "bid is no whole number"),
        BadRow("20131007_quote.zip", 2, "no best quote yet: one side only"),
        BadRow("20131007_quote.zip", 3, "3 columns, expected 8"),
        BadRow("20131007_quote.zip", 4, "neither a bid nor an ask"),
    ]
    assert bad.skipped == {"marked suspicious": 1}


def test_trades_and_forex_quotes(tmp_path: Path) -> None:
    trade = zipped(tmp_path / "20131007_trade.zip", TRADES, "14430270,1815200,283,P,20002020,0\n")
    assert rows(read(trade)[0]) == [(at(14_430_270), "IBM", "t", px("181.52"), 283.0, 0)]
    forex = zipped(tmp_path / "q.zip", "20131007_eurusd_tick_quote.csv", "17007,1.39147,1.39148\n")
    assert rows(read(forex)[0]) == [(at(17_007), "EURUSD", "q", px("1.39147"), px("1.39148"), 0.0, 0.0)]


def test_a_pair_may_lie_across_two_blocks(tmp_path: Path) -> None:
    pairs = [
        f"{i},{1_000_000 + i % 7 * 100},{i + 1},0,0,{'PQ'[i % 2]},1,0\n{i},0,0,1001000,5,N,1,0\n"
        for i in range(9_001)
    ]
    path = zipped(tmp_path / "20131007_quote.zip", QUOTES, "".join(pairs))
    small, _ = read(path, ReadOptions(block_rows=1))
    large, _ = read(path)
    assert rows(small) == rows(large)
    assert len(large) == 9_001


def test_a_file_whose_name_tells_no_date_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text("1000,1815200,283,P,2000,0\n")
    with pytest.raises(SourceError, match=r"no known format; looked for .*lean"):
        find_format(path)


def test_a_zip_of_two_files_is_refused(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    with pytest.raises(SourceError, match="holds 2 files"):
        find_format(path)


@pytest.mark.parametrize(
    ("name", "quotes", "skipped", "bad"),
    [
        (
            "us_equity_ticks/aig_20131007_quote.zip",
            523_020,
            {"first half of a quote": 539_967, "best quote unchanged": 16_852},
            {"no best quote yet: one side only": 1, "the best bid is above the best ask": 95},
        ),
        (
            "us_equity_ticks/ibm_20131007_quote.zip",
            46_444,
            {"first half of a quote": 54_532, "best quote unchanged": 8_046, "marked suspicious": 1},
            {"no best quote yet: one side only": 1, "the best bid is above the best ask": 43},
        ),
    ],
)
def test_every_row_of_a_recorded_day_is_accounted_for(
    name: str, quotes: int, skipped: dict[str, int], bad: dict[str, int]
) -> None:
    ticks, found = read(real(name))
    assert (len(ticks), dict(found.skipped), dict(found.bad)) == (quotes, skipped, bad)
    rows_in_file = {"aig": 1_079_935, "ibm": 109_067}[Path(name).name[:3]]
    assert len(ticks) + sum(skipped.values()) + sum(bad.values()) == rows_in_file
    assert (ticks.columns["bid_px"] <= ticks.columns["ask_px"]).all()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("us_equity_ticks/aig_20131007_trade.zip", 25_351),
        ("us_equity_ticks/ibm_20131007_trade.zip", 24_293),
        ("fx_ticks/fxcm_eurusd_20140508_quote.zip", 167_466),
    ],
)
def test_recorded_trades_and_forex_quotes_are_all_read(name: str, count: int) -> None:
    ticks, bad = read(real(name))
    assert (len(ticks), bad.total) == (count, 0)


def naive_best(rows: list[tuple[int, int, int, int, int, int]]) -> list[tuple[int, int, float, float] | None]:
    """The obvious loop: a dictionary an exchange and side; None where the kernel says anything but QUOTED."""
    sides: tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]] = ({}, {})
    found: list[tuple[int, int, float, float] | None] = []
    last = None
    for i, (time, exchange, bid, bid_size, ask, ask_size) in enumerate(rows):
        for side, price, size in ((0, bid, bid_size), (1, ask, ask_size)):
            if price:
                sides[side].pop(exchange, None)
                if size:
                    sides[side][exchange] = (price, size)
        following = rows[i + 1] if i + 1 < len(rows) else None
        if not ask and following and following[:2] == (time, exchange) and not following[2]:
            found.append(None)
            continue
        if not sides[0] or not sides[1]:
            found.append(None)
            continue
        top_bid = max(price for price, _ in sides[0].values())
        top_ask = min(price for price, _ in sides[1].values())
        best = (
            top_bid,
            top_ask,
            float(sum(size for price, size in sides[0].values() if price == top_bid)),
            float(sum(size for price, size in sides[1].values() if price == top_ask)),
        )
        found.append(None if top_bid > top_ask or best == last else best)
        last = best if top_bid <= top_ask else last
    return found


def test_the_kernel_agrees_with_the_obvious_loop() -> None:
    rng = np.random.default_rng(5)
    table: list[tuple[int, int, int, int, int, int]] = []
    for i in range(3_000):
        bid_side = bool(rng.integers(2))
        price, size = int(rng.integers(90, 100) + 8 * (not bid_side)), int(rng.integers(0, 4))
        sides = (price, size, 0, 0) if bid_side else (0, 0, price, size)
        table.append((i // 3, int(rng.integers(5)), *sides))
    columns: list[Array] = [np.array(column) for column in zip(*table, strict=True)]
    time, exchange, bid, bid_size, ask, ask_size = columns
    state, best_px, best_sz = nbbo.national_best(
        time,
        exchange,
        bid,
        bid_size.astype(float),
        ask,
        ask_size.astype(float),
        *nbbo.new_books(),
        np.zeros(4),
    )
    quoted = state == nbbo.QUOTED
    found = [
        (*p, *s) if q else None for q, p, s in zip(quoted, best_px.tolist(), best_sz.tolist(), strict=True)
    ]
    assert found == naive_best(table)
    assert set(np.unique(state)) == {0, 1, 2, 3, 4}
