"""Order of time: sorting a file, merging many, and keeping a recorded log as it is."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.ticks import Sequences, Ticks
from streams.replay.order import Keyed, event_runs, file_runs, in_event_order, join, measure_disorder, merge
from tests.streams.replay.making import MS, marks, ticks_at


def blocks_of(ticks: Ticks, size: int) -> Iterator[Ticks]:
    for start in range(0, len(ticks), size):
        yield ticks.take(slice(start, start + size))


def runs(ticks: Ticks, size: int, memory_rows: int) -> list[Keyed]:
    def read() -> Iterator[Ticks]:
        return blocks_of(ticks, size)

    return list(event_runs(read, read, memory_rows))


def test_trades_come_before_quotes_of_the_same_instant_and_rows_keep_their_order() -> None:
    ticks = ticks_at([2, 1, 1, 1, 0], "qqttq")
    assert marks(in_event_order(ticks)) == [5, 3, 4, 2, 1]


def test_ticks_in_order_are_not_copied() -> None:
    ticks = ticks_at([0, 1, 1], "qtq")
    assert in_event_order(ticks) is ticks


times = st.lists(st.integers(0, 30), min_size=1, max_size=40)
kinds = st.text("qt", min_size=40, max_size=40)


@given(times, kinds, st.integers(1, 7), st.sampled_from([0, 3, 1_000]))
@settings(max_examples=60)
def test_a_file_is_sorted_the_same_in_memory_and_streamed(
    at: list[int], kind: str, size: int, memory_rows: int
) -> None:
    ticks = ticks_at(at, kind[: len(at)])
    found = join([run.ticks for run in runs(ticks, size, memory_rows)])
    expected = sorted(range(len(at)), key=lambda i: (at[i], kind[i] == "q", i))
    assert marks(found) == [i + 1 for i in expected]


def test_a_large_file_is_streamed_with_no_more_look_ahead_than_its_disorder() -> None:
    at = [*range(100)]
    at[50], at[52] = at[52], at[50]
    ticks = ticks_at(at)
    assert measure_disorder(blocks_of(ticks, 7)) == (2 * MS, 100)
    found = runs(ticks, 10, memory_rows=20)
    assert len(found) > 5
    assert max(map(len, found)) <= 30
    assert marks(join([run.ticks for run in found])) == [*range(1, 51), 53, 52, 51, *range(54, 101)]


def test_a_large_file_that_runs_far_backwards_is_loaded_and_said_so() -> None:
    ticks = ticks_at([*range(20_000, 20_050), *range(50)])
    told: list[tuple[int, int]] = []

    def read() -> Iterator[Ticks]:
        return blocks_of(ticks, 10)

    found = list(event_runs(read, read, 20, lambda rows, ns: told.append((rows, ns))))
    assert (told, len(found)) == ([(100, 20_049 * MS)], 1)
    assert marks(found[0].ticks) == [*range(51, 101), *range(1, 51)]


@given(st.lists(times, min_size=1, max_size=4), st.integers(1, 9), kinds)
@settings(max_examples=60)
def test_many_files_merge_by_time_then_kind_then_file_then_row(
    files: list[list[int]], size: int, kind: str
) -> None:
    sources, expected = [], []
    for number, at in enumerate(files):
        ticks = ticks_at(at, kind[: len(at)], first=100 * number)
        expected += [(at[i], kind[i] == "q", number, i, 100 * number + i) for i in range(len(at))]
        sources.append(iter(runs(ticks, size, memory_rows=0)))
    merged = [mark for block in merge(sources, "event") for mark in marks(block)]
    assert merged == [row[-1] for row in sorted(expected)]


def test_merging_holds_about_a_block_of_each_file() -> None:
    held: list[int] = []

    def watched(number: int) -> Iterator[Keyed]:
        for start in range(0, 10_000, 100):
            held.append(number)
            ticks = ticks_at(range(start, start + 100))
            yield Keyed(ticks, ticks.columns["ts_event_ns"])

    merging = merge([watched(0), watched(1)], "event")
    for _ in range(20):
        next(merging)
    assert abs(held.count(0) - held.count(1)) <= 1
    assert len(held) <= 2 * 24


def test_a_recorded_log_keeps_its_order_and_its_late_ticks_do_not_hold_others_up() -> None:
    late = ticks_at([0, 5, 2, 6], "qqqq", first=1)
    other = ticks_at([1, 3, 5, 7], "tttt", first=11)
    sources = [file_runs(blocks_of(late, 2)), file_runs(blocks_of(other, 3))]
    merged = [mark for block in merge(sources, "file") for mark in marks(block)]
    assert merged == [1, 11, 12, 2, 3, 13, 4, 14]


def test_what_joins_promises_only_what_all_parts_keep() -> None:
    dense = ticks_at([1], "t", sequences=Sequences(dense_trades=True))
    loose = ticks_at([2], "t")
    unnumbered = ticks_at([2], "t", first=0)
    assert join([dense, loose]).sequences == Sequences()
    assert join([dense, unnumbered]).sequences == Sequences(dense_trades=True)
