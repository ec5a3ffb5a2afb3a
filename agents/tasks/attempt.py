"""One attempt in one child: what it says, how it is ended, and what its end means."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from agents.tasks.assignment import Assignment
from agents.tasks.process import Child, ChildEnd
from agents.tasks.protocol import Began, Done, Order, Progressed, Stop
from schemas.tasks import Failure, TaskProgress

StopReason = Literal["CANCELLED", "DEADLINE_EXCEEDED", "TIMED_OUT"]


@dataclass(frozen=True, slots=True)
class Ladder:
    """How a task is ended, each step only when the one before has not helped.

    Parameters
    ----------
    ask_s
        Time it has after it was asked: ``task.check()`` raises, ``await`` is cancelled.
    term_s
        Time it has after SIGTERM, which raises in it wherever it is; then it gets SIGKILL.
    """

    ask_s: float = 3.0
    term_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """When an attempt is ended from outside.

    Parameters
    ----------
    cancel
        Set when it is to end.
    deadline_at
        By the loop's clock; None for never.
    timeout_s
        From the beginning of the attempt; None for never.
    """

    cancel: asyncio.Event = field(default_factory=asyncio.Event)
    deadline_at: float | None = None
    timeout_s: float | None = None


@dataclass(slots=True)
class Ending:
    """What is known when an attempt is over.

    Attributes
    ----------
    done
        The child's own account; None when it ended without one.
    end
        How the child ended; None when it lives.
    stopped
        Why we ended it, if we did.
    signalled
        Whether it took more than asking: the child is then not to be used again.
    """

    done: Done | None = None
    body: bytes = b""
    end: ChildEnd | None = None
    began: Began | None = None
    stopped: StopReason | None = None
    signalled: bool = False

    @property
    def ended_by_others(self) -> bool:
        """Whether the task was ended as if by us, but not by us: somebody sent SIGTERM."""
        failure = self.done.failure if self.done else None
        return self.stopped is None and failure is not None and failure.code == "CANCELLED"


async def attempt(
    child: Child,
    order: Order,
    limits: Limits,
    ladder: Ladder,
    progress: Callable[[TaskProgress], None],
) -> Ending:
    """Have the child do the order; returns when the task has ended, however that is."""
    ending = Ending()
    child.mark_log()
    stopping = asyncio.create_task(_stop_when_due(child, limits, ladder, ending))
    try:
        await child.tell(order)
        while (frame := await child.hear()) is not None:
            head, ending.body = frame
            if isinstance(head, Began):
                ending.began = head
            elif isinstance(head, Progressed):
                progress(
                    TaskProgress(
                        task_id=order.task_id, attempt=order.attempt, progress=head.progress, stage=head.stage
                    )
                )
            elif isinstance(head, Done):
                ending.done = head
                return ending
        child.signal(signal.SIGKILL)  # one that lives and cannot be understood is of no use
        ending.end = await asyncio.shield(child.ended)
        return ending
    finally:
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await stopping


async def _stop_when_due(child: Child, limits: Limits, ladder: Ladder, ending: Ending) -> None:
    ending.stopped = await _reason_to_stop(limits)
    await child.tell(Stop())
    for number, wait_s in ((signal.SIGTERM, ladder.ask_s), (signal.SIGKILL, ladder.term_s)):
        await asyncio.sleep(wait_s)
        ending.signalled = True
        child.signal(number)


async def _reason_to_stop(limits: Limits) -> StopReason:
    ends: list[tuple[float, StopReason]] = []
    if limits.deadline_at is not None:
        ends.append((limits.deadline_at, "DEADLINE_EXCEEDED"))
    if limits.timeout_s is not None:
        ends.append((asyncio.get_running_loop().time() + limits.timeout_s, "TIMED_OUT"))
    end_at: float | None
    reason: StopReason
    end_at, reason = min(ends, default=(None, "CANCELLED"))
    try:
        async with asyncio.timeout_at(end_at):
            await limits.cancel.wait()
    except TimeoutError:
        return reason
    return "CANCELLED"


def failure_at(
    ending: Ending, assignment: Assignment, ladder: Ladder, oom_kill: bool | None, last_words: str
) -> Failure | None:
    """What became of the task; None when it succeeded.

    A result that came although we had begun to end the task counts: it is whole.

    Parameters
    ----------
    oom_kill
        Whether the kernel counted a kill for want of memory meanwhile; None where it does not say.
    """
    if ending.done is not None and ending.done.failure is None:
        return None
    if ending.stopped is not None:
        return _stopped(ending, assignment, ladder)
    if ending.ended_by_others:
        return _crashed("it was ended by a SIGTERM that was not ours, or by its own TaskCancelled", "")
    if ending.done is not None:
        return ending.done.failure
    assert ending.end is not None
    if ending.end.code == -signal.SIGKILL and oom_kill:
        return Failure(
            code="OUT_OF_MEMORY",
            problem="the kernel killed its process for want of memory",
            remedy="ask for more memory_required, or run fewer tasks at once",
        )
    unsaid = ", not for want of memory" if ending.end.code == -signal.SIGKILL and oom_kill is False else ""
    return _crashed(f"{ending.end}{unsaid}", last_words)


def _crashed(how: str, last_words: str) -> Failure:
    said = f"; its last words: {last_words[:300]}" if last_words else ""
    return Failure(
        code="CRASHED",
        problem=f"its process died: {how}{said}",
        remedy="the agent's log has what it wrote; nothing else was affected",
    )


_SAID = {
    "CANCELLED": "cancelled by its sender",
    "DEADLINE_EXCEEDED": "its deadline passed while it ran",
    "TIMED_OUT": "it ran longer than its type may",
}
_REMEDY = {
    "CANCELLED": "",
    "DEADLINE_EXCEEDED": "give a later deadline_ms, or less work",
    "TIMED_OUT": "raise the agent's timeout_s, or give less work",
}


def _stopped(ending: Ending, assignment: Assignment, ladder: Ladder) -> Failure:
    assert ending.stopped is not None
    how = "it ended when asked to"
    if ending.end is not None and ending.end.code == -signal.SIGKILL:
        how = f"it did not end within {ladder.ask_s + ladder.term_s:g} s and was killed"
    elif ending.signalled:
        how = f"it did not end within {ladder.ask_s:g} s and got SIGTERM"
    return Failure(
        code=ending.stopped, problem=f"{_SAID[ending.stopped]}; {how}", remedy=_REMEDY[ending.stopped]
    )
