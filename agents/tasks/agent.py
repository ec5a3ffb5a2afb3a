"""What users extend: :class:`GPUAgent`, and the :class:`Task` that its one method is given.

Importing this is cheap, and an agent's module is imported by the parent too, which only reads the class's
declarations: importing it must not touch a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.devices import CPU_PREFIX
from schemas.errors import TaskError
from schemas.settings import Settings

MIB = 1_048_576


def on_cpu(devices: Iterable[str]) -> bool:
    """Whether these are CPU slots, no GPUs."""
    return all(device.startswith(CPU_PREFIX) for device in devices)


class TaskCancelled(BaseException):
    """The task is to end now; raised by :meth:`Task.check`. Let it through, clean up in ``finally``."""


class NoData(BaseModel):
    """The data of a task that takes none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt of a task, as its agent sees it.

    Attributes
    ----------
    data
        The request's data, as the agent's model of it.
    attempt
        From 1.
    devices
        ``gpu_uuid`` of each device granted; a pool of CPU slots is one device.
    memory_bytes
        Granted on each device. A retry after out-of-memory has less: cut the work to fit it.
    batch_share
        1, or less while memory on the device is low.
    settings
        The pipeline's, for whoever reads the log or the data folder.
    """

    task_id: str
    task_type: str
    attempt: int
    data: Any
    devices: tuple[str, ...]
    memory_bytes: int
    settings: Settings
    batch_share: float = 1.0
    report: Callable[[float, str], None] = field(default=lambda fraction, stage: None, repr=False)
    stop: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def on_cpu(self) -> bool:
        """Whether no GPU was granted."""
        return on_cpu(self.devices)

    @property
    def batch_bytes(self) -> int:
        """What the work at hand should take at once: all that is granted, or less while memory is low."""
        return int(self.memory_bytes * self.batch_share)

    @property
    def torch_devices(self) -> list[str]:
        """The devices by the names that torch has for them in this process: ``cuda:0`` … or ``cpu`` …."""
        if self.on_cpu:
            return ["cpu"] * len(self.devices)
        return [f"cuda:{ordinal}" for ordinal in range(len(self.devices))]

    @property
    def data_dir(self) -> Path:
        """The data folder; files that a request names lie in it."""
        return self.settings.data_dir

    @property
    def cancelled(self) -> bool:
        """Whether the task is to end: cancelled by its sender, or past its deadline."""
        return self.stop.is_set()

    def check(self) -> None:
        """Call this now and then in long loops.

        Raises
        ------
        TaskCancelled
            When the task is to end.
        """
        if self.stop.is_set():
            raise TaskCancelled

    def progress(self, fraction: float, stage: str = "") -> None:
        """Tell how far the task is, 0 to 1, and in a few words what it does. Cheap; also checks."""
        self.check()
        self.report(min(max(fraction, 0.0), 1.0), stage)


class GPUAgent:
    """Does the tasks of one type. Extend it::

        class MyAgent(GPUAgent):
            task_type = "my_task"
            Data = MyData  # a pydantic model

            async def process_task(self, task: Task) -> object: ...

    One object does many tasks, one after the other, in a child process of its own; what it keeps between
    them counts as memory that does not come back.

    Attributes
    ----------
    task_type
        The name that requests give.
    Data
        The model of a request's ``data``; give it ``extra="forbid"`` to have misspelt fields refused.
    memory_bytes
        What a task needs on a device when its request does not say.
    min_memory_bytes
        Least memory that a task can be cut to.
    shrinkable
        Whether a task can do with less memory than it asked for, down to ``min_memory_bytes``: by smaller
        batches, say. Only then is it tried again with less after running out of memory.
    timeout_s
        Longest run of an attempt; None for no end but the request's own deadline.
    """

    task_type: ClassVar[str]
    Data: ClassVar[type[BaseModel]] = NoData
    memory_bytes: ClassVar[int] = 1024 * MIB
    min_memory_bytes: ClassVar[int] = 64 * MIB
    shrinkable: ClassVar[bool] = False
    timeout_s: ClassVar[float | None] = None

    async def process_task(self, task: Task) -> Any:
        """Do the task.

        Returns
        -------
        object
            Plain data, a pydantic model, arrays, a ``pyarrow.Table``, or
            :class:`agents.tasks.results.TaskRows`; what is large must be rows, to be written as Parquet.

        Raises
        ------
        TaskError
            When the request cannot be done as it is.
        """
        raise NotImplementedError

    async def clean_up(self) -> None:
        """After every task, whatever became of it: drop what is not needed for the next one."""


def read_data(agent: type[GPUAgent], data: dict[str, Any]) -> BaseModel:
    """The data of a request as the agent's model.

    Raises
    ------
    TaskError
        Naming the first field at fault, its problem and what the model expects there.
    """
    try:
        return agent.Data.model_validate(data)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        path = ".".join(("data", *(str(part) for part in error["loc"])))
        more = f" (and {exc.error_count() - 1} more)" if exc.error_count() > 1 else ""
        raise TaskError(
            f"{path}: {error['msg']}{_given(error)}{more}",
            f"mend {path}; {agent.task_type} takes {_fields(agent.Data)}",
            field=path,
        ) from exc


def _given(error: Any) -> str:
    if error["type"] in ("missing", "extra_forbidden"):
        return ""
    return f", was {str(error['input'])[:80]!r}"


def _fields(model: type[BaseModel]) -> str:
    names = [f"{name}{'' if row.is_required() else '?'}" for name, row in model.model_fields.items()]
    return ", ".join(names) if names else "no data"
