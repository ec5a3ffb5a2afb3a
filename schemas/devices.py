"""What a device says of itself on ``gpu.devices``: an NVIDIA GPU, a MIG instance, or a pool of CPU slots."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.messages import Message

Bytes = Annotated[int, Field(ge=0, lt=2**63)]

Health = Literal["UNKNOWN", "HEALTHY", "SUSPECT", "QUARANTINED", "PROBATION", "LOST"]


CPU_PREFIX = "CPU-"
"""How the ``gpu_uuid`` of a pool of CPU slots begins."""


def cpu_pool_uuid(host: str) -> str:
    """The ``gpu_uuid`` of a host's pool of CPU slots."""
    return f"{CPU_PREFIX}{host}"


class DeviceReport(Message):
    """One look at one device, once a second; null where the driver does not say."""

    gpu_uuid: Annotated[str, Field(min_length=1, description="identity: GPU-…, MIG-… or CPU-<host>")]
    kind: Literal["gpu", "mig", "cpu"]
    host: str
    name: str | None = None
    nvml_index: int | None = None
    cuda_ordinal: Annotated[int | None, Field(description="null when CUDA cannot compute on it")] = None
    health: Health
    reasons: list[str] = Field(default_factory=list, description="why it is in that state, for people")
    at_ns: Annotated[int, Field(description="when it was measured, ns since 1970-01-01 UTC")]
    memory_bytes: Bytes | None = None
    free_bytes: Bytes | None = None
    own_bytes: Annotated[Bytes | None, Field(description="used by processes that we started")] = None
    stranger_bytes: Annotated[Bytes | None, Field(description="used by others; measured, never touched")] = (
        None
    )
    parent_uuid: Annotated[
        str | None, Field(description="of a MIG instance: the GPU that it is cut from")
    ] = None
    processes: Annotated[int | None, Field(ge=0, description="processes that hold its memory")] = None
    uncorrected_errors: Annotated[
        int | None, Field(ge=0, description="memory errors since the driver was loaded")
    ] = None
    throttle: list[str] = Field(default_factory=list, description="why its clocks are held back")
    slots: Annotated[int, Field(ge=1, description="tasks that may run at once")] = 1
    utilisation: Annotated[float | None, Field(ge=0, le=1)] = None
    temperature_c: float | None = None
    power_w: float | None = None
