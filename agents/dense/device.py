"""Where an array lies, how much is free there, and how exact products are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from schemas.errors import SettingsError

NUMPY = "cpu"
"""The device that NumPy computes on; all other names are torch's."""

Precision = Literal["float32", "tf32", "bfloat16"]
"""Of products of float32: as they are, with factors cut to 10 bits, or with factors cut to 7."""
PRECISIONS: tuple[str, ...] = get_args(Precision)

_SHARE = 0.5  # of what is free: libraries take workspaces of their own
_CPU_BATCH_BYTES = 256 << 20  # larger batches gain nothing where there are caches


def put(array: npt.NDArray[Any], device: str) -> Any:
    """The array on the device: itself for NumPy, else a tensor."""
    if device == NUMPY:
        return array
    import torch

    return torch.as_tensor(array, device=device)


def fetch(array: Any) -> npt.NDArray[Any]:
    """Back to NumPy."""
    if isinstance(array, np.ndarray):
        return array
    found: npt.NDArray[Any] = array.detach().cpu().numpy()
    return found


def free_bytes(device: str) -> int:
    """What can be allocated on the device now, and at most what the process was granted there.

    What torch holds for reuse counts as free.
    """
    import torch

    if torch.device(device).type != "cuda":
        return int(_CPU_BATCH_BYTES / _SHARE)
    free, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    held = torch.cuda.memory_reserved(device) - allocated
    granted = torch.cuda.get_per_process_memory_fraction(device) * total - allocated
    return max(0, int(min(free + held, granted)))


def rows_that_fit(bytes_a_row: int, device: str) -> int:
    """How many rows of a batch fit into half of what is free; at least one."""
    return max(1, int(free_bytes(device) * _SHARE) // bytes_a_row)


def cpu_has_bfloat16() -> bool:
    """Whether torch has an LSTM in bfloat16 on this processor: it needs instructions that many have not."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def require_precision(name: Precision, device: str) -> None:
    """Return when an LSTM can be computed on the device with such products.

    Raises
    ------
    SettingsError
        When the processor cannot; torch would say so in words of its own, in the middle of the work.
    """
    if name == "bfloat16" and device.startswith("cpu") and not cpu_has_bfloat16():
        raise SettingsError(f"{device}: this processor has no bfloat16", "use float32, or a GPU")


@contextmanager
def precision(name: Precision, device: str) -> Iterator[None]:
    """Products of float32 are as exact as said inside, in cuDNN too, whose own default is ``tf32``."""
    import torch

    kind = torch.device(device).type
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    try:
        with torch.autocast(kind, torch.bfloat16, enabled=name == "bfloat16"):
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
