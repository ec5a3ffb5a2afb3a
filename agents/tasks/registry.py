"""The agents there are: ours, those that installed packages add, and those that the user names."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from agents.tasks.agent import GPUAgent
from schemas.errors import SettingsError

ENTRY_POINTS = "tapestream.agents"

BUILTIN = (
    "agents.tasks.hft_analysis:HftAnalysis",
    "agents.tasks.analytics.batch_prediction:BatchPrediction",
    "agents.tasks.analytics.neural_analysis:NeuralAnalysis",
    "agents.tasks.analytics.pattern_recognition:PatternRecognition",
    "agents.tasks.analytics.portfolio_optimization:PortfolioOptimization",
    "agents.tasks.analytics.technical_indicators:TechnicalIndicators",
    "agents.tasks.analytics.train_model:TrainModel",
)

_NAME = re.compile(r"[A-Za-z0-9._:@-]{1,128}")


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """A type of task and the class that does it; a child finds the class by ``address``."""

    task_type: str
    address: str
    agent: type[GPUAgent]


AgentTable = Mapping[str, AgentEntry]
"""Task type to entry."""


def load_agents(addresses: Iterable[str] = (), installed: Iterable[EntryPoint] | None = None) -> AgentTable:
    """All agents: built in, installed under the entry point ``tapestream.agents``, and named.

    Parameters
    ----------
    addresses
        ``module:Class`` each, or ``module`` for every agent defined in it.
    installed
        Entry points; those of the environment when absent.

    Raises
    ------
    SettingsError
        When one cannot be imported, is no agent or an incomplete one, or two do the same type.
    """
    found = entry_points(group=ENTRY_POINTS) if installed is None else installed
    table: dict[str, AgentEntry] = {}
    for address in (*BUILTIN, *(entry.value for entry in found), *addresses):
        for entry in _entries(address):
            other = table.setdefault(entry.task_type, entry)
            if other.agent is not entry.agent:
                raise SettingsError(
                    f"two agents do {entry.task_type!r}: {other.address} and {entry.address}",
                    "give one of them another task_type",
                )
    return table


def load_agent(address: str) -> type[GPUAgent]:
    """The one class at ``module:Class``.

    Raises
    ------
    SettingsError
        As :func:`load_agents`.
    """
    (entry,) = _entries(address)
    return entry.agent


def _entries(address: str) -> list[AgentEntry]:
    module_name, _, name = address.partition(":")
    try:
        module = importlib.import_module(module_name)
        chosen = [getattr(module, name)] if name else _defined_in(module)
    except Exception as exc:  # a user's module may raise anything
        raise SettingsError(
            f"agent {address!r} cannot be imported: {type(exc).__name__}: {exc}",
            "--agent takes module:Class, found on PYTHONPATH",
        ) from exc
    if not chosen:
        raise SettingsError(f"agent {address!r}: the module defines none", "name a class as module:Class")
    return [_entry(f"{module_name}:{getattr(agent, '__qualname__', name)}", agent) for agent in chosen]


def _defined_in(module: Any) -> list[Any]:
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, GPUAgent)
        and value.__module__ == module.__name__
        and "task_type" in vars(value)
    ]


def _entry(address: str, agent: Any) -> AgentEntry:
    if not (inspect.isclass(agent) and issubclass(agent, GPUAgent)):
        kind = agent.__name__ if inspect.isclass(agent) else type(agent).__name__
        raise SettingsError(
            f"agent {address!r} is {kind}, no GPUAgent", "derive the class from agents.tasks.agent.GPUAgent"
        )
    lacks = _lacks(agent)
    if lacks:
        raise SettingsError(f"agent {address!r}: {lacks}", "see docs/write-an-agent.md")
    return AgentEntry(agent.task_type, address, agent)


def _lacks(agent: type[GPUAgent]) -> str:
    name = getattr(agent, "task_type", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"task_type must be 1 to 128 letters, digits or . _ : @ -, was {name!r}"
    if not (inspect.isclass(agent.Data) and issubclass(agent.Data, BaseModel)):
        return f"Data must be a pydantic model, was {agent.Data!r}"
    if not inspect.iscoroutinefunction(agent.process_task):
        return "process_task must be an `async def`"
    if agent.process_task is GPUAgent.process_task:
        return "it has no process_task"
    if not 0 < agent.min_memory_bytes <= agent.memory_bytes:
        return f"min_memory_bytes must be 1 to memory_bytes, was {agent.min_memory_bytes}"
    return ""
