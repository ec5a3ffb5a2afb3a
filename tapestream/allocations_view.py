"""The allocation log for people: a sentence a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.ledger import Ignored, Verdict
from schemas.allocations import Head, kind
from tapestream.signals_view import event_time

UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def size(count: int) -> str:
    """Bytes in the unit that suits them."""
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def _granted(r: Any) -> str:
    where = " and ".join(r.gpu_uuids)
    each = " each" if len(r.gpu_uuids) > 1 else ""
    reason = f", on the CPU for {r.cpu_reason}" if r.cpu_reason else ""
    return (
        f"{r.owner} grants {r.task_id} attempt {r.attempt} {size(r.memory_bytes)}{each} of {where}"
        f" ({r.why or r.policy}{reason})"
    )


def _ended(r: Any) -> str:
    how = f"{r.outcome} ({r.failure})" if r.failure and r.failure != r.outcome else r.outcome
    peak = "" if r.peak_memory_bytes is None else f", {size(r.peak_memory_bytes)} at most"
    detail = f": {r.detail}" if r.detail else ""
    return f"{r.task_id} attempt {r.attempt} ends {how} on {r.agent}{peak}{detail}"


def _accepted(r: Any) -> str:
    devices = f" on each of {r.devices} devices" if r.devices > 1 else ""
    source = f", from {r.inputs[0]}" if r.inputs else ""
    return (
        f"{r.task_id} ({r.task_type}) is accepted with priority {r.priority}: "
        f"{size(r.memory_bytes)}{devices}{source}"
    )


def _measured(r: Any) -> str:
    free = "unknown" if r.free_bytes is None else size(r.free_bytes)
    strangers = f", strangers use {size(r.stranger_bytes)}" if r.stranger_bytes else ""
    return f"{r.gpu_uuid} has {size(r.capacity_bytes)}, {free} free{strangers}"


def _released(r: Any) -> str:
    return f"the bytes of {r.task_id} attempt {r.attempt} are back, says {r.agent or r.owner}"


def _reclaiming(r: Any) -> str:
    detail = f": {r.detail}" if r.detail else ""
    return f"{r.owner} takes the lease of {r.task_id} attempt {r.attempt} back ({r.cause}){detail}"


def _because(reasons: tuple[str, ...]) -> str:
    return f": {', '.join(reasons)}" if reasons else ""


def _admission(r: Any) -> str:
    what = "stops admission to" if r.stopped else "admits tasks to"
    room = ", and wants an attempt there to shrink" if r.make_room else ""
    return f"{r.owner} {what} {r.gpu_uuid}{room}{_because((r.reason,) if r.reason else ())}"


SENTENCES: dict[str, Callable[[Any], str]] = {
    "owner_claimed": lambda r: f"{r.owner} takes {r.domain} in epoch {r.epoch}",
    "device_seen": lambda r: f"{r.gpu_uuid} appears on {r.host}: {size(r.capacity_bytes)}, {r.slots} slots",
    "health_changed": lambda r: f"{r.gpu_uuid} is {r.health}{_because(r.reasons)}",
    "capacity_measured": _measured,
    "admission_changed": _admission,
    "task_accepted": _accepted,
    "granted": _granted,
    "started": lambda r: f"{r.agent} starts {r.task_id} attempt {r.attempt}",
    "renewed": lambda r: f"{r.agent} still runs {r.task_id} attempt {r.attempt}",
    "ended": _ended,
    "reclaiming": _reclaiming,
    "released": _released,
    "rejected": lambda r: f"{r.task_id} is refused: {r.failure}{_because((r.problem,) if r.problem else ())}",
    "cancel_requested": lambda r: f"{r.task_id} shall end{_because((r.reason,) if r.reason else ())}",
    "deadline_passed": lambda r: f"the deadline of {r.task_id} is over",
    "tick": lambda r: f"time moves on, says {r.owner}",
    "policy_changed": lambda r: f"{r.policy} decides from here on",
    "snapshot": lambda r: f"snapshot up to offset {r.basis}, part {r.part + 1} of {r.parts}",
}
"""Kind of record to its sentence."""


def line(record: Head, offset: int, verdict: Verdict) -> str:
    """A record as one line: when, where in the log, what; and why it does not count when it does not."""
    ignored = f"  [ignored: {verdict.reason.replace('_', ' ')}]" if isinstance(verdict, Ignored) else ""
    return f"{event_time(record.at_ns)}  @{offset:<7} {SENTENCES[kind(record)](record)}{ignored}"
