"""Doing one order in the child: load the agent, check the data, hold to the memory, run, clean up, measure.

The memory of a failed task is given back only after its ``except`` block: inside, the exception's frames
still hold every tensor of it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Protocol

from agents.allocators import held
from agents.tasks import measure
from agents.tasks.agent import GPUAgent, Task, on_cpu, read_data
from agents.tasks.failures import failure_of
from agents.tasks.holdings import telling
from agents.tasks.limits import memory_limit
from agents.tasks.protocol import Began, Done, FromChild, Order, Tend, Tended
from agents.tasks.registry import load_agent
from agents.tasks.results import Stored, store
from schemas.settings import Settings
from schemas.tasks import Failure


class Talk(Protocol):
    """What the work needs of the connection."""

    stop: threading.Event
    work: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None

    def tell(self, head: FromChild, body: bytes = b"") -> None:
        """Send a frame."""

    def report(self, fraction: float, stage: str) -> None:
        """Tell progress."""


class Bench:
    """The agents that this process has loaded, and what memory it had without their tasks.

    Parameters
    ----------
    settings
        The pipeline's.
    load
        From an address to a class.
    """

    def __init__(self, settings: Settings, load: Callable[[str], type[GPUAgent]] = load_agent) -> None:
        self._settings = settings
        self._load = load
        self._agents: dict[str, GPUAgent] = {}
        self._idle_bytes = measure.process_memory().rss_bytes

    def do(self, order: Order, talk: Talk) -> tuple[Done, bytes]:
        """Do it; whatever happens is in the answer, unless it ends the process."""
        measure.spill_cudf(order.spill)
        with nullcontext() if on_cpu(order.devices) else telling(talk.tell):
            stored, failure, peak = self._attempt(order, talk)
        # Outside of every `except`: nothing holds the task's memory any more.
        if order.clean:
            self._forget_agents()
        measure.give_memory_back()
        kept = measure.process_memory().rss_bytes - self._idle_bytes
        done = Done(
            failure=failure,
            result_path=stored.path if stored else None,
            peak_memory_bytes=peak,
            kept_bytes=max(kept, 0),
            kept_gpu_bytes=measure.gpu_kept_bytes(),
            held=held(),
        )
        return done, stored.json if stored else b""

    def tend(self, asked: Tend) -> Tended:
        """Give back what is kept for tasks to come, the agents' own caches too."""
        before = measure.held_bytes(asked.on_cpu)
        has_cudf = measure.spill_cudf(asked.spill)
        self._forget_agents()
        measure.give_memory_back()
        after = measure.held_bytes(asked.on_cpu)
        return Tended(bytes_before=before, bytes_after=after, has_cudf=has_cudf, held=held())

    def _forget_agents(self) -> None:
        """They are made anew when they are needed; their modules stay loaded."""
        self._agents.clear()
        measure.unsettle()

    def _attempt(self, order: Order, talk: Talk) -> tuple[Stored | None, Failure | None, int | None]:
        watch = _Watch(order)
        stored: Stored | None = None
        failure: Failure | None = None
        try:
            agent = self._agent(order.agent)
            task = self._task(order, agent, talk)
            talk.tell(Began(rss_bytes=measure.process_memory().rss_bytes))
            with memory_limit(task.on_cpu, order.memory_bytes):
                watch.start()
                result = _run(agent, task, talk)
                stored = store(
                    result, self._settings.data_dir, order.task_id, order.attempt, order.inline_bytes
                )
        except Exception as exc:
            failure = failure_of(exc)
            if failure.code in ("TASK_ERROR", "OUT_OF_MEMORY"):
                traceback.print_exc(file=sys.stderr)
        except BaseException as exc:  # SystemExit, asyncio's and our own ways to cancel
            failure = _ended_by(exc)
        return stored, failure, watch.peak()

    def _agent(self, address: str) -> GPUAgent:
        found = self._agents.get(address)
        if found is None:
            before = measure.process_memory().rss_bytes
            found = self._agents[address] = self._load(address)()
            measure.settle()
            self._idle_bytes += measure.process_memory().rss_bytes - before
        return found

    def _task(self, order: Order, agent: GPUAgent, talk: Talk) -> Task:
        return Task(
            task_id=order.task_id,
            task_type=order.task_type,
            attempt=order.attempt,
            data=read_data(type(agent), order.data),
            devices=order.devices,
            memory_bytes=order.memory_bytes,
            batch_share=order.batch_share,
            settings=self._settings,
            report=talk.report,
            stop=talk.stop,
        )


def _run(agent: GPUAgent, task: Task, talk: Talk) -> Any:
    found: list[Any] = []

    async def main() -> None:
        this = asyncio.current_task()
        assert this is not None
        talk.work = (asyncio.get_running_loop(), this)
        try:
            task.check()  # a stop may have come before there was anything to end
            found.append(await agent.process_task(task))
        finally:
            talk.work = None
            await agent.clean_up()

    asyncio.run(main())
    return found.pop()


def _ended_by(exc: BaseException) -> Failure:
    if isinstance(exc, SystemExit):
        return Failure(
            code="TASK_ERROR",
            problem=f"the agent called sys.exit({exc.code!r})",
            remedy="raise an error instead",
        )
    return failure_of(exc)


class _Watch:
    """The peak of one attempt: of the devices when it has GPUs, else of the process."""

    def __init__(self, order: Order) -> None:
        self._on_cpu = on_cpu(order.devices)
        self._started: tuple[measure.ProcessMemory, bool] | None = None

    def start(self) -> None:
        """From now on."""
        measure.reset_gpu_peak()
        was_reset = measure.reset_peak()
        self._started = (measure.process_memory(), was_reset)

    def peak(self) -> int | None:
        """Bytes; None when the work never began or nothing tells."""
        if self._started is None:
            return None
        if not self._on_cpu:
            return measure.gpu_peak_bytes()
        before, was_reset = self._started
        return measure.peak_growth(before, was_reset, measure.process_memory())
