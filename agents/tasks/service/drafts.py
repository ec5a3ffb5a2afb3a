"""What an attempt comes to, as the draft of a result and as the record of its end. Pure."""

from __future__ import annotations

from typing import Any

from agents.tasks.assignment import Outcome
from agents.tasks.service.outbox import Draft
from orchestrator.endings import attempts_of, course
from orchestrator.ledger import Lease, Task
from schemas.allocations import Ended
from schemas.tasks import Attempt, Failure, TaskResult, TerminalState

AGENT_KILLED = Failure(code="LOST", problem="its agent was killed", remedy="submit it again")


def draft_of(
    agent: str, task: Task, lease: Lease, outcome: Outcome, at_ns: int, *, leaving: bool = False
) -> Draft:
    """The draft of a task's result, should this attempt be the task's end.

    Parameters
    ----------
    leaving
        Whether the agent itself ends, and therefore its attempts.
    """
    state, failure = _as_ledger_sees(task, outcome, leaving)
    attempt = outcome.attempt.model_copy(update={"failure": failure})
    result = TaskResult.model_validate(
        {
            **course(task, [*attempts_of(task.tries), attempt]),
            "task_id": task.task_id,
            "task_type": task.task_type,
            "state": state,
            "result": outcome.result,
            "result_path": outcome.result_path,
            "failure": failure,
            "placement": lease.why,
        }
    )
    return Draft(agent=agent, attempt=lease.attempt, at_ns=at_ns, result=result)


def _as_ledger_sees(task: Task, outcome: Outcome, leaving: bool) -> tuple[TerminalState, Failure | None]:
    """A run that was ended for another reason than its sender's wish was lost, not cancelled."""
    if outcome.state != "CANCELLED":
        return outcome.state, outcome.failure
    if task.ended_by == "DEADLINE_EXCEEDED":
        return "DEADLINE_EXCEEDED", Failure(code="DEADLINE_EXCEEDED", problem="its deadline passed")
    if task.ended_by == "CANCELLED":
        return "CANCELLED", outcome.failure
    why = "its agent was stopped" if leaving else "its lease was taken back"
    return "FAILED", Failure(code="LOST", problem=why, remedy="submit it again")


def not_run(lease: Lease, started_ns: int, ended_ns: int, failure: Failure) -> Outcome:
    """The outcome of an attempt of which nothing is known but why it failed."""
    attempt = Attempt(
        attempt=lease.attempt,
        gpu_uuids=list(lease.gpu_uuids),
        memory_bytes=lease.memory_bytes,
        started_ns=started_ns,
        ended_ns=max(started_ns, ended_ns),
        failure=failure,
    )
    return Outcome(state="FAILED", attempt=attempt)


def ended_record(draft: Draft, head: dict[str, Any]) -> Ended:
    """What the allocation log is told of a draft."""
    result = draft.result
    return Ended(
        **head,
        task_id=draft.task_id,
        attempt=draft.attempt,
        agent=draft.agent,
        outcome=result.state,
        failure=draft.code,
        peak_memory_bytes=result.attempts[-1].peak_memory_bytes,
        detail=result.failure.problem if result.failure else "",
    )
