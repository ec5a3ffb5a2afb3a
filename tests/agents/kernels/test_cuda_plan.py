"""What the host decides for a GPU: where windows close, the order of ticks, the shape of a launch."""

from __future__ import annotations

import numpy as np
import pytest

from agents.kernels.cuda_plan import Columns, by_symbol, launch_shape, plan
from agents.kernels.scalar.layout import ALWAYS

pytestmark = pytest.mark.gpu_path

BASE = 100


def message(times: list[int], codes: list[int] | None = None, final_wm: int = ALWAYS) -> Columns:
    n = len(times)
    nothing = tuple(np.zeros(n, dtype) for dtype in ("i8", "i8", "i8", "f8", "f8", "f8", "i1", "u8"))
    return Columns(
        np.array(times, np.int64),
        np.zeros(n, np.int32),
        np.zeros(n, np.uint8),
        np.array(codes or [0] * n, np.uint8),
        nothing,
        final_wm=final_wm,
    )


def steps_of(*messages: Columns, before: int = ALWAYS) -> list[tuple[list[int], int | None, int]]:
    return [(step.live.tolist(), step.close_at, step.message) for step in plan(messages, before, BASE).steps]


def test_ticks_of_messages_run_on_in_one_step_until_a_window_closes() -> None:
    assert steps_of(message([10, 20]), message([30]), message([120, 90, 130]), message([]), before=0) == [
        ([0, 1, 2], 120, 2),
        ([3, 5], None, 3),
    ]


def test_the_first_tick_of_all_opens_the_window_that_it_stands_in() -> None:
    assert steps_of(message([150])) == [([], 150, 0), ([0], None, 0)]


def test_a_dead_tick_closes_nothing_and_is_not_stepped() -> None:
    assert steps_of(message([10, 500, 20], [0, 3, 0]), before=0) == [([0, 2], None, 0)]


def test_a_heartbeat_closes_windows_between_two_messages_as_the_one_that_it_came_with() -> None:
    found = plan([message([10], final_wm=250), message([40, 260])], 0, BASE)
    assert [(s.live.tolist(), s.close_at, s.message) for s in found.steps] == [
        ([0], 250, 0),
        ([2], None, 1),
    ]
    assert (found.late.tolist(), found.after, found.starts) == ([False, True, False], (250, 260), (0, 1, 3))


def test_ticks_are_sorted_by_symbol_and_stay_in_order_of_arrival() -> None:
    order, starts = by_symbol(np.array([0, 2, 3, 5]), np.array([7, 9, 1, 7, 9, 1], np.int32))
    assert (order.tolist(), starts.tolist()) == ([2, 5, 0, 3], [0, 2, 4])


@pytest.mark.parametrize(
    ("symbols", "multiprocessors", "shape"),
    [
        (3, 132, (1, 3)),
        (100, 132, (4, 32)),
        (132 * 32, 132, (132, 32)),
        (10_000, 132, (157, 64)),
        (100_000, 132, (782, 128)),
        (100, 1, (1, 100)),
    ],
)
def test_blocks_are_one_warp_until_every_multiprocessor_has_one(
    symbols: int, multiprocessors: int, shape: tuple[int, int]
) -> None:
    blocks, threads = launch_shape(symbols, multiprocessors)
    assert blocks * threads >= symbols
    assert (blocks, threads) == shape


def test_columns_of_unequal_length_and_strange_symbols_are_refused() -> None:
    good = message([1, 2])
    with pytest.raises(IndexError, match="symbol ids go from 0 to 0, the state has 0 symbols"):
        good.check(0)
    with pytest.raises(ValueError, match="columns differ in length: ts_event has 1"):
        Columns(good.ts_event[:1], good.symbol_id, good.kind, good.codes, good.prices_and_sizes).check(1)
