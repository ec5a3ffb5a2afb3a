from collections import Counter

import pytest

from bench.ingest import ticks_json
from bench.peers.check import COMMON, differing_bars, differing_outputs, expected_bars
from bench.peers.common import Windows
from schemas import codec

TICKS = [payload for _, payload in ticks_json(4_000, seed=3, step_ns=500_000)]
EXPECTED = expected_bars(TICKS)


def bars():
    windows = Windows()
    closed = [windows.add(codec.loads(payload)) for payload in TICKS]
    return [row for row in closed if row is not None]


def test_bars_of_windows_that_close_are_those_of_a_plain_loop():
    assert differing_bars(EXPECTED, bars()) == ""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows[1:], "1 missing"),
        (lambda rows: [*rows, rows[0]], "1 repeated"),
        (lambda rows: [rows[0] | {"volume": -1.0}, *rows[1:]], "1 wrong"),
        (lambda rows: [*rows, rows[0] | {"symbol": "X"}], "1 wrong"),
    ],
)
def test_bars_that_are_missing_repeated_or_wrong_are_counted(spoil, said):
    rows = [row for row in bars() if row["n_trades"]]
    rows.sort(key=lambda row: row["open_ns"])
    assert differing_bars(EXPECTED, spoil(rows), COMMON) == said


def test_a_sum_may_be_taken_in_another_order():
    rows = [row | {"volume": row["volume"] * (1 + 1e-12)} for row in bars()]
    assert differing_bars(EXPECTED, rows) == ""


def test_outputs_that_are_missing_or_strange_are_counted_by_topic():
    ours = {"market.features": Counter("aab"), "market.bars": Counter("c")}
    theirs = {"market.features": Counter("abd"), "market.bars": Counter("c")}
    assert differing_outputs(ours, ours) == ""
    assert differing_outputs(ours, theirs) == "market.features: 1 of 3 missing, 1 that ours has not"
