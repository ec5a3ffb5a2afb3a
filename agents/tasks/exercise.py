"""Agents to try the machinery with: they do honestly what they are told. Not built in: name this module.

::

    tapestream agent --agent agents.tasks.exercise
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.tasks.agent import MIB, GPUAgent, Task
from schemas.devices import Bytes


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EchoData(_Data):
    """What to say back."""

    value: Any = None


class Echo(GPUAgent):
    """Gives back what it is given, and says where."""

    task_type = "echo"
    Data = EchoData
    memory_bytes = 64 * MIB

    async def process_task(self, task: Task) -> dict[str, Any]:
        """Echo."""
        return {
            "value": task.data.value,
            "devices": list(task.devices),
            "memory_bytes": task.memory_bytes,
            "attempt": task.attempt,
            "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "pid": os.getpid(),
        }


class SleepData(_Data):
    """How long, and how to be ended."""

    seconds: float = Field(ge=0, le=86_400)
    manners: Literal["await", "check", "deaf", "stubborn"] = "await"


class Sleep(GPUAgent):
    """Waits: with ``await``, in a loop that checks, in a deaf one, or in one that ignores SIGTERM as well."""

    task_type = "sleep"
    Data = SleepData
    memory_bytes = 64 * MIB

    async def process_task(self, task: Task) -> dict[str, float]:
        """Sleep."""
        started_s = time.monotonic()
        end_s = started_s + task.data.seconds
        task.progress(0.0, "asleep")
        if task.data.manners == "await":
            await asyncio.sleep(task.data.seconds)
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                if task.data.manners == "check":
                    task.progress(1 - left_s / max(task.data.seconds, 1e-9), "asleep")
                time.sleep(min(left_s, 0.01))  # noqa: ASYNC251 - what a careless agent does
            except BaseException:
                if task.data.manners != "stubborn":
                    raise
        return {"slept_s": time.monotonic() - started_s}


class AllocateData(_Data):
    """How much to allocate, and whether to keep it for good."""

    bytes: Bytes
    keep: bool = False


class Allocate(GPUAgent):
    """Allocates bytes on its device and touches them, no matter what it was granted."""

    task_type = "allocate"
    Data = AllocateData
    memory_bytes = 64 * MIB
    kept: ClassVar[list[bytearray]] = []

    async def process_task(self, task: Task) -> dict[str, int]:
        """Allocate."""
        if task.on_cpu:
            block = bytearray(task.data.bytes)
            block[::4_096] = b"\x01" * len(range(0, len(block), 4_096))
            if task.data.keep:
                self.kept.append(block)
        else:
            import torch

            torch.ones(task.data.bytes, dtype=torch.uint8, device=task.torch_devices[0])
        return {"bytes": task.data.bytes}


class CrashData(_Data):
    """How to go."""

    how: Literal["raise", "exit", "signal", "segfault", "out_of_memory"]
    number: int = Field(default=1, ge=0, le=255, description="exit code or signal")


class Crash(GPUAgent):
    """Fails: by an exception, an exit code, a signal, a segmentation fault, or for want of memory."""

    task_type = "crash"
    Data = CrashData
    memory_bytes = 64 * MIB

    async def process_task(self, task: Task) -> None:
        """Fail."""
        how = task.data.how
        if how == "raise":
            raise RuntimeError("it was told to")
        if how == "exit":
            os._exit(task.data.number)
        if how == "segfault":
            import faulthandler

            faulthandler._sigsegv()  # type: ignore[attr-defined]
        if how == "out_of_memory":
            bytearray(1 << 62)
        os.kill(os.getpid(), task.data.number)
