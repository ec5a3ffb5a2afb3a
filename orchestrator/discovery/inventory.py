"""What one look at the driver finds. Plain data without imports; None where the driver says nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a device, by the pid that the driver's host knows."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class Instance:
    """A MIG instance: a device of its own, cut from a GPU."""

    gpu_uuid: str | None
    mig_index: int
    name: str | None = None
    memory_bytes: int | None = None
    free_bytes: int | None = None
    processes: tuple[GpuProcess, ...] | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a device is.

    Attributes
    ----------
    ecc_volatile, ecc_aggregate
        Uncorrected memory errors since the driver was loaded, and in the device's life.
    retired_pages, remapped_rows
        Memory taken out of use for such errors: pages on older devices, rows on newer ones.
    retirement_pending, remap_pending
        Whether more of it will be taken out at the next reset.
    remap_failure
        Whether spare rows have run out.
    throttle
        Why clocks are below what was asked for; empty when they are not.
    utilisation
        Share of the last sample period in which a kernel ran, 0 to 1.
    xids
        The driver's error events since the look before. Those before the first look are not told.
    """

    ecc_volatile: int | None = None
    ecc_aggregate: int | None = None
    retired_pages: int | None = None
    retirement_pending: bool | None = None
    remapped_rows: int | None = None
    remap_pending: bool | None = None
    remap_failure: bool | None = None
    throttle: tuple[str, ...] | None = None
    utilisation: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    xids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """What NVML says of one device.

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
    pci_bus_id
        Where it is plugged in, ``domain:bus:device.function``.
    lost
        Whether the driver has given it up until a reset.
    problem
        Why it could not be read; empty when it could.
    """

    gpu_uuid: str | None
    nvml_index: int
    name: str | None = None
    memory_bytes: int | None = None
    free_bytes: int | None = None
    mig: bool | None = None
    pci_bus_id: str | None = None
    processes: tuple[GpuProcess, ...] | None = None
    instances: tuple[Instance, ...] = ()
    vitals: Vitals = Vitals()
    lost: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """How two devices reach each other.

    Attributes
    ----------
    nvlinks
        NVLinks between them, directly or through a switch; None where the driver does not say.
    path
        The farthest that PCIe traffic between them passes, for people, like ``the host bridge``.
    """

    nvml_index: int
    other_index: int
    nvlinks: int | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """The devices that NVML lists, the driver's version, and why there are none where there are none."""

    devices: tuple[Device, ...]
    driver: str | None = None
    absence: str = ""
    links: tuple[Link, ...] = ()
