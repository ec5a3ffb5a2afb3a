"""Sequence numbers: duplicates, gaps, resets, around the 64 that are remembered, against a set."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.kernels.run import DUPLICATE, EVENT_DUPLICATE, EVENT_GAP, EVENT_RESET, PROCESSED
from tests.agents.kernels.compare import run_all
from tests.agents.kernels.tapes import BASE, CONFIG
from tests.oracles.ticks import judge, quote, trade

START = 1_000 * BASE
steps = st.sampled_from([1, 1, 1, 2, 3, 62, 63, 64, 65, 66, 0, -1, -2, -62, -63, -64, -65, -66])


def numbered(numbers, times=None, make=trade):
    times = times or [0] * len(numbers)
    return [
        make(START + at, 10**9, *([2 * 10**9] if make is quote else []), sequence=n)
        for at, n in zip(times, numbers, strict=True)
    ]


def verdict(numbers, times=None, dense=True):
    out, _ = run_all(CONFIG, numbered(numbers, times), dense=(False, dense))
    return out.classes, [(code, a, b) for code, _, a, b in out.events]


@settings(max_examples=300, deadline=None)
@given(st.integers(100, 400), st.lists(st.tuples(steps, st.integers(0, 1)), max_size=40), st.booleans())
def test_any_sequence_is_judged_as_by_a_set_of_the_last_64(first, moves, dense):
    numbers, times = [first], [0]
    for step, later in moves:
        numbers.append(max(1, max(numbers[-3:]) + step))
        times.append(times[-1] + later)
    ticks = numbered(numbers, times)
    out, _ = run_all(CONFIG, ticks, dense=(False, dense))
    expected = judge(ticks, BASE, dense_trades=dense)
    assert out.classes == expected.classes
    assert out.events == expected.events


@pytest.mark.parametrize(("behind", "kept"), [(1, True), (63, True), (64, True), (65, False)])
def test_a_number_out_of_order_is_taken_once_if_it_is_one_of_the_64_below(behind, kept):
    classes, events = verdict([1_000, 1_000 - behind, 1_000 - behind])
    assert classes == [PROCESSED, PROCESSED if kept else DUPLICATE, DUPLICATE]
    assert events[-1] == (EVENT_DUPLICATE, 1_000 - behind, START)


@pytest.mark.parametrize("jump", [2, 63, 64, 65, 1_000])
def test_what_was_seen_before_a_jump_is_still_known_if_it_is_one_of_the_64_below(jump):
    classes, events = verdict([1_000, 1_000 + jump, 1_000])
    assert classes == [PROCESSED, PROCESSED, DUPLICATE]
    assert events[0] == (EVENT_GAP, 1_001, 1_000 + jump)


def test_numbers_that_start_over_at_a_later_time_are_a_reset():
    classes, events = verdict([1_000, 5, 6, 1_000], [0, 1, 2, 2])
    assert classes == [PROCESSED] * 4
    assert events == [(EVENT_RESET, 1_000, 5), (EVENT_GAP, 7, 1_000)]


def test_only_dense_numbers_have_gaps():
    assert verdict([1, 9], dense=False) == ([PROCESSED] * 2, [])


def test_quotes_and_trades_are_numbered_apart_and_0_is_no_number():
    ticks = numbered([7, 7, 0, 0]) + numbered([7, 0, 0], make=quote)
    assert run_all(CONFIG, ticks)[0].classes == [PROCESSED, DUPLICATE, *[PROCESSED] * 5]


def test_numbers_beyond_the_largest_int64_are_in_order():
    top = 2**63
    classes, events = verdict([top - 1, top, top + 1, top - 1, 2**64 - 1])
    assert classes == [PROCESSED, PROCESSED, PROCESSED, DUPLICATE, PROCESSED]
    assert events[-1] == (EVENT_GAP, top + 2 - 2**64, -1)  # as the bits of int64
