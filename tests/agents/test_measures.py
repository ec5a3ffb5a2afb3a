"""Measures that last: begun, renewed, ended, and over by themselves when nobody renews them."""

from __future__ import annotations

from typing import Any

from agents.measures import Measures
from schemas.commands import LAPSES_MS, CleanupCommand

LAPSE_NS = LAPSES_MS * 1_000_000


def command(phase: Any, *, gpu_uuid: str = "GPU-1", **fields: Any) -> CleanupCommand:
    known = {"command_id": "c", "action": "cut_batches", "policy": "moderate", "at_ns": 0}
    return CleanupCommand.model_validate(known | {"phase": phase, "gpu_uuid": gpu_uuid} | fields)


def test_a_measure_begins_once_and_ends_once() -> None:
    measures = Measures()
    assert [measures.take(command(phase), 0) for phase in ("end", "begin", "begin", "renew")] == [
        False,
        True,
        False,
        False,
    ]
    assert (measures.on("GPU-1"), measures.on("GPU-2")) == (frozenset({"cut_batches"}), frozenset())
    assert [measures.take(command("end"), 0) for _ in range(2)] == [True, False]
    assert measures.on("GPU-1") == frozenset()


def test_who_started_since_joins_in_with_a_renewal() -> None:
    assert Measures().take(command("renew"), 0)


def test_what_is_done_once_lasts_no_time() -> None:
    measures = Measures()
    assert not measures.take(command("once"), 0)
    assert measures.on("GPU-1") == frozenset()


def test_a_measure_that_nobody_renews_lapses_and_a_renewed_one_does_not() -> None:
    measures = Measures()
    measures.take(command("begin"), 0)
    measures.take(command("begin", gpu_uuid="GPU-2"), 0)
    measures.take(command("renew"), LAPSE_NS - 1)
    assert measures.lapse(LAPSE_NS) == [("GPU-2", "cut_batches")]
    assert measures.lapse(2 * LAPSE_NS - 2) == []
    assert measures.lapse(2 * LAPSE_NS - 1) == [("GPU-1", "cut_batches")]


def test_a_command_may_say_how_long_it_holds() -> None:
    measures = Measures()
    measures.take(command("begin", lapses_ms=1), 0)
    assert measures.lapse(1_000_000) == [("GPU-1", "cut_batches")]
