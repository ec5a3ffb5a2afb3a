"""Which device a worker computes on: what was asked for, against what the machine has. Decided purely.

Every way in which a GPU cannot be used has one line and a remedy of its own, of :mod:`agents.dense.start`
where others meet it too; ``auto`` says that line and takes the CPU.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ByteSize, TypeAdapter, ValidationError

from agents.dense.start import (
    BUSY,
    GIB,
    NO_DEVICE,
    NO_DRIVER,
    OLD_DRIVER,
    Refusal,
    meaning,
    too_little,
)
from orchestrator.discovery.probe import CudaDevice, CudaReport, hex_of, probe_cuda
from orchestrator.discovery.visible import VARIABLE
from schemas.errors import SettingsError

PACKAGES = ("cudf", "rmm", "numba_cuda")
CUDA_VERSION = 13_000
"""What the packages of the ``gpu`` extra are built for, as CUDA counts: 1000 × major + 10 × minor."""
LEAST_BYTES = 1 << 30
"""A context takes half of it."""
CONTEXT_BYTES = LEAST_BYTES // 2
"""What a process takes of a GPU beside what its limit bounds."""
SHARE = 0.9
"""Of the free memory, where no limit is given."""

SIMULATED = "NUMBA_ENABLE_CUDASIM"

_WHOLE_UUID = re.compile(r"(?:GPU|MIG)-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_GPU = re.compile(r"cuda(?::(\d+))?|((?:GPU|MIG)-[0-9a-fA-F-]+)")


@dataclass(frozen=True, slots=True)
class Choice:
    """The device, and what to say of it.

    Attributes
    ----------
    cuda
        Whether it is a GPU.
    visible
        ``CUDA_VISIBLE_DEVICES`` for the worker, so that it sees this device alone; None to leave it.
    memory_limit_bytes
        What the worker may take of the GPU's memory.
    line
        The device and why, for the log.
    """

    cuda: bool
    line: str
    visible: str | None = None
    memory_limit_bytes: int = 0

    @property
    def seen_as(self) -> str:
        """What the worker, which sees it alone, calls it: its uuid where that is known, or an ordinal."""
        if not self.cuda:
            return "cpu"
        return self.visible if self.visible and _WHOLE_UUID.fullmatch(self.visible) else "cuda:0"


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one of several workers computes: its ``--device`` and, on a GPU, its ``--memory-limit``."""

    device: str
    memory_limit_bytes: int | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """For the worker's command line."""
        limit = self.memory_limit_bytes
        return ("--device", self.device, *(() if limit is None else ("--memory-limit", str(limit))))


def missing_packages(simulated: bool) -> tuple[str, ...]:
    """What the GPU path needs and is not installed."""
    needed = ("pandas",) if simulated else PACKAGES
    return tuple(name for name in needed if importlib.util.find_spec(name) is None)


def choose_device(
    wish: str,
    memory_limit: str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    missing: tuple[str, ...] | None = None,
    probe: Callable[[Mapping[str, str]], CudaReport] = probe_cuda,
) -> Choice:
    """Resolve ``auto``, ``cpu``, ``cuda:N``, ``GPU-uuid`` or ``MIG-uuid``.

    Parameters
    ----------
    memory_limit
        Such as ``8GiB`` or a number of bytes; 90 % of what is free when absent.
    environment
        Where ``CUDA_VISIBLE_DEVICES`` stands, by which ordinals count.
    missing
        See :func:`missing_packages`, which is asked when absent.
    probe
        Computes on every device; only called where it matters.

    Raises
    ------
    SettingsError
        When the device that was asked for is unknown or cannot be used.
    """
    limit = _bytes(memory_limit)
    if wish == "cpu":
        return Choice(False, "the CPU, as asked")
    asked = _asked(wish)
    simulated = environment.get(SIMULATED) == "1"
    absent = missing_packages(simulated) if missing is None else missing
    if simulated:
        return _simulated(wish, absent)
    found = _usable(asked, wish, limit, environment, absent, probe)
    if not isinstance(found, Refusal):
        return found[0][1]
    if wish == "auto":
        return Choice(False, f"the CPU, since no GPU can be used: {found.problem}")
    raise SettingsError(f"device {wish}: {found.problem}", found.remedy)


