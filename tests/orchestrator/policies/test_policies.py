import importlib.metadata

import pytest

from examples.custom_policy import SmallestFirst
from orchestrator.policies import (
    Policy,
    Spread,
    WaitClass,
    named_policy,
    options_of,
    recorded_policy,
    registry,
)
from orchestrator.replay import replay_decisions, what_if
from schemas.allocations import PolicyChanged
from schemas.errors import SettingsError
from tests.orchestrator.scheduling.cases import CLASSES, Domain


def test_the_example_takes_small_tasks_first_and_spares_a_host():
    here = Domain(SmallestFirst(classes=CLASSES, resting_host="h1"))
    here.device("GPU-a", host="h1")
    here.device("GPU-b", host="h2")
    for name, memory in (("large", 7), ("small", 3), ("middle", 5)):
        here.task(name, memory)
    assert list(here.granted().items()) == [("small", ("GPU-b",)), ("middle", ("GPU-b",))]


def test_decisions_of_the_example_are_replayed_from_what_the_log_says_of_it(monkeypatch):
    monkeypatch.setattr(registry, "policies", lambda: {"smallest-first": SmallestFirst})
    policy = SmallestFirst(classes=CLASSES, resting_host="h1")
    here = Domain(policy)
    here.write(PolicyChanged(**here.head(), policy=policy.label, options=options_of(policy)))
    here.device("GPU-a", host="h1")
    here.device("GPU-b", host="h2")
    here.task("large", 7)
    here.task("small", 3)
    assert here.granted() == {"small": ("GPU-b",), "large": ("GPU-b",)}
    assert replay_decisions(here.log, "here").difference is None
    assert what_if(here.log, "here", Policy()).summary()["granted"] == 2


def test_a_policy_comes_back_from_its_name_and_options():
    policy = Spread(classes=(WaitClass("all", 0, 1, 2),), backfill=3, preemption=True)
    assert recorded_policy(policy.label, options_of(policy)) == policy
    assert named_policy("default") == Policy()
    assert named_policy("examples.custom_policy:SmallestFirst") == SmallestFirst()


def test_policies_of_installed_packages_are_found_by_their_entry_point(monkeypatch):
    entry = importlib.metadata.EntryPoint(
        "smallest-first", "examples.custom_policy:SmallestFirst", registry.ENTRY_POINTS
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == entry.group else [])
    registry.policies.cache_clear()
    try:
        assert named_policy("smallest-first", {"resting_host": "h7"}) == SmallestFirst(resting_host="h7")
    finally:
        registry.policies.cache_clear()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("fairest", {}, "no policy is called 'fairest' \\(one of default, spread"),
        ("default", {"speed": 3}, "unexpected keyword argument 'speed'"),
        ("nowhere:Policy", {}, "No module named 'nowhere'"),
        ("json:JSONDecoder", {}, "is no policy"),
    ],
)
def test_a_policy_that_cannot_be_had_is_explained(name, options, said):
    with pytest.raises(SettingsError, match=said):
        named_policy(name, options)


def test_bounds_of_waiting_go_by_priority():
    here = Domain()
    for priority in (9, 5, 4, 0):
        here.task(f"t{priority}", priority=priority)
    names = {name: here.policy.wait_class(task).name for name, task in here.state.tasks.items()}
    assert names == {"t9": "high", "t5": "high", "t4": "low", "t0": "low"}
