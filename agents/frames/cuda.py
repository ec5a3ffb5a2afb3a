"""Opens the GPU of a process: one pool of memory for all libraries, the kernels, the tables.

The process sees one device (``CUDA_VISIBLE_DEVICES`` names it), so that every library and every thread
means the same one by ordinal 0. Import only where a GPU is used, and before anything else has used it.
"""

from __future__ import annotations

import logging

from numba import config

from agents.frames.backend import Backend

log = logging.getLogger("tapestream.frames")

BATCH_TICKS = 65_536
"""Ticks of one launch at most: enough to fill an H100's copy engine, few enough to be decoded in 10 ms."""


def simulated() -> bool:
    """Whether Numba interprets the kernels: ``NUMBA_ENABLE_CUDASIM=1``, for tests of the GPU's code."""
    return bool(config.ENABLE_CUDASIM)


def open_device(memory_limit_bytes: int, name: str = "cuda:0") -> Backend:
    """Make the process's GPU ready.

    Parameters
    ----------
    memory_limit_bytes
        What kernels, cuDF and torch may take together.
    name
        For logs and reports.
    """
    if simulated():
        log.warning(
            "NUMBA_ENABLE_CUDASIM is set: the GPU is SIMULATED, by the Python interpreter and pandas; "
            "for tests only, thousands of times slower than a CPU"
        )
    else:
        share_memory(memory_limit_bytes)
    from agents.frames.device import DeviceTable
    from agents.kernels.cuda import CudaPartition

    name = f"simulated {name}" if simulated() else name
    return Backend(name, CudaPartition, CudaPartition.run, DeviceTable, BATCH_TICKS)


def share_memory(limit_bytes: int) -> None:
    """One stream-ordered pool with a limit, for cuDF, Numba's arrays and torch alike.

    A request beyond the limit fails in this process and never takes memory that is another's.
    """
    import rmm.mr
    import torch
    from numba import cuda
    from rmm.allocators.numba import RMMNumbaManager
    from rmm.allocators.torch import rmm_torch_allocator

    pool = rmm.mr.LimitingResourceAdaptor(rmm.mr.CudaAsyncMemoryResource(), limit_bytes)
    rmm.mr.set_current_device_resource(pool)
    cuda.set_memory_manager(RMMNumbaManager)
    torch.cuda.memory.change_current_allocator(rmm_torch_allocator)
