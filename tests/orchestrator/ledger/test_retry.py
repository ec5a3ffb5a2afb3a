"""What comes after an attempt: smaller ones, then the CPU, each with a budget that only falls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ledger.retry import Retry, after
from orchestrator.ledger.state import Task


def task(memory_bytes: int, **fields: Any) -> Task:
    return Task(
        **{
            "task_id": "t",
            "task_type": "fits",
            "number": 1,
            "submitted_ns": 0,
            "memory_bytes": memory_bytes,
            "min_memory_bytes": 1,
            "cpu_bytes": 7,
            "shrinks": 8,
        }
        | fields
    )


def retried(asked: Task, found: Retry) -> Task:
    asked.lane, asked.memory_bytes, asked.shrinks = found.lane, found.memory_bytes, found.shrinks
    return asked


def smaller_until_it_ends(asked: Task) -> tuple[list[int], Retry | None]:
    """Bytes of each smaller attempt, and what comes when there is none any more."""
    seen: list[int] = []
    while (found := after(asked, "OUT_OF_MEMORY")) is not None and found.lane == "gpu":
        seen.append(found.memory_bytes)
        retried(asked, found)
    return seen, found


def test_memory_is_halved_down_to_the_least_and_then_it_is_the_cpu() -> None:
    seen, found = smaller_until_it_ends(task(100, min_memory_bytes=30))
    assert found is not None
    assert (seen, found.lane, found.memory_bytes, found.cpu_reason) == ([50, 30], "cpu", 7, "OOM_EXHAUSTED")


def test_smaller_retries_have_a_budget_of_their_own() -> None:
    asked = task(800, shrinks=2, losses=1)
    lost = after(asked, "LOST")  # an attempt that the agent's death has cost is no smaller retry
    assert lost is not None
    assert (lost.memory_bytes, lost.shrinks, lost.losses) == (800, 2, 0)
    seen, found = smaller_until_it_ends(retried(asked, lost))
    assert found is not None
    assert (seen, found.lane) == ([400, 200], "cpu")


@pytest.mark.parametrize(
    "code",
    [
        "BAD_REQUEST",
        "CRASHED",
        "TASK_ERROR",
        "RESULT_TOO_LARGE",
        "TIMED_OUT",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        None,
    ],
)
def test_nothing_but_out_of_memory_is_tried_again_when_no_losses_are_allowed(code: Any) -> None:
    assert after(task(100), code) is None


def test_what_cannot_be_cut_smaller_goes_to_the_cpu_at_once_and_only_if_it_may() -> None:
    found = after(task(100, min_memory_bytes=100), "OUT_OF_MEMORY")
    assert found is not None
    assert found.lane == "cpu"
    assert after(task(100, min_memory_bytes=100, cpu_ok=False), "OUT_OF_MEMORY") is None


def test_what_fails_on_the_cpu_and_cannot_be_cut_smaller_has_failed() -> None:
    assert after(task(100, lane="cpu", min_memory_bytes=100), "OUT_OF_MEMORY") is None


@given(
    start=st.integers(1, 2**40), floor=st.integers(1, 2**40), budget=st.integers(0, 60), cpu_ok=st.booleans()
)
@settings(max_examples=200, deadline=None)
def test_memory_falls_strictly_and_never_below_the_least_until_it_ends(
    start: int, floor: int, budget: int, cpu_ok: bool
) -> None:
    seen, found = smaller_until_it_ends(task(start, min_memory_bytes=floor, shrinks=budget, cpu_ok=cpu_ok))
    for before, smaller in zip([start, *seen], seen, strict=False):
        assert floor <= smaller < before
        assert smaller >= before // 2
    assert len(seen) <= budget
    assert (found is not None and found.lane == "cpu") is cpu_ok
