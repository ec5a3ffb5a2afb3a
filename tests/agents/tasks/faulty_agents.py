"""Agents that go wrong in one way each; found by the children by this module's name."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.results import TaskRows
from schemas.errors import TaskError


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def fake_error(module: str, name: str, text: str) -> Exception:
    """An exception as a library that is not installed here would raise it."""
    return type(name, (Exception,), {"__module__": module})(text)


def torch_cuda() -> Exception:
    import torch

    return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def torch_cpu() -> Exception:
    import torch

    try:
        torch.empty(1 << 60, dtype=torch.uint8)
    except RuntimeError as exc:
        return exc
    raise AssertionError("torch found an exabyte")


def numba_cuda() -> Exception:
    from numba.cuda.cudadrv.driver import CudaAPIError

    return CudaAPIError(2, "Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")


OUT_OF_MEMORY = {
    "torch": torch_cuda,
    "torch_cpu": torch_cpu,
    "numba": numba_cuda,
    "rmm": lambda: fake_error(
        "rmm._lib.memory_resource", "RMMError", "maximum pool size exceeded: out_of_memory"
    ),
    "rmm_bad_alloc": lambda: MemoryError(
        "std::bad_alloc: out_of_memory: CUDA error at: cuda_memory_resource.hpp"
    ),
    "cupy": lambda: fake_error(
        "cupy.cuda.memory", "OutOfMemoryError", "Out of memory allocating 2,000 bytes"
    ),
    "plain": lambda: MemoryError(),
}
"""Kind to the exception of a library that has no memory left."""


class FitsData(Strict):
    kind: str
    fits_bytes: int = Field(description="a GPU has room for a task of so many bytes")


class Fits(GPUAgent):
    """Runs out of memory, in one library's words, on a GPU where it was granted more than fits."""

    task_type = "fits"
    Data = FitsData
    memory_bytes = 256 * MIB
    min_memory_bytes = 32 * MIB
    shrinkable = True

    async def process_task(self, task: Task) -> dict[str, Any]:
        if not task.on_cpu and task.memory_bytes > task.data.fits_bytes:
            if task.data.kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OUT_OF_MEMORY[task.data.kind]()
        return {"memory_bytes": task.memory_bytes, "on_cpu": task.on_cpu, "pid": os.getpid()}


class HoldData(Strict):
    megabytes: int
    die: bool = False


class Hold(GPUAgent):
    """Fills memory that its own frame holds, then fails or dies with it."""

    task_type = "hold"
    Data = HoldData

    async def process_task(self, task: Task) -> None:
        held = np.ones(task.data.megabytes * MIB, np.uint8)
        if task.data.die:
            os._exit(1)
        raise ValueError(f"still holding {held.nbytes}")


class GrabData(Strict):
    library: Literal["numpy", "arrow", "torch"]
    megabytes: int


class Grab(GPUAgent):
    """Takes memory by a library's own means."""

    task_type = "grab"
    Data = GrabData

    def __init__(self) -> None:
        import torch  # loaded before a task is held to its memory

        self._torch = torch

    async def process_task(self, task: Task) -> int:
        import pyarrow as pa

        size = task.data.megabytes * MIB
        take = {
            "numpy": lambda: np.ones(size, np.uint8).nbytes,
            "arrow": lambda: pa.allocate_buffer(size).size,
            "torch": lambda: self._torch.ones(size, dtype=self._torch.uint8).nbytes,
        }
        return take[task.data.library]()


class Splits(GPUAgent):
    """Uses every device of its gang for one model."""

    task_type = "splits"

    def __init__(self) -> None:
        from agents.tasks import parallel

        self._parallel = parallel

    async def process_task(self, task: Task) -> dict[str, Any]:
        import torch

        torch.manual_seed(0)
        layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
        rows = torch.arange(40, dtype=torch.float64).reshape(10, 4) / 40
        devices = task.torch_devices
        alone = layers(rows)
        split = self._parallel.data_parallel(layers, rows, devices)
        stages = self._parallel.Stages(self._parallel.balanced_stages(layers, len(devices)), devices)
        piped = self._parallel.pipeline(stages, rows, 3)
        worst = max(float((found.cpu() - alone).abs().max()) for found in (split, piped))
        return {"devices": devices, "worst": worst}


