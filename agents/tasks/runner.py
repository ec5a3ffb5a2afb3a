"""Runs assignments in child processes, one a slot; the surface that the agent service is written on.

::

    async with Runner(settings, load_agents()) as runner:
        outcome = await runner.run(assignment, progress=tell, cancel=event)

Whatever happens to a task, :meth:`Runner.run` returns an outcome. It decides nothing about devices: who
assigns has granted them. Children are reused while their memory comes back; each belongs to its devices.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType

from agents.tasks import measure, results
from agents.tasks.agent import MIB
from agents.tasks.assignment import Assignment, ChildIdentity, Outcome, OutcomeState
from agents.tasks.attempt import Ending, Ladder, Limits, attempt, failure_at
from agents.tasks.pool import Pool, Warm
from agents.tasks.process import start_child
from agents.tasks.protocol import Order
from agents.tasks.registry import AgentEntry, AgentTable
from schemas import codec
from schemas.errors import ChildError, FrameError, SettingsError, TaskError
from schemas.settings import Settings
from schemas.tasks import Attempt, Failure, TaskProgress

Progress = Callable[[TaskProgress], None]
Started = Callable[[ChildIdentity], None]

CUT_SHARE = 0.5
"""Of what tasks would do at once, while batches are cut."""

STATES: dict[str, OutcomeState] = {"CANCELLED": "CANCELLED", "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED"}
"""Failure codes that are states of their own; every other one is FAILED."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How tasks are run.

    Parameters
    ----------
    inline_bytes
        A result whose JSON is larger goes to a Parquet file.
    max_tasks
        A child ends after so many tasks.
    max_kept_bytes
        A child ends when it holds so much more memory than before its first task.
    max_kept_gpu_bytes
        The same of torch's allocator on its devices.
    start_patience_s
        How long a child may take to be up.
    ladder
        How a task is ended.
    """

    inline_bytes: int = 256 * 1_024
    max_tasks: int = 200
    max_kept_bytes: int = 256 * MIB
    max_kept_gpu_bytes: int = 64 * MIB
    start_patience_s: float = 60.0
    ladder: Ladder = field(default_factory=Ladder)


def worth_keeping(options: RunnerOptions, ending: Ending, tasks: int) -> bool:
    """Whether a child may do another task."""
    done = ending.done
    if done is None or ending.signalled or tasks >= options.max_tasks:
        return False
    if done.failure is not None and done.failure.code == "OUT_OF_MEMORY":
        return False  # the next attempt is to find a fresh process
    if ending.ended_by_others:
        return False
    return done.kept_bytes <= options.max_kept_bytes and done.kept_gpu_bytes <= options.max_kept_gpu_bytes


class Runner:
    """The children of one agent process; an async context manager.

    Parameters
    ----------
    settings
        The pipeline's; the children get the same.
    agents
        From :func:`agents.tasks.registry.load_agents`.
    now_ns
        The wall clock, for deadlines and for the times in outcomes.
    oom_kills
        How often the kernel has killed for want of memory.
    environment
        What children inherit.
    program
        What children run; our own module when empty.
    """

    def __init__(
        self,
        settings: Settings,
        agents: AgentTable,
        options: RunnerOptions | None = None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        oom_kills: Callable[[], int | None] = measure.oom_kills,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = (),
    ) -> None:
        self.agents = agents
        self.options = options or RunnerOptions()
        self._settings = settings
        self._now_ns = now_ns
        self._oom_kills = oom_kills
        self._environment = settings.environment(os.environ if environment is None else environment)
        self._environment["TAPESTREAM_DATA_DIR"] = str(settings.data_dir.resolve())
        self._program = program
        self.pool = Pool(self.options.ladder.term_s)

    async def __aenter__(self) -> Runner:
        if not hasattr(os, "pidfd_open"):
            raise SettingsError("tasks run on Linux only", "run the agent on a Linux machine")
        for draft in results.drafts(self._settings.data_dir):
            draft.unlink(missing_ok=True)  # of a runner that was killed
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all children; a task that still runs ends as CRASHED, and no other is begun."""
        await self.pool.close()

    @property
    def children(self) -> list[ChildIdentity]:
        """Those that live now, idle or at work."""
        return self.pool.children

    async def run(
        self,
        assignment: Assignment,
        progress: Progress = lambda progress: None,
        cancel: asyncio.Event | None = None,
        started: Started = lambda identity: None,
    ) -> Outcome:
        """Run one attempt.

        Parameters
        ----------
        progress
            Told how far it is.
        cancel
            Set it to end the task.
        started
            Told who runs it, before it runs.

        Returns
        -------
        Outcome
            Always; it raises only when this coroutine itself is cancelled, and the child is then gone.
        """
        started_ns = self._now_ns()
        entry = self.agents.get(assignment.task.task_type)
        limits = self._limits(assignment, entry, cancel or asyncio.Event(), started_ns)
        refused = self._refusal(assignment, entry, limits, started_ns)
        if entry is None or refused is not None:
            return self._outcome(assignment, started_ns, refused)
        kills_before = self._oom_kills()
        slot = self.pool.take_slot()
        try:
            warm = await self._child(assignment, slot)
        except ChildError as exc:
            self.pool.leave_slot(slot)
            return self._outcome(
                assignment, started_ns, Failure(code="CRASHED", problem=exc.problem, remedy=exc.remedy)
            )
        except BaseException:
            self.pool.leave_slot(slot)
            raise
        self.pool.set_to_work(slot, warm, assignment.lease)
        try:
            started(replace(warm.child.identity, lease=assignment.lease))
            order = self._order(assignment, entry)
            ending = await attempt(warm.child, order, limits, self.options.ladder, progress)
            warm.tasks += 1
            warm.lease = ""
            kept = await self._keep_or_end(warm, ending)
        except BaseException:
            await warm.child.close(0)
            raise
        finally:
            self.pool.leave_slot(slot)
        outcome = self._judge(assignment, started_ns, warm, ending, self._killed_since(kills_before))
        return replace(outcome, child_kept=kept)

    def _refusal(
        self, assignment: Assignment, entry: AgentEntry | None, limits: Limits, now_ns: int
    ) -> Failure | None:
        """What is wrong before anything is started."""
        if entry is None:
            known = ", ".join(sorted(self.agents))
            return Failure(
                code="UNKNOWN_TASK_TYPE",
                problem=f"nobody here does {assignment.task.task_type!r}",
                remedy=f"one of {known}; or start the agent with --agent module:Class",
                field="task_type",
            )
        if limits.cancel.is_set():
            return Failure(code="CANCELLED", problem="cancelled by its sender before it began")
        if assignment.deadline_ns is not None and assignment.deadline_ns <= now_ns:
            return Failure(
                code="DEADLINE_EXCEEDED",
                problem="its deadline passed before it began",
                remedy="give a later deadline_ms",
            )
        return None

    @staticmethod
    def _limits(
        assignment: Assignment, entry: AgentEntry | None, cancel: asyncio.Event, now_ns: int
    ) -> Limits:
        deadline_ns, loop_s = assignment.deadline_ns, asyncio.get_running_loop().time()
        return Limits(
            cancel=cancel,
            deadline_at=None if deadline_ns is None else loop_s + (deadline_ns - now_ns) / 1e9,
            timeout_s=entry.agent.timeout_s if entry else None,
        )

    def _order(self, assignment: Assignment, entry: AgentEntry) -> Order:
        in_force = self.pool.in_force(assignment.devices)
        return Order(
            agent=entry.address,
            task_id=assignment.task_id,
            task_type=entry.task_type,
            attempt=assignment.attempt,
            data=assignment.task.data,
            devices=assignment.devices,
            memory_bytes=assignment.memory_bytes,
            inline_bytes=self.options.inline_bytes,
            batch_share=CUT_SHARE if "cut_batches" in in_force else 1.0,
            clean="clean_at_task_boundary" in in_force,
            spill="spill_cudf" in in_force,
        )

    async def _child(self, assignment: Assignment, slot: int) -> Warm:
        """A child for these devices: one that waits, else a new one.

        A retry gets a new one, whatever waits.
        """
        fresh = assignment.attempt > 1
        waiting = None if fresh else self.pool.waiting_for(assignment.devices)
        if waiting is not None:
            return waiting
        log_file = self._settings.data_dir.resolve() / "logs" / f"task-slot-{slot}.log"
        child = await start_child(
            assignment.devices,
            self._environment,
            log_file,
            self.options.start_patience_s,
            self._program,
        )
        if self.pool.closed:
            await child.close(0)
            raise ChildError("the runner was closed while its process started", "start the agent again")
        return Warm(child)

    async def _keep_or_end(self, warm: Warm, ending: Ending) -> bool:
        drained = "recycle_after_drain" in self.pool.in_force(warm.child.devices)
        keep = worth_keeping(self.options, ending, warm.tasks) and not drained
        return await self.pool.keep_or_end(warm, keep=keep)

    def _killed_since(self, before: int | None) -> bool | None:
        now = self._oom_kills()
        return None if before is None or now is None else now > before

    def _judge(
        self,
        assignment: Assignment,
        started_ns: int,
        warm: Warm,
        ending: Ending,
        oom_kill: bool | None,
    ) -> Outcome:
        words = warm.child.last_words() if ending.done is None else ""
        failure = failure_at(ending, assignment, self.options.ladder, oom_kill, words)
        if failure is not None and assignment.lease in self.pool.given_up:
            failure = Failure(code="LOST", problem="its device was low on memory, so its process was ended")
        self.pool.given_up.discard(assignment.lease)
        value = None
        if failure is None:
            try:
                value = codec.loads(ending.body)
            except FrameError as exc:
                failure = Failure(code="TASK_ERROR", problem=f"its result cannot be read: {exc.problem}")
        else:
            self._drop_draft(assignment)
        outcome = self._outcome(assignment, started_ns, failure, _peak(ending))
        identity = replace(warm.child.identity, lease=assignment.lease)
        path = ending.done.result_path if ending.done and failure is None else None
        return replace(outcome, result=value, result_path=path, child=identity)

    def _drop_draft(self, assignment: Assignment) -> None:
        with suppress(TaskError, OSError):
            path = results.result_file(self._settings.data_dir, assignment.task_id, assignment.attempt)
            results.draft_of(path).unlink(missing_ok=True)

    def _outcome(
        self, assignment: Assignment, started_ns: int, failure: Failure | None, peak: int | None = None
    ) -> Outcome:
        record = Attempt(
            attempt=assignment.attempt,
            gpu_uuids=list(assignment.devices),
            memory_bytes=assignment.memory_bytes,
            started_ns=started_ns,
            ended_ns=self._now_ns(),
            peak_memory_bytes=peak,
            failure=failure,
        )
        state = "SUCCEEDED" if failure is None else STATES.get(failure.code, "FAILED")
        return Outcome(state=state, attempt=record)


def _peak(ending: Ending) -> int | None:
    """The child's own measure; of one that died, the kernel's against what it had when the work began."""
    if ending.done is not None:
        return ending.done.peak_memory_bytes
    if ending.end is None or ending.end.peak_bytes is None or ending.began is None:
        return None
    return max(ending.end.peak_bytes - ending.began.rss_bytes, 0)
