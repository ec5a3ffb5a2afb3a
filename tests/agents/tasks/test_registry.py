"""Agents are found by name or entry point, and one that is not whole is refused with what it lacks."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import pytest

from agents.tasks.agent import GPUAgent, NoData, Task, TaskCancelled, read_data
from agents.tasks.exercise import Echo, Sleep
from agents.tasks.registry import ENTRY_POINTS, AgentEntry, load_agent, load_agents
from schemas.errors import SettingsError, TaskError
from schemas.settings import Settings

BUILTIN = [
    "batch_prediction",
    "hft_analysis",
    "neural_analysis",
    "pattern_recognition",
    "portfolio_optimization",
    "technical_indicators",
    "train_model",
]


def test_the_built_in_agents_are_there_and_the_exercise_only_when_named():
    assert sorted(load_agents(installed=())) == BUILTIN
    named = load_agents(["agents.tasks.exercise"], installed=())
    assert sorted(named) == sorted([*BUILTIN, "allocate", "crash", "echo", "sleep"])
    assert named["echo"] == AgentEntry("echo", "agents.tasks.exercise:Echo", Echo)


def test_one_class_can_be_named_and_naming_it_twice_does_no_harm():
    table = load_agents(["agents.tasks.exercise:Sleep", "agents.tasks.exercise"], installed=())
    assert table["sleep"].agent is Sleep is load_agent("agents.tasks.exercise:Sleep")


def test_installed_packages_add_agents_by_entry_point():
    entry = EntryPoint("echo", "agents.tasks.exercise:Echo", ENTRY_POINTS)
    assert sorted(load_agents(installed=[entry])) == sorted(["echo", *BUILTIN])


@pytest.fixture
def module(monkeypatch):
    """An importable module that a test fills with agents."""
    made = ModuleType("users_agents")
    monkeypatch.setitem(sys.modules, "users_agents", made)

    def add(**classes: object) -> None:
        for name, value in classes.items():
            if isinstance(value, type) and issubclass(value, GPUAgent):
                value.__module__, value.__qualname__ = "users_agents", name
            setattr(made, name, value)

    return add


async def _process(self, task):
    return None


def agent(**members: object) -> type:
    return type("A", (GPUAgent,), {"task_type": "a", "process_task": _process} | members)


PROBLEMS = {
    "no agent": (SimpleNamespace, "is SimpleNamespace, no GPUAgent"),
    "an object": (7, "is int, no GPUAgent"),
    "no type": (type("A", (GPUAgent,), {"process_task": _process}), "task_type must be"),
    "a bad type": (agent(task_type="my task"), "task_type must be"),
    "no model": (agent(Data=dict), "Data must be a pydantic model"),
    "not async": (agent(process_task=lambda self, task: None), "must be an `async def`"),
    "nothing to do": (type("A", (GPUAgent,), {"task_type": "a"}), "it has no process_task"),
    "no memory": (agent(memory_bytes=0), "min_memory_bytes must be"),
    "too much at least": (agent(memory_bytes=5, min_memory_bytes=6), "min_memory_bytes must be"),
}


@pytest.mark.parametrize("case", sorted(PROBLEMS))
def test_an_agent_that_is_not_whole_is_refused_with_what_it_lacks(module, case):
    value, problem = PROBLEMS[case]
    module(A=value)
    with pytest.raises(SettingsError, match=problem):
        load_agents(["users_agents:A"], installed=())


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("no_such_module:A", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("agents.tasks.exercise:Nap", "AttributeError"),
        ("", "ValueError"),
        ("agents.tasks.failures", "the module defines none"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(address, problem):
    with pytest.raises(SettingsError, match=problem):
        load_agents([address], installed=())


def test_two_agents_of_one_type_are_refused_with_both_names(module):
    module(Other=agent(task_type="echo"))
    with pytest.raises(
        SettingsError, match=r"two agents do 'echo': agents\.tasks\.exercise:Echo and users_agents:Other"
    ):
        load_agents(["agents.tasks.exercise:Echo", "users_agents:Other"], installed=())


def test_the_first_of_several_bad_fields_is_named_and_the_others_counted():
    with pytest.raises(TaskError) as error:
        read_data(Sleep, {"manners": "rude", "hours": 3})
    assert (error.value.problem, error.value.field) == (
        "data.seconds: Field required (and 2 more)",
        "data.seconds",
    )


def test_an_agent_without_a_model_takes_no_data():
    assert read_data(agent(), {}) == NoData()
    with pytest.raises(TaskError, match=r"data\.x: Extra inputs"):
        read_data(agent(), {"x": 1})


def test_a_task_knows_its_devices_as_torch_names_them():
    def on(*devices: str) -> Task:
        return Task("t", "a", 1, NoData(), devices, 1, Settings())

    assert on("GPU-1", "MIG-2").torch_devices == ["cuda:0", "cuda:1"]
    assert on("CPU-here").torch_devices == ["cpu"]
    assert (on("CPU-here").on_cpu, on("GPU-1").on_cpu) == (True, False)


def test_a_task_that_is_to_end_raises_where_it_looks():
    told: list[tuple[float, str]] = []
    task = Task("t", "a", 1, NoData(), ("CPU-here",), 1, Settings(), report=lambda *said: told.append(said))
    task.progress(1.7, "most of it")
    task.stop.set()
    assert (task.cancelled, told) == (True, [(1.0, "most of it")])
    for look in (task.check, lambda: task.progress(0.5)):
        with pytest.raises(TaskCancelled):
            look()
