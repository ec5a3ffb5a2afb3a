"""The read model from a snapshot and what follows it shows what it does from the whole log."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.api import views
from orchestrator.api.model import ReadModel, Seen
from orchestrator.api.model.read_model import LETTERS
from orchestrator.ledger import State, fold
from orchestrator.ledger_bases import Base
from schemas import codec
from schemas.allocations import OwnerClaimed, encode
from schemas.tasks import Attempt, TaskRequest, TaskResult
from streams import topics
from streams.tail import Entry
from tests.orchestrator.test_ledger_bases import LOG

TASKS = [TaskRequest(task_id=f"t{number}", task_type="any", priority=number % 3) for number in range(9)]
ATTEMPT = Attempt(attempt=1, gpu_uuids=["GPU-a"], memory_bytes=4, started_ns=1, ended_ns=2)
RESULTS = [TaskResult(task_id="t0", task_type="any", state="SUCCEEDED", ran_on=["GPU-a"], attempts=[ATTEMPT])]


def other_topics() -> list[Entry]:
    asked = [Entry(topics.GPU_TASKS, 0, i, 0, b"k", codec.dumps(task)) for i, task in enumerate(TASKS)]
    told = [Entry(topics.GPU_RESULTS, 0, i, 7, b"k", codec.dumps(result)) for i, result in enumerate(RESULTS)]
    return asked + told


def allocations(start: int) -> list[Entry]:
    return [Entry(topics.ALLOCATIONS, 0, i, 5, b"here", encode(LOG[i])) for i in range(start, len(LOG))]


def view(model: ReadModel) -> list[Any]:
    """All that rests on the log but decisions before the cut, and when a task was last seen to move."""
    model.caught_up = True
    page = views.task_page(model, limit=500, cursor=None, state=None, task_type=None)
    return [
        views.stats(model, 99),
        [task.model_dump(exclude={"updated_ms"}) for task in page.tasks],
        views.allocations(model, limit=500, cursor=None).leases,
        {uuid: model.decisions.device(uuid) for uuid in ("GPU-a", "CPU-h1")},
        model.decisions.domains,
    ]


@pytest.mark.parametrize("cut", range(len(LOG)))
@pytest.mark.parametrize("log_first", [True, False])
def test_the_view_is_the_same_either_way(cut: int, log_first: bool) -> None:
    whole, begun = ReadModel(), ReadModel()
    begun.begin({"here": Base(fold("here", LOG[: cut + 1]), cut)})
    for model, start in ((whole, 0), (begun, cut + 1)):
        parts = [allocations(start), other_topics()]
        for part in parts if log_first else reversed(parts):
            model.fold(part)
    assert view(begun) == view(whole)
    after = [seen for seen in whole.decisions.latest if seen.offset > cut]
    assert list(begun.decisions.latest) == after
    assert begun.positions == whole.positions


def test_a_client_that_saw_less_than_the_snapshot_is_told_to_read_anew() -> None:
    model = ReadModel()
    model.begin({"here": Base(fold("here", LOG[:10]), 9)})
    model.fold(allocations(10))
    assert not model.events.knows_all_after(Seen(LETTERS, {(topics.ALLOCATIONS, 0): 9}))
    assert model.events.knows_all_after(Seen(LETTERS, {(topics.ALLOCATIONS, 0): 10}))


def test_of_two_domains_each_is_folded_from_its_own_snapshot() -> None:
    model = ReadModel()
    model.begin({"here": Base(fold("here", LOG), 30), "there": Base(State("there"), 10)})
    assert model.positions[topics.ALLOCATIONS, 0] == 11
    claims = [
        OwnerClaimed(domain=domain, owner="o2", epoch=epoch, at_ns=1)
        for domain, epoch in (("here", 2), ("there", 1))
    ]
    model.fold(
        [Entry(topics.ALLOCATIONS, 0, 11 + i, 1, b"", encode(claim)) for i, claim in enumerate(claims)]
    )
    owners = {domain: state.owner for domain, state in model.decisions.domains.items()}
    assert owners == {"here": "o1", "there": "o2"}
    assert [seen.offset for seen in model.decisions.latest] == [12]


def test_without_a_snapshot_nothing_changes_and_it_is_begun_once() -> None:
    model = ReadModel()
    model.begin({})
    assert not model.has_begun
    model.fold(allocations(0)[:1])
    with pytest.raises(ValueError, match="begun before"):
        model.begin({"here": Base(State("here"), 5)})
