"""What the API answers, as models: the OpenAPI document is made from them. Absent means null."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.alerts import AlertLevel, MemoryAlert
from schemas.allocations import Lane
from schemas.commands import Action, PolicyName
from schemas.devices import Bytes, DeviceReport
from schemas.messages import Signal
from schemas.tasks import CpuReason, Failure, TaskRequest, TaskResult, TaskState
from schemas.workers import WorkerReport

TASK_EXAMPLE: dict[str, Any] = {
    "task_type": "neural_analysis",
    "data": {"symbols": ["AAPL", "GOOGL"], "model": "LSTM"},
    "memory_required": 2_000_000_000,
}


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class Accepted(BaseModel):
    """A request that is on the log."""

    model_config = _example(
        task_id="0b9e4c1e-8a51-4f0a-9d33-3d2f5f3a7c11",
        state="QUEUED",
        repeated=False,
        href="/api/v1/gpu/tasks/0b9e4c1e-8a51-4f0a-9d33-3d2f5f3a7c11",
    )

    task_id: str
    state: TaskState
    repeated: Annotated[bool, Field(description="the same request was accepted before; nothing was done")]
    href: Annotated[str, Field(description="where to look what becomes of it")]


class TaskBody(BaseModel):
    """A task, as far as it is known."""

    task_id: str
    task_type: str
    state: TaskState
    priority: int
    memory_required: Bytes | None = None
    devices: int
    submitted_ms: Annotated[int, Field(description="ms since 1970-01-01 UTC")]
    updated_ms: int
    attempt: Annotated[int, Field(description="0 before the first")]
    gpu_uuids: list[str]
    progress: float | None = None
    stage: str | None = None
    cancel_requested: bool
    failure: Failure | None = None
    cpu_reason: CpuReason | None = None
    queued_ms: float | None = None
    ran_ms: float | None = None
    peak_memory_bytes: Bytes | None = None
    result_path: str | None = None


class TaskDetail(TaskBody):
    """A task with its request and, when it is over, its result; absent when the log no longer has them."""

    request: TaskRequest | None = None
    result: TaskResult | None = None


class TaskPage(BaseModel):
    """Tasks, the newest first."""

    tasks: list[TaskBody]
    next_cursor: Annotated[str | None, Field(description="for the next page; absent on the last")] = None


class DeviceBody(BaseModel):
    """A device: what it says of itself, and what is promised of it."""

    report: DeviceReport
    age_ms: Annotated[int, Field(description="of the report; a device reports once a second")]
    leased_bytes: Annotated[Bytes | None, Field(description="promised to tasks; absent without a ledger")] = (
        None
    )
    reclaiming_bytes: Annotated[Bytes | None, Field(description="taken back, not yet returned")] = None
    ledger_free_bytes: Bytes | None = None
    alert: Annotated[AlertLevel | None, Field(description="the worst open alert")] = None
    admission_stopped: Annotated[
        bool | None, Field(description="whether its memory is so low that no task is granted there")
    ] = None


class Resources(BaseModel):
    """All devices, by host and id."""

    devices: list[DeviceBody]


class QueueStats(BaseModel):
    """Tasks that wait."""

    waiting: int
    oldest_wait_ms: int | None = None


class DeviceStats(BaseModel):
    """Devices, added up; bytes of those that say theirs."""

    count: int
    healthy: int
    memory_bytes: int
    free_bytes: int
    own_bytes: int
    stranger_bytes: int


class PeakBody(BaseModel):
    """What 95 % of a type's tasks stay below, as far as their results say."""

    task_type: str
    lane: Lane
    peak_bytes: Annotated[Bytes | None, Field(description="absent while uncalibrated")] = None
    tasks: Annotated[int, Field(description="that it rests on")]
    calibration: Annotated[str, Field(description="for people: the tasks, or uncalibrated")]


class HorizonScore(BaseModel):
    """How far off the forecasts of memory so many seconds ahead were, beside "it stays as it is"."""

    seconds: int
    count: Annotated[int, Field(description="forecasts whose time has come, the latest of them")]
    mean_error: Annotated[float | None, Field(description="as a share of the capacity")] = None
    persistence_error: Annotated[float | None, Field(description="of saying that nothing changes")] = None
    skill: Annotated[
        float | None,
        Field(description="1 perfect, 0 as good as persistence; absent when nothing ever changed"),
    ] = None


class SideScore(BaseModel):
    """How often the forecasts so many seconds ahead were on the wrong side of a threshold."""

    seconds: int
    count: int
    wrong: int
    persistence_wrong: int
    skill: Annotated[
        float | None, Field(description="as above; absent while persistence was never wrong")
    ] = None


class ThresholdForecast(BaseModel):
    """When a threshold is expected to be reached, and how good forecasts have been about it."""

    level: AlertLevel
    enter: Annotated[float, Field(description="share of the capacity")]
    reached: bool
    seconds: Annotated[float | None, Field(description="absent when reached, or not within a minute")] = None
    earliest_s: Annotated[float | None, Field(description="where the upper bound gets there")] = None
    latest_s: Annotated[float | None, Field(description="where the lower bound gets there")] = None
    scores: list[SideScore]


class DeviceForecast(BaseModel):
    """Where a device's memory is going, scored against persistence."""

    gpu_uuid: str
    level: AlertLevel | None = None
    scores: list[HorizonScore]
    thresholds: list[ThresholdForecast]