def seats(
    workers: int,
    wish: str,
    *,
    environment: Mapping[str, str] = os.environ,
    missing: tuple[str, ...] | None = None,
    probe: Callable[[Mapping[str, str]], CudaReport] = probe_cuda,
) -> list[Seat]:
    """Deal devices to workers that start together, and to those of one device equal parts of its memory.

    Each by itself would find the same device free and take nearly all of it. With ``auto`` a worker gets the
    GPU on which its part is largest, and the CPU once no part is large enough.

    Parameters
    ----------
    wish
        As of :func:`choose_device`, and so are the others.

    Raises
    ------
    SettingsError
        When the device that was asked for is unknown, cannot be used, or has too little memory for all.
    """
    if wish == "cpu" or environment.get(SIMULATED) == "1":
        return [Seat(wish)] * workers
    asked = _asked(wish)
    absent = missing_packages(simulated=False) if missing is None else missing
    found = _usable(asked, wish, None, environment, absent, probe)
    if isinstance(found, Refusal):
        if wish != "auto":
            raise SettingsError(f"device {wish}: {found.problem}", found.remedy)
        return [Seat(wish)] * workers  # each says why it takes the CPU
    free = {device.cuda_ordinal: int(SHARE * (device.free_bytes or 0)) for device, _ in found}
    dealt: list[int | None] = []
    for _ in range(workers):
        best = max(free, key=lambda ordinal: (free[ordinal] // (dealt.count(ordinal) + 1), -ordinal))
        dealt.append(best if free[best] // (dealt.count(best) + 1) >= LEAST_BYTES else None)
    if wish != "auto" and None in dealt:
        refusal = too_little(found[0][0].free_bytes or 0, int(workers * LEAST_BYTES / SHARE))
        problem = f"device {wish}: {refusal.problem} for {workers} workers"
        raise SettingsError(problem, f"{refusal.remedy}; --workers sets how many")
    return [
        Seat("cpu")
        if ordinal is None
        else Seat(
            wish if wish.startswith("MIG-") else f"cuda:{ordinal}",
            _part(free[ordinal], dealt.count(ordinal)),
        )
        for ordinal in dealt
    ]


def _part(bytes_: int, workers: int) -> int:
    """One worker's limit, so that a worker which comes back still finds it free beside the others."""
    return bytes_ if workers == 1 else bytes_ // workers - CONTEXT_BYTES


def _asked(wish: str) -> re.Match[str] | None:
    """The GPU that is named; None with ``auto``."""
    asked = _GPU.fullmatch(wish)
    if wish != "auto" and asked is None:
        raise SettingsError(f"device {wish!r} is unknown", "use auto, cpu, cuda:N, GPU-uuid or MIG-uuid")
    return asked


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0
    if size <= 0:
        raise SettingsError(f"memory limit {text!r} is no size", "write it as 8GiB, 500MiB or in bytes")
    return size


def _simulated(wish: str, absent: tuple[str, ...]) -> Choice:
    """The simulator is one device, and nobody gets it without asking for it."""
    if wish == "auto":
        return Choice(False, "the CPU, since the GPU is simulated and must be asked for as cuda:0")
    if wish not in ("cuda", "cuda:0"):
        raise SettingsError(f"device {wish}: the simulator has cuda:0 alone", "unset NUMBA_ENABLE_CUDASIM")
    if absent:
        raise SettingsError(f"device {wish}: the simulator needs {', '.join(absent)}", "pip install pandas")
    return Choice(True, "a SIMULATED GPU, since NUMBA_ENABLE_CUDASIM=1")


def _usable(
    asked: re.Match[str] | None,
    wish: str,
    limit: int | None,
    environment: Mapping[str, str],
    absent: tuple[str, ...],
    probe: Callable[[Mapping[str, str]], CudaReport],
) -> list[tuple[CudaDevice, Choice]] | Refusal:
    """The devices that fit the wish and can be used, the best first; at least one."""
    if absent:
        return Refusal(
            f"{', '.join(absent)} not installed",
            "make setup EXTRAS=dev,gpu, or pip install 'tapestream[gpu]'",
        )
    if wish.startswith("MIG-") and wish in environment.get(VARIABLE, wish).split(","):
        environment = {**environment, VARIABLE: wish}  # of several instances CUDA shows only the first
    report = probe(environment)
    refusal = _driver(report, environment)
    if refusal is not None:
        return refusal
    candidates = sorted(report.devices, key=lambda d: (-(d.free_bytes or 0), d.cuda_ordinal))
    if asked is not None:
        candidates = [d for d in report.devices if _is(d, asked)]
    if not candidates:
        shown = ", ".join(f"cuda:{d.cuda_ordinal} = {d.name} {d.uuid_hex}" for d in report.devices)
        return Refusal(f"CUDA shows no such device, but {shown}{_variable(environment)}", "use one of these")
    judged = [(device, _judged(device, report, limit, environment)) for device in candidates]
    usable = [(device, choice) for device, choice in judged if isinstance(choice, Choice)]
    refused = [refusal for _, refusal in judged if isinstance(refusal, Refusal)]
    return usable or refused[0]


def _driver(report: CudaReport, environment: Mapping[str, str]) -> Refusal | None:
    """What is wrong with the machine as a whole."""
    if "libcuda" in report.problem:
        return Refusal(f"{NO_DRIVER.problem}: libcuda.so.1 is not found", NO_DRIVER.remedy)
    if not report.devices:
        said = f"{NO_DEVICE.problem}: {report.problem}{_variable(environment)}"
        return Refusal(said, NO_DEVICE.remedy)
    return None


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _variable(environment: Mapping[str, str]) -> str:
    value = environment.get(VARIABLE)
    return "" if value is None else f" ({VARIABLE}={value})"


def _is(device: CudaDevice, asked: re.Match[str]) -> bool:
    if asked[2]:
        return device.uuid_hex is not None and device.uuid_hex == hex_of(asked[2])
    return device.cuda_ordinal == int(asked[1] or 0)


def _judged(
    device: CudaDevice, report: CudaReport, limit: int | None, environment: Mapping[str, str]
) -> Choice | Refusal:
    """Whether a device can be used within a limit."""
    where = f"{device.name} (cuda:{device.cuda_ordinal}, uuid {device.uuid_hex})"
    if meaning(device.problem) == BUSY:
        return Refusal(f"{where} {BUSY.problem}", BUSY.remedy)
    if (device.cuda_version or CUDA_VERSION) < CUDA_VERSION:
        return Refusal(
            f"the driver of {where} knows CUDA {_version(device.cuda_version or 0)}, "
            f"the packages need {_version(CUDA_VERSION)}",
            OLD_DRIVER.remedy,
        )
    if device.problem:
        return Refusal(f"CUDA cannot compute on {where}: {device.problem}", "see tapestream gpus")
    free = device.free_bytes or 0
    if free < max(limit or 0, LEAST_BYTES):
        refusal = too_little(free, max(limit or 0, LEAST_BYTES))
        return Refusal(f"{where} {refusal.problem}", refusal.remedy)
    bound = limit or int(SHARE * free)
    line = f"{where}, {free / GIB:.1f} GiB free, at most {bound / GIB:.1f} of them ours"
    # With MIG one device is all that CUDA shows, so more than one are whole GPUs.
    visible = environment.get(VARIABLE) if len(report.devices) == 1 else _gpu_uuid(device)
    return Choice(True, line, visible, bound)


def _gpu_uuid(device: CudaDevice) -> str:
    digits = device.uuid_hex or ""
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
