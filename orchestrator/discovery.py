"""Which NVIDIA devices the driver lists: the inventory of NVML. The only module that knows NVML.

Listed is not usable: whether CUDA can compute on a device is another question, asked elsewhere. An absent
driver is an answer, not an error, and any single value may be missing on some device or driver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Device:
    """What NVML says of one device; None where it says nothing.

    Attributes
    ----------
    gpu_uuid
        The device's identity.
    nvml_index
        Its place in NVML's list, which is not CUDA's ordinal.
    memory_bytes, free_bytes
        All of its memory, and what nobody uses at the moment.
    mig
        Whether it is split into instances.
    """

    gpu_uuid: str | None
    nvml_index: int
    name: str | None
    memory_bytes: int | None
    free_bytes: int | None
    mig: bool | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """The devices that NVML lists, the driver's version, and why there are none where there are none."""

    devices: tuple[Device, ...]
    driver: str | None = None
    absence: str = ""


def inventory(nvml: Any = None) -> Inventory:
    """Ask NVML once.

    Parameters
    ----------
    nvml
        What speaks for the driver, ``pynvml`` when absent.
    """
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as exc:
        return Inventory((), absence=str(exc))
    try:
        driver = _or_none(nvml, lambda: _text(nvml.nvmlSystemGetDriverVersion()))
        count = _or_none(nvml, nvml.nvmlDeviceGetCount) or 0
        devices = [_device(nvml, index) for index in range(count)]
    finally:
        nvml.nvmlShutdown()
    found = tuple(device for device in devices if device is not None)
    return Inventory(found, driver, "" if found else "the driver lists no device")


def _device(nvml: Any, index: int) -> Device | None:
    handle = _or_none(nvml, lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if handle is None:  # fallen off the bus, or not ours to see
        return None
    memory = _or_none(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    return Device(
        gpu_uuid=_or_none(nvml, lambda: _text(nvml.nvmlDeviceGetUUID(handle))),
        nvml_index=index,
        name=_or_none(nvml, lambda: _text(nvml.nvmlDeviceGetName(handle))),
        memory_bytes=None if memory is None else int(memory.total),
        free_bytes=None if memory is None else int(memory.free),
        mig=_or_none(nvml, lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0])),
    )


def _or_none(nvml: Any, ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except nvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # older bindings answer in bytes
