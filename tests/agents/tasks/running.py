"""A runner over our exercise agents and the faulty ones, and how a test asks it for a task."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agents.tasks.agent import MIB
from agents.tasks.assignment import Assignment, Outcome
from agents.tasks.attempt import Ladder
from agents.tasks.registry import AgentTable, load_agents
from agents.tasks.runner import Runner, RunnerOptions
from schemas.settings import Settings
from schemas.tasks import TaskRequest

CPU = ("CPU-here",)
QUICK = Ladder(ask_s=0.3, term_s=0.3)


def agents() -> AgentTable:
    return load_agents(["agents.tasks.exercise", "tests.agents.tasks.faulty_agents"], installed=())


def new_runner(folder: Path, *, options: dict[str, Any] | None = None, **parts: Any) -> Runner:
    chosen = RunnerOptions(**{"ladder": QUICK} | (options or {}))
    return Runner(Settings(data_dir=folder), agents(), chosen, **parts)


def assignment(task_type: str, *, task_id: str = "task", **fields: Any) -> Assignment:
    """An attempt: what an assignment has by that name, and the rest is the task's data."""
    own = {
        name: fields.pop(name)
        for name in ("attempt", "devices", "memory_bytes", "deadline_ns", "lease")
        if name in fields
    }
    task = TaskRequest(task_id=task_id, task_type=task_type, data=fields)
    return Assignment(task, **{"attempt": 1, "devices": CPU, "memory_bytes": 256 * MIB} | own)


class Cancels:
    """Sets its event when the task tells its first progress: the work is under way then."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def __call__(self, progress: object) -> None:
        self.event.set()


async def cancelled_at_work(runner: Runner, task: Assignment) -> Outcome:
    cancels = Cancels()
    return await runner.run(task, progress=cancels, cancel=cancels.event)
