"""The invariants in every state of small worlds, whatever is lost, repeated, delayed or made up."""

from collections.abc import Callable
from functools import cache

import pytest

from orchestrator.ledger import Ignored, State, digest, restore, snapshot
from orchestrator.policies import Policy, WaitClass
from orchestrator.scheduling import decide
from schemas.allocations import AdmissionChanged, Ended, HealthChanged, OwnerClaimed, Released, Started, Tick
from tests.orchestrator.ledger import worlds
from tests.orchestrator.ledger.invariants import OVER

MOST_SAMPLED = 300


@cache
def explored(world: Callable[[], worlds.World]) -> worlds.Found:
    return worlds.search(world())


@pytest.mark.parametrize("world", worlds.WORLDS, ids=lambda world: world.__name__)
def test_no_reachable_state_breaks_an_invariant(world, capsys):
    scope, found = world(), explored(world)
    with capsys.disabled():
        print(
            f"\n{scope.name}: {found.states:,} states visited, {found.steps:,} records accepted, "
            f"{found.refused:,} ignored"
        )
    assert (found.broken, found.trail) == (None, [])
    assert found.states > 20


QUICK = Policy(classes=(WaitClass("all", 0, 20, 60),), lease_ns=10, headroom_bytes=0)


def sampled(world: Callable[[], worlds.World]) -> list[State]:
    states = explored(world).kept
    return states[:: max(1, len(states) // MOST_SAMPLED)]


def honest_end(state: State, *, agents_live: bool) -> State:
    """What becomes of a state when a new owner decides, and agents answer or are gone with their devices."""
    state = state.copy()
    epoch = state.epoch + 1
    who = {"domain": state.domain, "owner": "honest", "epoch": epoch}
    state.apply(OwnerClaimed(**who, at_ns=1))
    for uuid in state.devices:
        state.apply(AdmissionChanged(**who, at_ns=1, gpu_uuid=uuid, stopped=False))
    for now_ns in range(20, 400, 10):
        state.apply(Tick(**who, at_ns=now_ns))
        if not agents_live:
            for uuid in state.devices:
                state.apply(HealthChanged(**who, at_ns=now_ns, gpu_uuid=uuid, health="LOST"))
        for record in decide(state, now_ns, QUICK):
            assert not isinstance(state.apply(record), Ignored), record
        for name, lease in list(state.leases.items()) if agents_live else ():
            agent = lease.agent or "new"
            about = {**who, "at_ns": now_ns, "task_id": name, "attempt": lease.attempt, "agent": agent}
            state.apply(Started(**about))
            state.apply(Ended(**about, outcome="SUCCEEDED"))
            state.apply(Released(**about))
    return state


@pytest.mark.parametrize("agents_live", [True, False], ids=["agents live", "agents and devices are gone"])
@pytest.mark.parametrize("world", worlds.WORLDS[:-1], ids=lambda world: world.__name__)
def test_from_every_state_every_accepted_request_ends_within_its_bound(world, agents_live):
    for state in sampled(world):
        ended = honest_end(state, agents_live=agents_live)
        assert {task.state for task in ended.tasks.values()} <= OVER
        assert ended.leases == {}
        assert all(device.free_bytes == device.capacity_bytes for device in ended.devices.values())


@pytest.mark.parametrize("world", worlds.WORLDS[:-1], ids=lambda world: world.__name__)
def test_every_state_comes_back_from_its_snapshot_bit_by_bit(world):
    for state in sampled(world):
        parts = snapshot(state, owner="o1", epoch=1, at_ns=1, basis=7, part_bytes=300)
        back = restore(parts)
        assert (back, digest(back)) == (state, digest(state))