class ResultData(Strict):
    what: Literal["rows", "records", "text", "table_with_summary", "unknown", "model"]
    size: int = 1


class Result(GPUAgent):
    """Returns what it is asked for."""

    task_type = "result"
    Data = ResultData

    async def process_task(self, task: Task) -> Any:
        import pyarrow as pa

        size = task.data.size
        table = pa.table({"n": np.arange(size), "half": np.arange(size) / 2})
        return {
            "rows": lambda: table,
            "records": lambda: [{"n": n, "half": n / 2} for n in range(size)],
            "text": lambda: "x" * size,
            "table_with_summary": lambda: TaskRows(table, {"mean": np.float64("nan"), "seen": size}),
            "unknown": lambda: {"thread": threading.current_thread()},
            "model": lambda: task.data,
        }[task.data.what]()


class FamilyData(Strict):
    folder: str
    leave_group: bool = False


class Family(GPUAgent):
    """Starts processes of its own and waits for ever; writes all pids to a file."""

    task_type = "family"
    Data = FamilyData

    async def process_task(self, task: Task) -> None:
        sleeper = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", "import time; time.sleep(1000)"]
        )
        forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
        forked.start()
        draft = Path(task.data.folder) / "draft"
        draft.write_text(f"{os.getpid()} {sleeper.pid} {forked.pid}")
        draft.rename(Path(task.data.folder) / "pids")
        task.progress(0.5, "has a family")
        await asyncio.sleep(1000)


class CleansData(Strict):
    file: str
    manners: Literal["await", "deaf"] = "await"


class Cleans(GPUAgent):
    """Writes down that its ``finally`` and its clean-up ran."""

    task_type = "cleans"
    Data = CleansData

    def __init__(self) -> None:
        self._file = Path()

    async def process_task(self, task: Task) -> None:
        self._file = Path(task.data.file)
        try:
            task.progress(0.1, "at work")
            if task.data.manners == "await":
                await asyncio.sleep(1000)
            while True:
                time.sleep(0.005)  # noqa: ASYNC251
        finally:
            self._note("finally")

    async def clean_up(self) -> None:
        if self._file.name:
            self._note("clean_up")

    def _note(self, word: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{word}\n")


class Slow(GPUAgent):
    """Takes longer than its type may."""

    task_type = "slow"
    timeout_s = 0.2

    async def process_task(self, task: Task) -> None:
        await asyncio.sleep(1000)


class Refuses(GPUAgent):
    """Cannot do what it is asked for, and says so."""

    task_type = "refuses"

    async def process_task(self, task: Task) -> None:
        raise TaskError("data.day: 2026-01-03 is a Saturday", "name a trading day", field="data.day")


class Leaves(GPUAgent):
    """Calls sys.exit."""

    task_type = "leaves"

    async def process_task(self, task: Task) -> None:
        sys.exit(3)


class BabbleData(Strict):
    then: Literal["live", "close"]


class Babble(GPUAgent):
    """Writes nonsense to the connection, or closes it, and lives on."""

    task_type = "babble"
    Data = BabbleData

    async def process_task(self, task: Task) -> None:
        for number in range(3, 64):
            with suppress(OSError):
                if task.data.then == "live" and stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.write(number, b"\x05\x00\x00\x00\x00\x00\x00\x00hello")
                elif task.data.then == "close":
                    socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RDWR)
        time.sleep(1000)  # noqa: ASYNC251


class Counts(GPUAgent):
    """Tells progress a thousand times."""

    task_type = "counts"

    async def process_task(self, task: Task) -> str:
        for n in range(1, 1001):
            task.progress(n / 1000, "first half" if n <= 500 else "second half")
        return "counted"


class HoardsData(Strict):
    bytes: int


class Hoards(GPUAgent):
    """Keeps what it allocates for its next task, as a cache of its own."""

    task_type = "hoards"
    Data = HoardsData

    def __init__(self) -> None:
        self.kept: list[np.ndarray] = []

    async def process_task(self, task: Task) -> dict[str, Any]:
        self.kept.append(np.ones(task.data.bytes, dtype=np.uint8))
        return {
            "batch_share": task.batch_bytes / task.memory_bytes,
            "kept": [block.nbytes for block in self.kept],
        }
