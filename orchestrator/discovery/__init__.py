"""Which devices there are, whether they can compute, and how they are.

In two stages: what NVML lists (:mod:`~orchestrator.discovery.reader`, asked in a child process, because a
call of a sick driver may never return), then whether CUDA can compute there (``probe``).
Listed is not usable. An absent driver is an answer, not an error, and any single value may be missing.
"""

from orchestrator.discovery.cpu import CpuPool, cpu_pool
from orchestrator.discovery.inventory import Device, GpuProcess, Instance, Inventory, Link, Vitals
from orchestrator.discovery.probe import CudaDevice, CudaReport, probe_cuda
from orchestrator.discovery.reader import InventoryReader, take_inventory
from orchestrator.discovery.visible import Visible, visible_devices

__all__ = [
    "CpuPool",
    "CudaDevice",
    "CudaReport",
    "Device",
    "GpuProcess",
    "Instance",
    "Inventory",
    "InventoryReader",
    "Link",
    "Visible",
    "Vitals",
    "cpu_pool",
    "probe_cuda",
    "take_inventory",
    "visible_devices",
]
