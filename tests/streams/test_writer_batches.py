"""What becomes of ticks between a write and a frame. No broker, no clock."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import TickError
from schemas.frame import decode_frame
from schemas.headers import H_SOURCE, H_WATERMARK, get_header
from schemas.ticks import NUMERIC, Sequences, Ticks, make_ticks
from streams.clients import partition_of
from streams.writer.batches import Batches, Frame, SourceRows

SYMBOLS = ("AAPL", "MSFT", "BTC-USD", "ETH-USD", "SPY", "QQQ")
PARTITIONS = 4


def quotes(n: int, *, seed: int = 1, start: int = 0, symbols: tuple[str, ...] = SYMBOLS) -> Ticks:
    rng = np.random.default_rng(seed)
    return make_ticks(
        symbols,
        ts_event_ns=1_000 + start + np.arange(n),
        symbol=rng.integers(0, len(symbols), n),
        kind=np.zeros(n),
        bid_px=rng.integers(1, 10**12, n),
        ask_px=rng.integers(1, 10**12, n),
        bid_sz=rng.random(n),
        ask_sz=rng.random(n),
    )


def batches(max_ticks: int = 100, max_age_s: float | None = None, max_bytes: int = 900_000) -> Batches:
    return Batches(PARTITIONS, max_ticks=max_ticks, max_bytes=max_bytes, max_age_s=max_age_s)


def rows_by_partition(ticks: list[Ticks]) -> dict[int, list[tuple[object, ...]]]:
    """Every row as a tuple, in order, where it belongs."""
    rows: dict[int, list[tuple[object, ...]]] = {}
    for part in ticks:
        columns = [part.columns[name].tolist() for name in NUMERIC]
        for code, *cells in zip(part.columns["symbol"].tolist(), *columns, strict=True):
            symbol = part.symbols[code]
            rows.setdefault(partition_of(symbol, PARTITIONS), []).append((symbol, *cells))
    return rows


def read(frames: list[Frame]) -> dict[int, list[tuple[object, ...]]]:
    found: dict[int, list[tuple[object, ...]]] = {}
    for frame in frames:
        for partition, rows in rows_by_partition([decode_frame(frame.payload)]).items():
            assert partition == frame.partition
            found.setdefault(partition, []).extend(rows)
    return found


@given(
    sizes=st.lists(st.integers(0, 60), max_size=8),
    max_ticks=st.integers(1, 70),
    max_bytes=st.sampled_from([4_096, 8_000, 900_000]),
    seed=st.integers(0, 5),
)
def test_every_row_arrives_once_in_order_on_its_partition(
    sizes: list[int], max_ticks: int, max_bytes: int, seed: int
) -> None:
    writes = [quotes(n, seed=seed + k, start=100 * k) for k, n in enumerate(sizes)]
    waiting = batches(max_ticks, max_bytes=max_bytes)
    frames = [frame for ticks in writes for frame in waiting.add(ticks, 0.0)] + waiting.drain()
    assert read(frames) == rows_by_partition(writes)
    assert all(frame.ticks <= max_ticks and len(frame.payload) <= max_bytes for frame in frames)
    assert waiting.rows == 0


@given(cuts=st.lists(st.integers(1, 499), max_size=6))
def test_frames_do_not_depend_on_how_rows_are_cut_into_writes(cuts: list[int]) -> None:
    ticks = quotes(500)
    whole, pieces = batches(64), batches(64)
    expected = whole.add(ticks, 0.0) + whole.drain()
    edges = [0, *sorted(set(cuts)), 500]
    got = [
        frame for start, end in pairwise(edges) for frame in pieces.add(ticks.take(slice(start, end)), 0.0)
    ] + pieces.drain()
    # which partition's turn it is depends on the cuts; what each one gets does not
    by_partition = [[f for f in frames if f.partition == p] for p in range(4) for frames in (expected, got)]
    assert by_partition[::2] == by_partition[1::2]


def test_the_arrays_of_a_write_may_be_reused() -> None:
    ticks = quotes(10)
    expected = rows_by_partition([ticks])
    waiting = batches()
    waiting.add(ticks, 0.0)
    for column in ticks.columns.values():
        column[:] = 0
    assert read(waiting.drain()) == expected


def test_a_single_symbol_write_that_waits_may_be_reused_too() -> None:
    ticks = quotes(10, symbols=("SPY",))
    expected = rows_by_partition([ticks])
    waiting = batches()
    waiting.add(ticks, 0.0)
    ticks.columns["bid_px"][:] = 7
    assert read(waiting.drain()) == expected


def test_rows_leave_when_the_oldest_of_their_partition_has_waited_its_time() -> None:
    waiting = batches(max_age_s=0.5)
    first = quotes(1, symbols=("AAPL",))
    second = quotes(1, symbols=("MSFT",))
    assert partition_of("AAPL", PARTITIONS) != partition_of("MSFT", PARTITIONS)
    assert waiting.next_due_s() is None
    waiting.add(first, 10.0)
    waiting.add(second, 10.3)
    waiting.add(first, 10.4)
    assert waiting.next_due_s() == 10.5
    assert waiting.due(10.4) == []
    assert read(waiting.due(10.5)) == rows_by_partition([first, first])
    assert waiting.next_due_s() == 10.8
    assert read(waiting.due(11.0)) == rows_by_partition([second])


def test_without_an_age_limit_nothing_is_ever_due() -> None:
    waiting = batches(max_age_s=None)
    waiting.add(quotes(3), 0.0)
    assert (waiting.due(1e9), waiting.next_due_s(), waiting.rows) == ([], None, 3)


def test_a_frame_that_would_be_too_large_is_cut_in_halves_and_keeps_its_source() -> None:
    ticks = quotes(400, symbols=("SPY",))
    waiting = batches(max_ticks=400, max_bytes=8_000)
    frames = waiting.add(ticks, 0.0, SourceRows(3, np.arange(400), np.zeros(400, np.int32)))
    assert [len(frame.payload) <= 8_000 for frame in frames] == [True] * len(frames)
    assert len(frames) >= 2
    assert read(frames) == rows_by_partition([ticks])
    spans = [get_header(frame.headers, H_SOURCE) for frame in frames]
    edges = np.cumsum([0] + [frame.ticks for frame in frames])
    assert spans == [f"3@{a}#0-{b - 1}#0".encode() for a, b in pairwise(edges.tolist())]


def test_the_source_of_a_frame_is_a_span_for_each_run_of_one_partition() -> None:
    one = quotes(2, symbols=("SPY",))
    waiting = batches()
    waiting.add(one, 0.0, SourceRows(1, np.array([7, 7]), np.array([0, 1], np.int32)))
    waiting.add(one, 0.0, SourceRows(1, np.array([9, 11]), np.array([0, 0], np.int32)))
    waiting.add(one, 0.0, SourceRows(2, np.array([4, 4]), np.array([3, 9], np.int32)))
    (frame,) = waiting.drain()
    assert get_header(frame.headers, H_SOURCE) == b"1@7#0-11#0,2@4#3-4#9"


def test_the_dictionary_travels_whole_while_it_is_small_and_grows_at_its_end() -> None:
    waiting = batches()
    dictionaries = []
    for symbols in (("SPY",), ("QQQ", "SPY"), ("SPY",)):
        waiting.add(quotes(4, symbols=symbols), 0.0)
        dictionaries += [
            decode_frame(f.payload).symbols for f in waiting.drain() if f.partition == partition_of("SPY", 4)
        ]
    own = [("SPY",), ("SPY", "QQQ")][partition_of("QQQ", 4) == partition_of("SPY", 4)]
    assert dictionaries == [("SPY",), own, own]


def test_a_small_frame_does_not_carry_ten_thousand_symbols() -> None:
    many = tuple(f"S{k}" for k in range(10_000))
    waiting = batches(max_ticks=8192)
    first = make_ticks(many, ts_event_ns=np.arange(1, 10_001), symbol=np.arange(10_000), kind=np.ones(10_000))
    waiting.add(first, 0.0)
    waiting.drain()
    waiting.add(first.take(slice(0, 40)), 0.0)
    frames = waiting.drain()
    assert read(frames) == rows_by_partition([first.take(slice(0, 40))])
    assert sum(len(decode_frame(frame.payload).symbols) for frame in frames) == 40


def test_frames_never_mix_promises_about_sequences() -> None:
    waiting = batches()
    plain = quotes(3, symbols=("SPY",))
    dense = Ticks(plain.symbols, plain.columns, Sequences(dense_quotes=True))
    frames = waiting.add(plain, 0.0) + waiting.add(dense, 0.0) + waiting.add(dense, 0.0) + waiting.drain()
    assert [(f.ticks, decode_frame(f.payload).sequences) for f in frames] == [
        (3, plain.sequences),
        (6, dense.sequences),
    ]


def test_a_heartbeat_lets_waiting_rows_go_first_and_only_rises() -> None:
    waiting = batches()
    ticks = quotes(2, symbols=("SPY",))  # event times 1000 and 1001
    spy = partition_of("SPY", PARTITIONS)
    waiting.add(ticks, 0.0)
    beat = [(f.partition, f.ticks, get_header(f.headers, H_WATERMARK)) for f in waiting.heartbeat(5_000, 0.0)]
    assert beat == [
        step
        for partition in range(PARTITIONS)
        for step in ([(spy, 2, None)] if partition == spy else []) + [(partition, 0, b"5000")]
    ]
    assert waiting.heartbeat(4_999, 0.0) == []
    assert waiting.heartbeat(5_000, 0.0) == []
    assert len(waiting.heartbeat(5_001, 0.0)) == PARTITIONS


def test_only_partitions_without_ticks_get_the_idle_heartbeat() -> None:
    waiting = batches()
    spy = partition_of("SPY", PARTITIONS)
    waiting.add(quotes(2, symbols=("SPY",)), 0.5)
    waiting.drain()
    beats = waiting.idle_heartbeats(1.0, after_s=1.0)
    assert [f.partition for f in beats] == [p for p in range(PARTITIONS) if p != spy]
    assert {get_header(f.headers, H_WATERMARK) for f in beats} == {b"1001"}
    assert all(len(decode_frame(f.payload)) == 0 for f in beats)
    assert waiting.idle_heartbeats(9.0, after_s=1.0) == []  # nothing has moved on since


def test_before_the_first_tick_there_is_no_heartbeat() -> None:
    assert batches().idle_heartbeats(100.0, after_s=1.0) == []


@pytest.mark.parametrize("symbol", ["", "x" * 65, "tab\there"])
def test_a_symbol_that_no_reader_takes_is_refused_and_nothing_is_taken_in(symbol: str) -> None:
    waiting = batches()
    ticks = quotes(4, symbols=("SPY", symbol))
    with pytest.raises(TickError, match="must be 1 to 64 printable characters"):
        waiting.add(ticks, 0.0)
    assert waiting.rows == 0
    with pytest.raises(TickError, match="must be 1 to 64 printable characters"):
        waiting.add(ticks, 0.0)


def test_a_symbol_code_outside_the_symbols_is_refused() -> None:
    ticks = quotes(4)
    ticks.columns["symbol"][2] = len(SYMBOLS)
    with pytest.raises(TickError, match="symbol code 6 lies outside the 6 symbols"):
        batches().add(ticks, 0.0)


def test_a_row_with_a_null_is_refused() -> None:
    ticks = quotes(4)
    with pytest.raises(TickError, match="row 2 of the ticks to write has a null"):
        batches().add(Ticks(ticks.symbols, ticks.columns, null_rows=np.array([0, 0, 1, 0], bool)), 0.0)