class Stats(BaseModel):
    """Everything in a few numbers."""

    model_config = _example(
        at_ms=1_767_225_600_000,
        ready=True,
        tasks={"QUEUED": 2, "RUNNING": 1, "SUCCEEDED": 40},
        submitted=43,
        ended=40,
        queue={"waiting": 2, "oldest_wait_ms": 1_250},
        devices={
            "count": 1,
            "healthy": 1,
            "memory_bytes": 85_899_345_920,
            "free_bytes": 60_129_542_144,
            "own_bytes": 25_769_803_776,
            "stranger_bytes": 0,
        },
        leases=1,
        open_alerts={},
        policy="moderate",
        peaks=[
            {
                "task_type": "hft_analysis",
                "lane": "cpu",
                "peak_bytes": 61_865_984,
                "tasks": 25,
                "calibration": "25 tasks",
            }
        ],
        forecasts=[
            {
                "gpu_uuid": "CPU-host-a",
                "scores": [
                    {
                        "seconds": 5,
                        "count": 240,
                        "mean_error": 0.004,
                        "persistence_error": 0.005,
                        "skill": 0.2,
                    }
                ],
                "thresholds": [
                    {
                        "level": "WARN",
                        "enter": 0.8,
                        "reached": False,
                        "seconds": 41.0,
                        "earliest_s": 33.0,
                        "scores": [
                            {
                                "seconds": 5,
                                "count": 240,
                                "wrong": 3,
                                "persistence_wrong": 5,
                                "skill": 0.4,
                            }
                        ],
                    }
                ],
            }
        ],
    )

    at_ms: int
    ready: Annotated[bool, Field(description="whether the topics are read; until then numbers grow")]
    tasks: Annotated[dict[str, int], Field(description="tasks remembered, by state")]
    submitted: Annotated[int, Field(description="tasks seen on the log as it is kept")]
    ended: int
    queue: QueueStats
    devices: DeviceStats
    leases: int
    open_alerts: Annotated[dict[str, int], Field(description="by level")]
    policy: PolicyName
    peaks: Annotated[list[PeakBody], Field(description="memory by type of task and kind of device")]
    forecasts: Annotated[list[DeviceForecast], Field(description="of memory, by device, with their scores")]


class Spread(BaseModel):
    """Of the latest signals: half of them were quicker, and 99 in 100."""

    p50: float
    p99: float


class MarketStats(BaseModel):
    """The market stream: ticks by class since the log began, and how far its workers are behind."""

    at_ms: int
    ticks_in: int
    processed: int
    late: int
    duplicate: int
    dead: int
    held: Annotated[int, Field(description="that wait for their turn")]
    balanced: Annotated[bool, Field(description="whether the classes add up to what came in")]
    bars: int
    signals: int
    symbols: int
    lag_messages: int
    lag_seconds: Annotated[float | None, Field(description="the greatest; absent when no worker says")] = None
    latency_us: Annotated[dict[str, Spread], Field(description="by stage, of the latest signals")]
    workers: list[WorkerReport]


class Signals(BaseModel):
    """The latest signals, the newest first."""

    signals: list[Signal]


class Moment(BaseModel):
    """A sample of the history."""

    at_ms: int
    ticks_in: int
    signals: int
    lag_seconds: float | None = None
    waiting: int
    running: int
    submitted: int
    ended: int
    used_bytes: int
    memory_bytes: int


class History(BaseModel):
    """The last minutes, a sample every ``every_ms``."""

    every_ms: int
    moments: list[Moment]


class Alerts(BaseModel):
    """Alerts about memory: those that are open, and the latest messages, the newest first."""

    open: list[MemoryAlert]
    recent: list[MemoryAlert]


class PolicyChoice(BaseModel):
    """Which policy the memory guards shall follow."""

    model_config = _example(policy="aggressive")

    policy: PolicyName


class Policy(BaseModel):
    """The memory policy in force, and what it does at each level beside what the level before does."""

    model_config = _example(
        policy="moderate",
        at_ns=1_767_225_600_000_000_000,
        requested_by="api",
        actions={
            "WARN": [],
            "HIGH": ["pause_ticks", "empty_idle_caches", "clean_at_task_boundary"],
            "CRITICAL": ["stop_admission", "recycle_idle"],
        },
    )

    policy: PolicyName
    at_ns: Annotated[int | None, Field(description="when it was chosen; absent for the default")] = None
    requested_by: str | None = None
    actions: dict[AlertLevel, list[Action]]


class LeaseBody(BaseModel):
    """The right of one attempt to its devices."""

    domain: str
    task_id: str
    attempt: int
    gpu_uuids: list[str]
    memory_bytes: Annotated[Bytes, Field(description="on each device")]
    granted_ns: int
    expires_ns: int
    agent: str
    reclaiming: bool


class DecisionBody(BaseModel):
    """A record of ``orchestrator.allocations``, and whether it counts."""

    offset: int
    verdict: Literal["accepted", "ignored"]
    reason: Annotated[str | None, Field(description="the check that an ignored record failed")] = None
    record: Annotated[dict[str, Any], Field(description="as it is on the log")]


class Allocations(BaseModel):
    """Who has which device now, and the latest decisions, the newest first."""

    leases: list[LeaseBody]
    decisions: list[DecisionBody]
    next_cursor: str | None = None
