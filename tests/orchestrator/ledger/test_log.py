"""Records as they travel, tables, snapshots and what is forgotten."""

import typing

import pytest

from orchestrator.ledger import (
    DEVICE_MOVES,
    RULES,
    TASK_MOVES,
    Ignored,
    digest,
    health_path,
    restore,
    snapshot,
    whole,
)
from orchestrator.ledger.snapshots import rows
from orchestrator.ledger.state import Device
from schemas.allocations import (
    RECORDS,
    Input,
    TaskAccepted,
    Tick,
    changed,
    decode,
    encode,
    kind,
)
from schemas.errors import LedgerError
from schemas.tasks import TaskState
from tests.orchestrator.scheduling.cases import Domain


def test_every_type_of_record_has_its_rule_and_its_own_kind():
    assert set(RULES) == set(RECORDS)
    assert len({record.__struct_config__.tag for record in RECORDS}) == len(RECORDS)


def test_the_tables_know_every_state():
    states = set(typing.get_args(TaskState))
    assert {state for state, _ in TASK_MOVES} | {to for ends in TASK_MOVES.values() for to in ends} == (
        states | {"NEW"}
    )
    assert {kind for _, kind in TASK_MOVES} <= {record.__struct_config__.tag for record in RECORDS}
    assert {to for ends in DEVICE_MOVES.values() for to in ends} == set(DEVICE_MOVES)


@pytest.mark.parametrize(
    ("start", "end", "path"),
    [
        ("HEALTHY", "HEALTHY", []),
        ("HEALTHY", "QUARANTINED", ["SUSPECT", "QUARANTINED"]),
        ("LOST", "HEALTHY", ["UNKNOWN", "HEALTHY"]),
        ("QUARANTINED", "HEALTHY", ["PROBATION", "HEALTHY"]),
    ],
)
def test_a_report_that_skips_states_becomes_the_moves_between(start, end, path):
    assert health_path(start, end) == path


def test_a_record_travels_as_readable_json():
    record = Tick(domain="here", owner="o1", epoch=2, at_ns=5, inputs=(Input("gpu.tasks", 3, 8),))
    assert encode(record) == (
        b'{"kind":"tick","domain":"here","owner":"o1","epoch":2,"at_ns":5,"inputs":[["gpu.tasks",3,8]]}'
    )
    assert decode(encode(record)) == record


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "no allocation record"),
        (b"[1]", "Expected `object`"),
        (b"\xff", "no allocation record"),
        (b'{"kind": "granting"}', "Invalid value 'granting' - at `$.kind`"),
        (b'{"kind": "tick", "domain": "d", "owner": "o", "epoch": "1"}', "at `$.epoch`"),
        (b'{"kind": "tick", "domain": "d", "owner": "o", "epoch": 1}', "missing required field `at_ns`"),
        (
            b'{"kind":"started","domain":"d","owner":"o","epoch":1,"at_ns":1,"task_id":"t","attempt":0,"agent":"x"}',
            "`int` >= 1 - at `$.attempt`",
        ),
        (
            b'{"kind":"started","domain":"d","owner":"o","epoch":1,"at_ns":1,"task_id":"t","attempt":1,"agent":""}',
            "length >= 1 - at `$.agent`",
        ),
    ],
)
def test_what_is_no_record_is_refused_by_the_name_of_its_field(payload, said):
    with pytest.raises(LedgerError) as refusal:
        decode(payload)
    assert said in str(refusal.value)


def a_domain() -> Domain:
    here = Domain()
    here.device("GPU-a")
    here.task("t0", idempotency_key="k", inputs=(Input("gpu.tasks", 0, 4),))
    here.task("t1", 3)
    here.granted()
    here.start("t0")
    return here


def test_a_snapshot_in_parts_travels_and_comes_back():
    here = a_domain()
    parts = snapshot(here.state, owner="o1", epoch=1, at_ns=9, basis=7, part_bytes=200)
    assert len(parts) > 3
    back = restore([decode(encode(part)) for part in reversed(parts)])
    assert (back, digest(back)) == (here.state, digest(here.state))


def test_a_snapshot_that_lacks_a_part_or_was_altered_is_refused():
    parts = snapshot(a_domain().state, owner="o1", epoch=1, at_ns=9, basis=7, part_bytes=200)
    with pytest.raises(LedgerError, match="not all there"):
        restore(parts[1:])
    with pytest.raises(LedgerError, match="not all there"):
        restore([])
    altered = [changed(part, rows=part.rows.replace('"t1"', '"t9"')) for part in parts]
    with pytest.raises(LedgerError, match="offset 7 is not the state that it names"):
        restore(altered)


def test_whole_snapshots_are_found_the_newest_first():
    state = a_domain().state
    old, young, torn = (
        snapshot(state, owner="o1", epoch=1, at_ns=basis, basis=basis, part_bytes=200) for basis in (5, 6, 7)
    )
    assert whole([*old, *young, *torn[:-1]]) == [young, old]
    assert whole(torn[:-1]) == []


def test_an_ignored_record_names_its_reason_and_changes_nothing():
    here = a_domain()
    before = digest(here.state)
    again = next(record for _, record in here.log if isinstance(record, TaskAccepted))
    assert here.state.apply(again) == Ignored("task_may_move")
    assert here.state.apply(changed(again, task_id="t7")) == Ignored("key_is_new")
    assert here.state.apply(changed(again, task_id="t7", idempotency_key="")) == Ignored("input_is_new")
    assert digest(here.state) == before


def test_what_ended_long_ago_is_forgotten_and_its_request_still_counts_once():
    here = a_domain()
    here.state.keep_ended_ns = 100
    here.end("t0")
    here.at(50)
    assert set(here.states()) == {"t0", "t1"}
    here.at(101)
    assert (set(here.states()), here.state.keys) == ({"t1"}, {})
    again = next(record for _, record in here.log if isinstance(record, TaskAccepted))
    assert here.state.apply(again) == Ignored("input_is_new")


def test_kind_is_what_json_says():
    assert kind(Tick(domain="d", owner="o", epoch=1, at_ns=1)) == "tick"


def test_a_state_in_which_no_guard_ever_spoke_has_the_digest_that_it_had_before_there_were_guards():
    here = Domain()
    here.device("GPU-a")
    untouched = digest(here.state)
    here.low_memory("GPU-a", stopped=True)
    low = digest(here.state)
    assert restore(snapshot(here.state, owner="o1", epoch=1, at_ns=1, basis=9)).devices["GPU-a"].stopped
    here.low_memory("GPU-a", stopped=False)
    assert (digest(here.state) == untouched, low == untouched) == (True, False)
    (device,) = [row for kind, row in rows(here.state) if kind == "device"]
    assert len(device) == len(Device.__dataclass_fields__) - 2
