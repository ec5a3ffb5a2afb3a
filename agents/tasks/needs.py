"""What a task of each type needs on its device when its request does not say.

Predicted for a large request of the type by :mod:`agents.dense.memory`; a test holds the figures to that.
They stand here because declarations are read by processes that must not wait for torch.
"""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1_048_576
_STEP = 64 * _MIB

CONTEXT = 512 * _MIB
"""A CUDA context with the kernels of torch's libraries; believed, and to be measured on a GPU."""


@dataclass(frozen=True, slots=True)
class Need:
    """Of one task type.

    Attributes
    ----------
    request
        What was predicted for.
    predicted
        Bytes of tensors at the peak, on the device.
    host
        Bytes that a task takes beside its imports where it is granted CPU slots.
    """

    request: str
    predicted: int
    host: int

    @property
    def memory_bytes(self) -> int:
        """Enough for either."""
        on_device = -(-(CONTEXT + self.predicted) // _STEP) * _STEP
        return max(self.host, on_device)


SCORING = Need("4,000 symbols × 60 bars × 8 features, 64 units", 499_274_752, 1024 * _MIB)
TRAINING = Need("500,000 samples × 30 bars × 8 features, 64 units, batches of 512", 532_489_228, 4096 * _MIB)
PORTFOLIO = Need("least CVaR on 100,000 scenarios × 500 assets", 1_204_408_008, 2048 * _MIB)
PATTERNS = Need("one batch of 100,000 windows", 476_069_608, 1024 * _MIB)
