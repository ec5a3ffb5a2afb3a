"""Each fault is really planted, listed exactly, and the same however the stream is cut."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SettingsError
from schemas.ticks import QUOTE, TRADE, Ticks, concat_ticks, make_ticks
from streams.market import faults as fast
from streams.market.config import MarketConfig
from streams.market.faults import FAULT_KINDS, FaultInjector, FaultPlan, PlantedFault
from streams.market.market import SimulatedMarket
from tests.streams.market import slow_faults
from tests.streams.market.series import same_ticks

MS = 1_000_000
SLOW_COLUMNS = ("ts_event_ns", "ts_recv_ns", "sequence", "bid_px", "ask_px")
STREAM = SimulatedMarket(MarketConfig(symbols=5, seed=9, rate_per_s=100.0)).block(n_ticks=8_000)


def planted_in(
    plan: FaultPlan, ticks: Ticks = STREAM, cuts: tuple[int, ...] = ()
) -> tuple[Ticks, list[PlantedFault]]:
    injector = FaultInjector(plan)
    edges = [0, *cuts, len(ticks)]
    parts = [injector.apply(ticks.take(slice(a, b))) for a, b in pairwise(edges)]
    held = injector.finish()
    return concat_ticks(parts if held is None else [*parts, held]), injector.planted


def rows_of(ticks: Ticks, stream: Ticks = STREAM) -> list[int]:
    """The row in the stream of each tick, known by its symbol, kind and sequence."""
    known = {key: row for row, key in enumerate(keys_of(stream))}
    return [known[key] for key in keys_of(ticks)]


def keys_of(ticks: Ticks) -> list[tuple[str, int, int]]:
    c = ticks.columns
    names = [ticks.symbols[code] for code in c["symbol"].tolist()]
    return list(zip(names, c["kind"].tolist(), c["sequence"].tolist(), strict=True))


plans = st.builds(
    FaultPlan,
    gap=st.sampled_from([0.0, 0.05]),
    duplicate=st.sampled_from([0.0, 0.05]),
    reorder=st.sampled_from([0.0, 0.1]),
    late=st.sampled_from([0.0, 0.1]),
    crossed=st.sampled_from([0.0, 0.05]),
    stall=st.sampled_from([0.0, 0.02]),
    outage=st.sampled_from([0.0, 0.01]),
    bad=st.sampled_from([0.0, 0.05]),
    reorder_ms=st.sampled_from([1, 30]),
    late_ms=st.sampled_from([50, 400]),
    stall_ms=st.sampled_from([10, 300]),
    seed=st.integers(0, 2**64 - 1),
)


@settings(max_examples=60, deadline=None)
@given(plan=plans, first=st.integers(0, 5_000), n=st.integers(1, 600), data=st.data())
def test_what_comes_and_what_is_listed_is_what_the_slow_way_plants(
    plan: FaultPlan, first: int, n: int, data: st.DataObject
) -> None:
    stream = STREAM.take(slice(first, first + n))
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, n), max_size=5))))
    got, listed = planted_in(plan, stream, cuts)
    c = stream.columns
    rows = np.arange(n)
    slow = [
        slow_faults.Tick(i, stream.symbols[code], "quote" if kind == QUOTE else "trade", *rest)
        for i, code, kind, *rest in zip(
            rows.tolist(),
            *(c[name].tolist() for name in ("symbol", "kind", *SLOW_COLUMNS)),
            strict=True,
        )
    ]  # fmt: skip
    u, share = (fast._uniform(plan.seed, which, rows).tolist() for which in (0, 2))
    expected, planted = slow_faults.plant(plan, slow, u, share)
    spoiled = {row: what for row, _, what in expected if what}
    assert rows_of(got, stream) == [row for row, _, _ in expected]
    assert got.columns["ts_recv_ns"].tolist() == [recv for _, recv, _ in expected]
    assert sorted(listed, key=lambda f: (f.row, f.fault)) == planted
    for row, i in zip(rows_of(got, stream), range(len(got)), strict=True):
        now = {name: got.columns[name][i] for name in ("bid_px", "ask_px", "trade_px", "ask_sz", "trade_sz")}
        was = {name: c[name][row] for name in now}
        if spoiled.get(row) == "crossed":
            was |= {"bid_px": was["ask_px"], "ask_px": was["bid_px"]}
        assert (now == was) == (spoiled.get(row) != "bad")


@settings(max_examples=40, deadline=None)
@given(plan=plans, cuts=st.lists(st.integers(0, 8_000), max_size=8))
def test_the_same_stream_gets_the_same_faults_however_it_is_cut(plan: FaultPlan, cuts: list[int]) -> None:
    whole, listed = planted_in(plan)
    parts, also = planted_in(plan, cuts=tuple(sorted(cuts)))
    assert same_ticks(whole, parts)
    assert listed == also


def test_a_plan_of_nothing_changes_and_lists_nothing() -> None:
    injector = FaultInjector(FaultPlan(seed=3))
    assert injector.apply(STREAM) is STREAM
    assert injector.finish() is None
    assert injector.planted == []


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_fault_of_rate_zero_is_not_planted_and_one_of_a_rate_is_at_about_it(kind: str) -> None:
    _, listed = planted_in(FaultPlan(**{kind: 0.01}, stall_ms=20, seed=5))  # type: ignore[arg-type]
    assert {fault.fault for fault in listed} == {kind}
    expected = 80 * (2 / 3 if kind == "crossed" else 1)
    if kind not in ("stall", "outage"):  # which have a record for each pair that they silenced
        assert len(listed) == pytest.approx(expected, rel=0.35)


def test_gaps_are_the_sequence_numbers_that_never_come() -> None:
    got, listed = planted_in(FaultPlan(gap=0.02, stall=0.0005, outage=0.0002, stall_ms=500, seed=1))
    missing = Counter(keys_of(STREAM))
    missing.subtract(keys_of(got))
    assert sum(missing.values()) == sum(fault.count for fault in listed) > 200
    for fault in listed:
        key = (fault.symbol, QUOTE if fault.tick == "quote" else TRADE, fault.sequence)
        assert missing[key] == 1
        if fault.fault == "gap":
            assert fault.count == 1


def test_a_reader_counts_exactly_the_certain_gaps_and_duplicates() -> None:
    got, listed = planted_in(FaultPlan(gap=0.02, duplicate=0.02, stall=0.001, stall_ms=200, seed=4))
    last: dict[tuple[str, int], int] = {}
    gaps = duplicates = 0
    for symbol, kind, sequence in keys_of(got):
        before = last.get((symbol, kind))
        if before is not None:
            gaps += max(sequence - before - 1, 0)
            duplicates += sequence <= before
        last[symbol, kind] = max(sequence, before or 0)
    certain = [fault for fault in listed if fault.certain]
    assert duplicates == sum(fault.fault == "duplicate" for fault in certain)
    assert gaps == sum(fault.count for fault in certain if fault.fault in ("gap", "stall"))


def test_a_late_tick_follows_a_tick_of_its_symbol_that_is_late_ms_younger() -> None:
    plan = FaultPlan(late=0.02, late_ms=400, seed=2)
    got, listed = planted_in(plan)
    rows, ts = rows_of(got), STREAM.columns["ts_event_ns"]
    certain = [fault for fault in listed if fault.certain]
    assert len(certain) > 100
    for fault in certain:
        place = rows.index(fault.row)
        bringer = next(row for row in reversed(rows[:place]) if row not in {f.row for f in listed})
        assert ts[bringer] >= fault.ts_event_ns + 400 * MS
        assert STREAM.columns["symbol"][bringer] == STREAM.columns["symbol"][fault.row]


def test_a_reordered_tick_comes_within_its_time_and_the_others_keep_their_order() -> None:
    got, listed = planted_in(FaultPlan(reorder=0.05, reorder_ms=20, seed=2))
    rows = rows_of(got)
    moved = {fault.row for fault in listed}
    others = [row for row in rows if row not in moved]
    assert sorted(rows) == list(range(len(STREAM)))
    assert others == sorted(others)
    ts = STREAM.columns["ts_event_ns"]
    clock = np.maximum.accumulate(ts[rows])
    assert (clock - ts[rows]).max() <= 20 * MS
    overtaken = [fault for fault in listed if fault.certain]
    assert len(overtaken) > 200
    assert all(fault.count >= 1 for fault in overtaken)


def test_a_stall_silences_one_symbol_and_an_outage_all() -> None:
    for kind, silenced in (("stall", 1), ("outage", 5)):
        plan = FaultPlan(**{kind: 0.0005}, stall_ms=1_000, seed=6)  # type: ignore[arg-type]
        got, listed = planted_in(plan)
        begins = min(listed, key=lambda fault: fault.ts_event_ns)
        span = (begins.ts_event_ns, begins.ts_event_ns + 1_000 * MS)
        t = got.columns["ts_event_ns"]
        heard = np.unique(got.columns["symbol"][(t > span[0]) & (t < span[1])])
        assert len(heard) == 5 - silenced
        assert begins.symbol not in [got.symbols[code] for code in heard]


def test_bad_ticks_have_no_usable_price_or_size_in_each_of_the_ways() -> None:
    got, listed = planted_in(FaultPlan(bad=0.03, seed=8))
    rows = rows_of(got)
    ways: Counter[str] = Counter()
    for fault in listed:
        i = rows.index(fault.row)
        price, size = ("bid_px", "ask_sz") if fault.tick == "quote" else ("trade_px", "trade_sz")
        p, s = got.columns[price][i], got.columns[size][i]
        ways["zero" if p == 0 else "negative" if p < 0 else "nan" if np.isnan(s) else "none"] += 1
    assert set(ways) == {"zero", "negative", "nan"}
    assert np.all(STREAM.columns["ask_sz"] >= 0)  # the input is left as it was


def test_crossing_leaves_alone_what_it_cannot_cross() -> None:
    ticks = make_ticks(
        ("A",), ts_event_ns=[1, 2, 3], symbol=[0, 0, 0], kind=[QUOTE] * 3,
        bid_px=[10, 10, 10], ask_px=[11, 10, 11], bid_sz=[1, 1, 1], ask_sz=[1, 1, 1], sequence=[1, 2, 3],
    )  # fmt: skip
    got, listed = planted_in(FaultPlan(crossed=1.0), ticks)
    assert [fault.row for fault in listed] == [2]  # the first tick is spared, the second is locked
    assert got.columns["bid_px"].tolist() == [10, 10, 11]
    assert got.columns["ask_px"].tolist() == [11, 10, 10]


def test_ticks_without_capture_times_keep_none_when_delayed() -> None:
    bare = Ticks(STREAM.symbols, STREAM.columns | {"ts_recv_ns": np.zeros(len(STREAM), np.int64)})
    got, listed = planted_in(FaultPlan(late=0.05, reorder=0.05, late_ms=200), bare)
    assert listed
    assert not got.columns["ts_recv_ns"].any()


def test_blocks_with_other_dictionaries_of_symbols_are_one_stream() -> None:
    plan = FaultPlan(gap=0.05, reorder=0.1, late=0.05, late_ms=200, seed=3)
    whole, listed = planted_in(plan)
    turned = Ticks(
        STREAM.symbols[::-1],
        STREAM.columns | {"symbol": (4 - STREAM.columns["symbol"]).astype(np.int32)},
        STREAM.sequences,
    )
    injector = FaultInjector(plan)
    parts = [injector.apply(STREAM.take(slice(0, 3_000))), injector.apply(turned.take(slice(3_000, None)))]
    held = injector.finish()
    assert held is not None
    assert keys_of(concat_ticks([*parts, held])) == keys_of(whole)
    assert injector.planted == listed


def test_a_plan_is_read_from_text() -> None:
    assert FaultPlan.parse("") == FaultPlan()
    assert FaultPlan.parse(" gap:0.001, late:0.5 ,reorder_ms:50", seed=3) == FaultPlan(
        gap=0.001, late=0.5, reorder_ms=50, seed=3
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gaps:0.1", "'gaps:0.1' is no NAME:VALUE"),
        ("gap", "'gap' is no NAME:VALUE"),
        ("gap:x", "'x' is no number"),
        ("reorder_ms:1.5", "'1.5' is no number"),
        ("gap:1.5", "gap is 1.5"),
        ("gap:nan", "gap is nan"),
        ("gap:0.6,late:0.6", "sum to 1.2"),
        ("late_ms:0", "late_ms is 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        FaultPlan.parse(text)


def test_another_seed_chooses_other_ticks() -> None:
    plan = FaultPlan(gap=0.02, seed=1)
    assert planted_in(plan)[1] != planted_in(replace(plan, seed=2))[1]
