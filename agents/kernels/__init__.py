"""Order-flow kernels: from columns of ticks to rows of features and bars.

May import numpy and numba only, and nothing of ours: a kernel knows arrays, not the pipeline. The
scalar sources, the same for every target, are in :mod:`agents.kernels.scalar`; what drives them on
the CPU is :mod:`agents.kernels.run`, on CUDA :mod:`agents.kernels.cuda`.

Units everywhere: prices int64 in 1e-9 of the quote currency, sizes float64, times int64 nanoseconds.
"""

from agents.kernels.config import CLNV, EMO, LEE_READY, QUOTE, TICK, KernelConfig
from agents.kernels.names import BAR_FLOAT_NAMES, BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES
from agents.kernels.reorder import release
from agents.kernels.run import FrameResult, run
from agents.kernels.state import PartitionState
from agents.kernels.validate import CODES, validate

__all__ = [
    "BAR_FLOAT_NAMES",
    "BAR_INT_NAMES",
    "CLNV",
    "CODES",
    "EMO",
    "FEATURE_NAMES",
    "INT_NAMES",
    "LEE_READY",
    "QUOTE",
    "TICK",
    "FrameResult",
    "KernelConfig",
    "PartitionState",
    "release",
    "run",
    "validate",
]
