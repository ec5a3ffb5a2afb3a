"""What a process that takes over knows: notes, spans, and which ticks are written already."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.headers import H_SOURCE, Origin, dead_letter_headers
from streams.clients import partition_of
from streams.ingest.resume import MAX_NOTE, AlreadyWritten, Note, parse_spans, tail_start
from streams.writer.batches import SourceRows, source_spans

OFFSETS = st.integers(0, 2**62)


@given(st.lists(OFFSETS, min_size=1, max_size=64), OFFSETS)
def test_a_note_reads_back_as_it_was_written(ticks: list[int], dead: int) -> None:
    note = Note(tuple(ticks), dead)
    assert Note.parse(str(note), len(ticks)) == note


@pytest.mark.parametrize("text", [None, "", "by hand", "2;3;1,2", "1;x;1,2", "1;3;1,2,3", "1;3;", "1;3"])
def test_a_note_of_another_make_is_no_note(text: str | None) -> None:
    assert Note.parse(text, 2) is None


def test_a_note_that_would_not_fit_into_a_commit_is_left_out() -> None:
    assert len(str(Note((10**12,) * 200, 1))) <= MAX_NOTE
    assert str(Note((10**12,) * 2_000, 1)) == ""


def test_the_tails_begin_at_the_earliest_note() -> None:
    assert tail_start({0: Note((5, 9), 3), 2: Note((7, 8), 1)}) == ([5, 8], {0: 3, 2: 1})


def test_a_frame_tells_its_last_tick_of_each_json_partition() -> None:
    spans = source_spans(
        [
            SourceRows(1, np.array([4, 5]), np.array([0, 2], np.int32)),
            SourceRows(2, np.array([9]), np.array([1], np.int32)),
            SourceRows(1, np.array([6]), np.array([0], np.int32)),
        ]
    )
    assert list(parse_spans(spans.encode())) == [(1, (5, 2)), (2, (9, 1)), (1, (6, 0))]
    assert list(parse_spans(b"1@4#0-x,nonsense,3@1#0-2#7")) == [(3, (2, 7))]
    assert list(parse_spans(None)) == []


def test_exactly_the_ticks_behind_the_last_written_one_are_missing() -> None:
    symbols = ("AAPL", "MSFT")
    targets = [partition_of(symbol, 4) for symbol in symbols]
    assert targets[0] != targets[1]
    written = AlreadyWritten(1)
    written.note_frame(targets[0], [(H_SOURCE, b"1@3#0-7#1,2@0#0-99#0")])
    written.note_frame(targets[0], [(H_SOURCE, b"1@2#0-2#5")])
    written.note_frame(targets[1], [])
    codes = np.array([0, 0, 0, 0, 1, 1], np.int32)
    offsets = np.array([6, 7, 7, 8, 1, 7])
    elements = np.array([9, 1, 2, 0, 0, 1], np.int32)
    assert written.end == 8
    assert written.missing(symbols, codes, offsets, elements, 4).tolist() == [
        False, False, True, True, True, True,
    ]  # fmt: skip


def test_a_dead_letter_counts_for_its_own_partition_of_the_json_topic_only() -> None:
    written = AlreadyWritten(1)
    for origin in (
        Origin("market.ticks.json", 1, 5, 2),
        Origin("market.ticks.json", 2, 9),
        Origin("market.ticks", 1, 9),
    ):
        written.note_dead_letter(dead_letter_headers(origin, "", ""))
    assert (written.dead, written.end) == ({(5, 2)}, 6)


def test_nothing_written_leaves_nothing_to_skip() -> None:
    assert AlreadyWritten(0).end == 0
