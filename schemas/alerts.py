"""Alerts about GPU memory: the messages of ``gpu.memory.alerts``, keyed by device.

A device has at most one open alert of each kind. It is opened, may be escalated and eased, and is closed; all
messages of one alert have its id.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.devices import Bytes
from schemas.messages import Message

AlertLevel = Literal["WARN", "HIGH", "CRITICAL"]
AlertKind = Literal["device_memory", "torch_reserved", "rmm_pool"]
AlertEvent = Literal["opened", "escalated", "eased", "closed"]


class Crossing(Message):
    """When memory is expected to reach a threshold; null where not within the forecast's horizon."""

    level: AlertLevel
    seconds: float | None = None
    earliest_s: Annotated[float | None, Field(description="where the upper bound gets there")] = None
    latest_s: Annotated[float | None, Field(description="where the lower bound gets there")] = None


class MemoryAlert(Message):
    """One step in the life of an alert."""

    alert_id: Annotated[str, Field(description="device, kind and time of opening")]
    gpu_uuid: str
    kind: Annotated[
        AlertKind, Field(description="whose memory: the device's, torch's allocator's, RMM's pool's")
    ]
    event: AlertEvent
    level: Annotated[AlertLevel, Field(description="now; of a closed alert the one that it left")]
    used_bytes: Bytes
    capacity_bytes: Bytes
    opened_ns: int
    at_ns: Annotated[int, Field(description="of the sample that decided, ns since 1970-01-01 UTC")]
    forecast: list[Crossing] = Field(default_factory=list, description="of the levels above this one")
    skill: Annotated[
        dict[str, float],
        Field(description="of forecasts, by seconds ahead: 1 perfect, 0 as good as saying that all stays"),
    ] = Field(default_factory=dict)
    reason: Annotated[str, Field(description="for people")] = ""
    domain: Annotated[str, Field(description="the ledger whose owner says so")] = "default"
    epoch: Annotated[
        int, Field(ge=0, description="of that owner; what one of an earlier epoch says later does not count")
    ] = 0
