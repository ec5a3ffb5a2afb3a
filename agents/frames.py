"""The one place that knows whether a frame is NumPy or cuDF.

Today every frame is NumPy: views of the message's own bytes. The CUDA path is not built yet, and
asking for a device says so instead of quietly running on the CPU.
"""

from __future__ import annotations

from schemas.errors import SettingsError
from schemas.frame import decode_frame
from schemas.ticks import Ticks


def choose_device(device: str) -> str:
    """Resolve ``auto`` and check the others.

    Returns
    -------
    str
        ``cpu``, the only device that this version computes on.

    Raises
    ------
    SettingsError
        For a CUDA device, or a name that is no device.
    """
    if device in ("auto", "cpu"):
        return "cpu"
    if device.startswith(("cuda", "GPU-", "MIG-")):
        raise SettingsError(
            f"device {device!r}: this version computes on the CPU only", "use --device auto or --device cpu"
        )
    raise SettingsError(f"device {device!r} is unknown", "use --device auto or --device cpu")


def open_frame(payload: bytes | memoryview) -> Ticks:
    """The columns of a tick frame on the device; on the CPU without a copy.

    Raises
    ------
    FrameError
        When the payload is no tick frame.
    """
    return decode_frame(payload)
