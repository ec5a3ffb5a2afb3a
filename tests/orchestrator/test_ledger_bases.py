"""Where reading the allocation log begins, and that the state is the same wherever that is."""

from __future__ import annotations

import pytest

from orchestrator.ledger import fold, snapshot
from orchestrator.ledger_bases import Raw, Window
from schemas.allocations import Head, Snapshot, changed, encode
from tests.orchestrator.scheduling.cases import Domain


def busy() -> list[Head]:
    """The log of a domain whose tasks wait, run, end, fail and are refused."""
    here = Domain()
    here.device("GPU-a", 12)
    here.device("CPU-h1", 50)
    for number in range(9):
        here.task(f"t{number}", 4, idempotency_key=f"k{number}", cpu_ok=number % 2 == 0)
        here.at(10 * number + 5)
        here.decide()
        for name, state in here.states().items():
            if state == "GRANTED":
                here.start(name)
        running = [name for name, state in here.states().items() if state == "RUNNING"]
        if number % 3 == 2 and running:
            here.end(
                running[0], "FAILED" if number == 5 else "SUCCEEDED", "TASK_ERROR" if number == 5 else None
            )
    return [record for _, record in here.log]


LOG = busy()


def taken_at(offset: int, owner: str = "o1") -> list[Snapshot]:
    """The snapshot of everything up to that record, in several parts."""
    state = fold("here", LOG[: offset + 1])
    return snapshot(state, owner=owner, epoch=1, at_ns=9, basis=offset, part_bytes=300)


def window(*records: Head) -> Window:
    """A log of the busy domain's records and then these."""
    found = Window()
    for offset, record in enumerate([*LOG, *records]):
        found.note(Raw(offset, record.domain, encode(record)))
    return found


@pytest.mark.parametrize("cut", range(len(LOG)))
def test_a_snapshot_and_what_follows_give_the_state_of_the_whole_log(cut: int) -> None:
    base = window(*taken_at(cut)).base("here")
    assert base is not None
    assert base.basis == cut
    for record in LOG[cut + 1 :]:
        base.state.apply(record)
    assert base.state == fold("here", LOG)


def break_digest(parts: list[Snapshot]) -> list[Snapshot]:
    return [changed(part, rows=part.rows.replace('"t1"', '"t8"')) for part in parts]


def break_json(parts: list[Snapshot]) -> list[Snapshot]:
    return [*parts[:-1], changed(parts[-1], rows=parts[-1].rows[:-9])]


def break_fields(parts: list[Snapshot]) -> list[Snapshot]:
    return [changed(part, rows='[["task",[1]],["device",[]],["key",[]],["lease",3]]') for part in parts]


def break_rows(parts: list[Snapshot]) -> list[Snapshot]:
    return [changed(part, rows='{"a":1}') for part in parts]


def break_whole(parts: list[Snapshot]) -> list[Snapshot]:
    return parts[:-1]


BREAKS = [break_digest, break_json, break_fields, break_rows, break_whole]


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_broken_snapshot_is_passed_over_for_the_one_before_it(break_it) -> None:  # type: ignore[no-untyped-def]
    base = window(*taken_at(9), *break_it(taken_at(20))).base("here")
    assert base is not None
    assert (base.basis, base.state) == (9, fold("here", LOG[:10]))


@pytest.mark.parametrize("break_it", BREAKS)
def test_without_any_other_the_log_is_read_from_its_start(break_it) -> None:  # type: ignore[no-untyped-def]
    assert window(*break_it(taken_at(20))).base("here") is None


def test_what_only_calls_itself_a_snapshot_is_passed_over() -> None:
    found = window(*taken_at(9))
    found.note(Raw(99, "here", b'{"kind":"snapshot","domain":"here"}'))
    found.note(Raw(100, "here", b'{"kind":"snapshot'))
    assert found.base("here") == (fold("here", LOG[:10]), 9)


def test_the_newest_is_taken_that_has_enough_decisions_after_it() -> None:
    found = window(*taken_at(5), *taken_at(9), *taken_at(20))
    after = {basis: sum(offset > basis for offset in found.decisions) for basis in (5, 9, 20)}
    assert after[5] > after[9] > after[20] > 0
    wanted = {0: 20, after[20]: 20, after[20] + 1: 9, after[9] + 1: 5, after[5] + 1: 5}
    chosen = {decisions: found.base("here", decisions) for decisions in wanted}
    assert {decisions: base and base.basis for decisions, base in chosen.items()} == wanted


def test_each_domain_has_its_own() -> None:
    there = Domain()
    found = window(*taken_at(9), *(changed(record, domain="there") for _, record in there.log))
    assert found.domains == {"here", "there"}
    assert found.base("there") is None
