"""What frames are computed on, and the one place that knows: NumPy on the CPU, cuDF on a GPU.

A :class:`Backend` moves a partition's state on and makes the tables that features of one's own see.
:data:`CPU` is always there; :mod:`agents.frames.cuda` opens a GPU and is imported only where one is used.
"""

from agents.frames.backend import CPU, Backend, DeviceKernel, Kernel
from agents.frames.table import Column, Table, TickFrame

__all__ = ["CPU", "Backend", "Column", "DeviceKernel", "Kernel", "Table", "TickFrame"]
