"""From the read model to what is answered. Pure: the time is an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

from orchestrator.api import bodies, problems
from orchestrator.api.forecast_views import forecast
from orchestrator.api.market_views import lag_seconds
from orchestrator.api.model import ReadModel, TaskRow
from orchestrator.guard import PeakEstimate
from orchestrator.guard.policies import in_force
from schemas import codec
from schemas.alerts import AlertLevel, MemoryAlert
from schemas.commands import PolicyName
from schemas.devices import DeviceReport

LEVELS: tuple[AlertLevel, ...] = ("WARN", "HIGH", "CRITICAL")

SEARCHED = 5_000
"""Tasks that a filtered page looks at; a page may therefore be short and still have a next one."""


def stats(model: ReadModel, at_ms: int) -> bodies.Stats:
    """Everything in a few numbers."""
    tasks = model.tasks
    oldest_ms = tasks.oldest_waiting_ms()
    return bodies.Stats(
        at_ms=at_ms,
        ready=model.caught_up,
        tasks={state: count for state, count in sorted(tasks.states.items()) if count},
        submitted=tasks.submitted,
        ended=tasks.ended,
        queue=bodies.QueueStats(
            waiting=tasks.states["QUEUED"],
            oldest_wait_ms=None if oldest_ms is None else max(0, at_ms - oldest_ms),
        ),
        devices=_sum(model.devices.values()),
        leases=sum(len(state.leases) for state in model.decisions.domains.values()),
        open_alerts=dict(Counter(alert.level for alert in model.open_alerts)),
        peaks=[_peak(estimate) for estimate in model.peaks.all()],
        forecasts=[forecast(found) for found in model.forecasts.all()],
        policy=model.policy_name,
    )


def _peak(estimate: PeakEstimate) -> bodies.PeakBody:
    return bodies.PeakBody(
        task_type=estimate.task_type,
        lane=estimate.lane,
        peak_bytes=estimate.peak_bytes,
        tasks=estimate.count,
        calibration=estimate.calibration,
    )


def _sum(reports: Iterable[DeviceReport]) -> bodies.DeviceStats:
    count = healthy = memory = free = own = strangers = 0
    for report in reports:
        count += 1
        healthy += report.health == "HEALTHY"
        memory += report.memory_bytes or 0
        free += report.free_bytes or 0
        own += report.own_bytes or 0
        strangers += report.stranger_bytes or 0
    return bodies.DeviceStats(
        count=count,
        healthy=healthy,
        memory_bytes=memory,
        free_bytes=free,
        own_bytes=own,
        stranger_bytes=strangers,
    )


def moment(model: ReadModel, at_ms: int) -> bodies.Moment:
    """A sample for the history."""
    now = stats(model, at_ms)
    parts = model.market.partitions()
    return bodies.Moment(
        at_ms=at_ms,
        ticks_in=sum(part.ticks_in for part in parts),
        signals=sum(part.signals for part in parts),
        lag_seconds=lag_seconds(model.market, at_ms),
        waiting=now.queue.waiting,
        running=now.tasks.get("RUNNING", 0),
        submitted=now.submitted,
        ended=now.ended,
        used_bytes=now.devices.memory_bytes - now.devices.free_bytes,
        memory_bytes=now.devices.memory_bytes,
    )


def resources(model: ReadModel, at_ms: int) -> bodies.Resources:
    """All devices, by host and id."""
    worst = _worst(model.open_alerts)
    reports = sorted(model.devices.values(), key=lambda report: (report.host, report.gpu_uuid))
    return bodies.Resources(devices=[_device(model, report, worst, at_ms) for report in reports])


def _worst(alerts: Iterable[MemoryAlert]) -> dict[str, AlertLevel]:
    worst: dict[str, AlertLevel] = {}
    for alert in alerts:
        before = worst.get(alert.gpu_uuid, "WARN")
        worst[alert.gpu_uuid] = max(before, alert.level, key=LEVELS.index)
    return worst


def _device(
    model: ReadModel, report: DeviceReport, worst: dict[str, AlertLevel], at_ms: int
) -> bodies.DeviceBody:
    promised = model.decisions.device(report.gpu_uuid)
    return bodies.DeviceBody(
        report=report,
        age_ms=max(0, at_ms - report.at_ns // 1_000_000),
        leased_bytes=promised.leased_bytes if promised else None,
        reclaiming_bytes=promised.reclaiming_bytes if promised else None,
        ledger_free_bytes=max(0, promised.free_bytes) if promised else None,
        alert=worst.get(report.gpu_uuid),
        admission_stopped=promised.stopped if promised else None,
    )


def task(row: TaskRow) -> bodies.TaskBody:
    """A task for the list."""
    return bodies.TaskBody(**_task_fields(row))


def task_detail(row: TaskRow, request: bytes | None, result: bytes | None) -> bodies.TaskDetail:
    """A task with its messages."""
    return bodies.TaskDetail(
        **_task_fields(row),
        request=None if request is None else codec.loads(request),
        result=None if result is None else codec.loads(result),
    )


def _task_fields(row: TaskRow) -> dict[str, Any]:
    names = bodies.TaskBody.model_fields
    found = {name: getattr(row, name) for name in names}
    return found | {"gpu_uuids": list(row.gpu_uuids), "stage": row.stage or None}


def task_page(
    model: ReadModel, *, limit: int, cursor: str | None, state: str | None, task_type: str | None
) -> bodies.TaskPage:
    """Tasks, the newest first.

    Raises
    ------
    ApiProblem
        When the cursor is none of ours.
    """
    found: list[TaskRow] = []
    last: TaskRow | None = None
    for searched, row in enumerate(model.tasks.newest_first(parse_cursor(cursor))):
        if len(found) == limit or searched == SEARCHED:
            break
        last = row
        if state in (None, row.state) and task_type in (None, row.task_type):
            found.append(row)
    else:
        last = None  # there are no more
    next_cursor = None if last is None else f"{last.submitted_ms}~{last.task_id}"
    return bodies.TaskPage(tasks=[task(row) for row in found], next_cursor=next_cursor)


def parse_cursor(cursor: str | None) -> tuple[int, str] | None:
    """Where the last page ended."""
    if cursor is None:
        return None
    at_ms, tilde, task_id = cursor.partition("~")
    if not (tilde and at_ms.isascii() and at_ms.isdigit() and len(at_ms) < 19):
        raise problems.bad_request("no cursor of ours", "take next_cursor of the last page", field="cursor")
    return int(at_ms), task_id


def alerts(model: ReadModel, limit: int) -> bodies.Alerts:
    """What is open, and the latest messages."""
    return bodies.Alerts(
        open=model.open_alerts[::-1][:limit],
        recent=list(islice(reversed(model.recent_alerts), limit)),
    )


def policy(model: ReadModel) -> bodies.Policy:
    """What the memory guards follow."""
    chosen = model.policy
    name: PolicyName = model.policy_name
    return bodies.Policy(
        policy=name,
        at_ns=chosen.at_ns if chosen else None,
        requested_by=(chosen.requested_by or None) if chosen else None,
        actions={level: list(in_force(name, level)) for level in LEVELS},
    )


def allocations(model: ReadModel, *, limit: int, cursor: str | None) -> bodies.Allocations:
    """Who has what, and why."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise problems.bad_request("no cursor of ours", "take next_cursor of the last page", field="cursor")
    before = model.decisions.before(None if cursor is None else int(cursor))
    found = list(islice(before, limit + 1))
    leases = [
        bodies.LeaseBody(
            domain=domain,
            task_id=lease.task_id,
            attempt=lease.attempt,
            gpu_uuids=list(lease.gpu_uuids),
            memory_bytes=lease.memory_bytes,
            granted_ns=lease.granted_ns,
            expires_ns=lease.expires_ns,
            agent=lease.agent,
            reclaiming=lease.reclaiming,
        )
        for domain, lease in model.decisions.leases()[:1_000]
    ]
    decisions = [
        bodies.DecisionBody(
            offset=seen.offset,
            verdict="accepted" if seen.ignored is None else "ignored",
            reason=seen.ignored,
            record=codec.loads(seen.payload),
        )
        for seen in found[:limit]
    ]
    next_cursor = str(decisions[-1].offset) if len(found) > limit else None
    return bodies.Allocations(leases=leases, decisions=decisions, next_cursor=next_cursor)
