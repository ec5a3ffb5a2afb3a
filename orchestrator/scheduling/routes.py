"""Which lane a waiting task waits for, and why when that is the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.ledger.state import Task
from orchestrator.scheduling.fleet import Fleet, Need
from schemas.tasks import CpuReason, FailureCode


@dataclass(frozen=True, slots=True)
class Route:
    """Where a task waits and what it needs there; ``refusal`` when nowhere will ever do."""

    need: Need
    cpu_reason: CpuReason | None = None
    refusal: FailureCode | None = None


def on_cpu(task: Task) -> Need:
    """What a task needs on the CPU: one slot, whatever it asked of GPUs."""
    return Need("cpu", task.memory_bytes if task.lane == "cpu" else task.cpu_bytes, 1, task.only_on)


def route(task: Task, fleet: Fleet) -> Route:
    """GPU work waits for GPUs while one serves that is large enough; else it goes to the CPU if it may."""
    cpu = on_cpu(task)
    if task.lane == "cpu":
        return Route(cpu, task.cpu_reason, "TOO_LARGE" if _too_large(cpu, fleet) else None)
    gpu = Need("gpu", task.memory_bytes, task.devices, task.only_on)
    if fleet.could(gpu, serving=True):
        return Route(gpu)
    reason = _why_no_gpu(gpu, fleet)
    if task.cpu_ok and fleet.could(cpu, serving=True):
        return Route(cpu, reason)
    # Nobody knows how large a GPU would be that is not there; what may go to the CPU can be told.
    hopeless = reason == "TOO_LARGE_FOR_ANY" or (
        reason == "NO_GPU" and task.cpu_ok and _too_large(cpu, fleet)
    )
    return Route(gpu, None, "TOO_LARGE" if hopeless else None)


def _too_large(need: Need, fleet: Fleet) -> bool:
    return fleet.knows(need.lane) and not fleet.could(need, serving=False)


def _why_no_gpu(need: Need, fleet: Fleet) -> CpuReason:
    if not fleet.knows("gpu"):
        return "NO_GPU"
    return "UNHEALTHY" if fleet.could(need, serving=False) else "TOO_LARGE_FOR_ANY"


def late_on_cpu(task: Task) -> Route:
    """Where a task that waited too long for a GPU may go instead."""
    return Route(on_cpu(task), "QUEUE_TIMEOUT")
