"""Whether CUDA can compute on the devices that a process sees: tried, in a child process, with a kernel.

NVML may list what CUDA cannot use: another driver's library, a device in prohibited mode, one that
``CUDA_VISIBLE_DEVICES`` hides, one that crashes whoever touches it. A context takes some hundred MB of a
device while the probe runs, so it is made at the start and when a device comes back, not all the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.discovery.child import LineChild
from orchestrator.discovery.visible import VARIABLE, Visible
from schemas import codec

MODULE = "orchestrator.discovery.probe_child"
STEP_LIMIT_S = 20.0
"""How long one step may take: making a context on a large machine takes seconds."""


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """What became of the probe of one device.

    Attributes
    ----------
    uuid_hex
        The device's uuid, 32 hexadecimal digits; CUDA does not say whether it is a GPU's or an instance's.
    problem
        Why it cannot compute; empty when it can.
    cuda_version
        The newest CUDA that its driver knows, 1000 × major + 10 × minor.
    free_bytes
        Memory free when it had computed.
    """

    cuda_ordinal: int
    uuid_hex: str | None = None
    name: str | None = None
    problem: str = ""
    cuda_version: int | None = field(default=None, compare=False)
    free_bytes: int | None = field(default=None, compare=False)

    def is_(self, gpu_uuid: str | None) -> bool:
        """Whether this is the device of that uuid."""
        return bool(self.uuid_hex) and gpu_uuid is not None and hex_of(gpu_uuid) == self.uuid_hex


@dataclass(frozen=True, slots=True)
class CudaReport:
    """The devices that CUDA shows, and why it shows none where it does not."""

    devices: tuple[CudaDevice, ...]
    problem: str = ""

    def of(self, gpu_uuid: str | None) -> CudaDevice | None:
        """The probe of a device; None when CUDA does not show it."""
        return next((device for device in self.devices if device.is_(gpu_uuid)), None)


def hex_of(gpu_uuid: str) -> str:
    """The digits of ``GPU-…`` or ``MIG-…``."""
    return gpu_uuid.partition("-")[2].replace("-", "").lower()


def probe_cuda(
    environment: Mapping[str, str] | None = None, *, step_limit_s: float = STEP_LIMIT_S
) -> CudaReport:
    """Compute on each device that CUDA shows to a process with this environment.

    A child that crashes or hangs on a device is an answer about that device; the ones after it are then
    probed by another child. Blocks for some seconds.

    Parameters
    ----------
    environment
        Where ``CUDA_VISIBLE_DEVICES`` may stand; ours when absent.
    """
    found: dict[int, CudaDevice] = {}
    first, count = 0, 1
    while first < count:
        child = LineChild(MODULE, [str(first)], environment)
        try:
            last, count, problem = _hear_out(child, found, count, step_limit_s)
        finally:
            child.end()
        if last is None:
            return CudaReport((), problem or "CUDA shows no device" if not found else problem)
        if problem:
            found[last] = replace(found.get(last, CudaDevice(last)), problem=problem)
        first = last + 1
    return CudaReport(tuple(found[ordinal] for ordinal in sorted(found)))


def probe_usable(
    visible: Visible, environment: Mapping[str, str], *, step_limit_s: float = STEP_LIMIT_S
) -> CudaReport:
    """Compute on everything that may be used: what a process sees, and what MIG hides from it by itself.

    Parameters
    ----------
    visible
        By the environment's ``CUDA_VISIBLE_DEVICES``.
    """
    report = probe_cuda(environment, step_limit_s=step_limit_s)
    devices, problem = report.devices, report.problem
    for uuid in visible.usable:
        if uuid not in visible.gpu_uuids and report.of(uuid) is None:
            alone = probe_cuda({**environment, VARIABLE: uuid}, step_limit_s=step_limit_s)
            devices, problem = (*devices, *alone.devices), problem or alone.problem
    return CudaReport(devices, problem)


def _hear_out(
    child: LineChild, found: dict[int, CudaDevice], count: int, step_limit_s: float
) -> tuple[int | None, int, str]:
    """What a child tells until it ends: the last ordinal it spoke of, how many there are, its trouble."""
    ordinal: int | None = None
    step = "starting CUDA"
    while True:
        line = child.hear(step_limit_s)
        if line is None:
            return ordinal, count, f"{step} did not end within {step_limit_s:g} s"
        if not line:
            if child.ending() == "ended with exit code 0":
                return ordinal, count, ""
            return ordinal, count, f"{step}: the process {child.ending()}"
        answer = codec.loads(line)
        if "ordinal" not in answer:
            if "problem" in answer:
                return None, count, str(answer["problem"])
            count = int(answer["count"])
            continue
        ordinal = int(answer["ordinal"])
        step = answer.get("step", step)
        found[ordinal] = _heard(found.get(ordinal, CudaDevice(ordinal)), answer)


def _heard(device: CudaDevice, answer: Mapping[str, Any]) -> CudaDevice:
    if "uuid" in answer:
        return replace(
            device, uuid_hex=answer["uuid"], name=answer["name"], cuda_version=answer["cuda_version"]
        )
    if "works" in answer:
        return replace(device, free_bytes=answer["free_bytes"])
    return replace(device, problem=answer.get("problem", device.problem))
