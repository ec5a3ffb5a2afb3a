"""Whether a device can be used, said in one line before any work is begun on it.

The lines stand here once, for tasks, training and benchmarks, which ask torch, and for workers, which ask the
driver itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.dense.device import NUMPY
from schemas.errors import SettingsError

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a GPU cannot be used, and what to do."""

    problem: str
    remedy: str


_HIDDEN = "`tapestream gpus` says what there is; CUDA_VISIBLE_DEVICES may hide it"
NO_DRIVER = Refusal("no NVIDIA driver answers", "install the driver, or use cpu")
OLD_DRIVER = Refusal("the NVIDIA driver is missing or too old", "install a newer one, or use cpu")
NO_DEVICE = Refusal("the driver lists no device", _HIDDEN)
NO_SUCH_DEVICE = Refusal("there is no such device", _HIDDEN)
BUSY = Refusal(
    "is in use by a process that shares it with nobody",
    "end it, use another device, or let it be shared: nvidia-smi -c DEFAULT",
)
FULL = Refusal("has no memory free", "end what uses it (`tapestream gpus`), or use another")
SIGNS = (
    # what CUDA's libraries say, and what it means
    (
        "not compiled with CUDA",
        Refusal("this torch has no CUDA in it", "install torch's build for CUDA, or use cpu"),
    ),
    ("no NVIDIA driver", NO_DRIVER),
    ("version is insufficient", OLD_DRIVER),
    ("No CUDA GPUs", NO_DEVICE),
    ("no CUDA-capable device", NO_DEVICE),
    ("invalid device ordinal", NO_SUCH_DEVICE),
    ("busy or unavailable", BUSY),
    ("DEVICE_UNAVAILABLE", BUSY),
    ("out of memory", FULL),
)


def too_little(free_bytes: int, needed_bytes: int) -> Refusal:
    """That so much is not free."""
    return Refusal(
        f"has {free_bytes / GIB:.1f} GiB free, needed are {needed_bytes / GIB:.1f}",
        "end what uses it (`tapestream gpus`), or ask for less",
    )


def require(device: str, needed_bytes: int = 0, cuda: Any = None) -> None:
    """Return when work can begin on the device.

    Parameters
    ----------
    needed_bytes
        That must be free there.
    cuda
        ``torch.cuda``, or what behaves like it.

    Raises
    ------
    SettingsError
        When there is no driver, no such device, no access to it, or too little free memory.
    """
    if device == NUMPY:
        return
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as exc:
        raise SettingsError(f"device {device!r} is unknown", "use cpu, or cuda:N") from exc
    if kind != "cuda":
        return
    cuda = torch.cuda if cuda is None else cuda
    try:
        cuda.init()
        free, _ = cuda.mem_get_info(device)
    except (RuntimeError, AssertionError) as exc:
        refusal = meaning(str(exc))
        raise SettingsError(f"{device}: {refusal.problem}", refusal.remedy) from exc
    if free < needed_bytes:
        refusal = too_little(free, needed_bytes)
        raise SettingsError(f"{device}: {refusal.problem}", refusal.remedy)


def meaning(said: str) -> Refusal:
    """What a CUDA library said; its own first line where it is not known."""
    for sign, refusal in SIGNS:
        if sign.lower() in said.lower():
            return refusal
    return Refusal((said.strip().splitlines() or ["no reason given"])[0], "use cpu, or another device")
