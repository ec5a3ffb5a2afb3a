"""Recorded Binance websockets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from schemas.ticks import QUOTE, TRADE, Sequences
from streams.replay.formats import ReadOptions
from streams.replay.formats.base import BadRow
from tests.streams.replay.reading import gzipped, px, read, real, rows

RECV, T = 1_723_161_255_088_169_167, 1_723_161_256_313
NS = T * 1_000_000
BOOK = {
    "e": "bookTicker",
    "u": 7,
    "s": "BTCUSDT",
    "b": "61800.20",
    "B": "2.5",
    "a": "61800.30",
    "A": "1",
    "T": T,
}
TRADE_ = {"e": "trade", "T": T, "s": "BTCUSDT", "t": 11, "p": "61800.30", "q": "0.006", "m": True}


def line(body: dict[str, object], stream: str = "s") -> str:
    return f"{RECV} " + json.dumps({"stream": stream, "data": body}, separators=(",", ":")) + "\n"


def write(tmp_path: Path, *lines: str) -> Path:
    return gzipped(tmp_path / "ws.gz", "".join(lines))


def test_quotes_trades_and_aggressors(tmp_path: Path) -> None:
    path = write(tmp_path, line(BOOK), line(TRADE_), line(TRADE_ | {"m": False, "t": 12}))
    ticks, bad = read(path)
    assert rows(ticks) == [
        (NS, "BTCUSDT", "q", px("61800.2"), px("61800.3"), 2.5, 1.0),
        (NS, "BTCUSDT", "t", px("61800.3"), 0.006, -1),
        (NS, "BTCUSDT", "t", px("61800.3"), 0.006, 1),
    ]
    assert ticks.columns["sequence"].tolist() == [7, 11, 12]
    assert ticks.columns["ts_recv_ns"].tolist() == [RECV] * 3
    assert (ticks.sequences, bad.total) == (Sequences(dense_trades=True), 0)


def test_a_quote_without_exchange_time_has_the_time_of_its_capture(tmp_path: Path) -> None:
    spot = {name: BOOK[name] for name in ("u", "s", "b", "B", "a", "A")}
    path = write(tmp_path, line(spot))
    assert read(path)[0].columns["ts_event_ns"].tolist() == [RECV]
    shifted, _ = read(path, ReadOptions(recv_offset_ns=1_250_000_000))
    assert shifted.columns["ts_event_ns"].tolist() == [RECV + 1_250_000_000]


def test_aggregated_trades_count_only_where_they_come_alone(tmp_path: Path) -> None:
    aggregated = {"e": "aggTrade", "T": T, "s": "ETHUSDT", "a": 5, "p": "2", "q": "3", "m": False}
    path = write(tmp_path, line(TRADE_), line(aggregated), line(aggregated | {"s": "BTCUSDT"}))
    ticks, bad = read(path)
    assert [row[1] for row in rows(ticks)] == ["BTCUSDT", "ETHUSDT"]
    assert bad.skipped == {"aggTrade": 1}


def test_what_is_no_tick_is_skipped_and_what_is_broken_is_named(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        line({"e": "depthUpdate", "s": "BTCUSDT"}),
        f'{RECV} {{"lastUpdateId":1,"bids":[],"asks":[]}}\n',
        f'{RECV} {{"e":"trade"\n',
        "garbage\n",
        line({name: value for name, value in TRADE_.items() if name != "p"}),
        line(TRADE_ | {"p": 3.5}),
        line(TRADE_ | {"p": "much"}),
        line(TRADE_ | {"p": "0", "X": "NA"}),
        line(TRADE_ | {"T": "noon"}),
        f"{RECV} [1,2]\n",
        line(BOOK | {"s": ""}),
        line(BOOK),
    )
    ticks, bad = read(path)
    assert [row[2] for row in rows(ticks)] == ["q"]
    assert bad.skipped == {"depthUpdate": 1, "snapshot": 1}
    assert sorted(bad.examples, key=lambda row: row.line) == [
        BadRow("ws.gz", 3, "not JSON after the capture time"),
        BadRow("ws.gz", 4, "no capture time at the start of the line"),
        BadRow("ws.gz", 5, "a trade without p"),
        BadRow("ws.gz", 6, "a trade with a field of another type"),
        BadRow("ws.gz", 7, "a price that is no number"),
        BadRow("ws.gz", 8, "a trade without a price above zero"),
        BadRow("ws.gz", 9, "a trade with a field of another type"),
        BadRow("ws.gz", 10, "not a websocket message"),
        BadRow("ws.gz", 11, "a bookTicker with a field of another type"),
    ]


@pytest.mark.parametrize(
    ("name", "quotes", "trades", "depth"),
    [
        ("binance/usdm_btcusdt_20240808.gz", 66_089, 21_313, 6_551),
        ("binance/spot_btcusdt_20240808.gz", 28_040, 9_757, 3_451),
        ("binance/cm_btcusd_perp_20240808.gz", 19_136, 2_286, 26_847),
    ],
)
def test_recordings_give_every_quote_and_trade(name: str, quotes: int, trades: int, depth: int) -> None:
    ticks, bad = read(real(name))
    kind, sequence = ticks.columns["kind"], ticks.columns["sequence"].astype(np.int64)
    assert (int((kind == QUOTE).sum()), int((kind == TRADE).sum())) == (quotes, trades)
    assert (bad.total, dict(bad.skipped)) == (0, {"depthUpdate": depth, "snapshot": 1})
    assert (np.diff(sequence[kind == TRADE]) == 1).all()  # so the promise of dense trades holds
    assert (np.diff(sequence[kind == QUOTE]) > 0).all()
    assert (np.diff(sequence[kind == QUOTE]) > 1).any()  # and one of dense quotes would not
