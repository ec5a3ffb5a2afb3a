"""A driver of our own making: devices as plain dictionaries, any of whose values may be missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class FakeNvml:
    """Speaks as ``pynvml`` does; a value that a device lacks raises as the driver would."""

    class NVMLError(Exception):
        pass

    def __init__(self, devices: list[dict[str, Any]] | None = None, absence: str = "") -> None:
        self._devices = devices or []
        self._absence = absence
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802
        if self._absence:
            raise self.NVMLError(self._absence)
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"580.65"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self._devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:  # noqa: N802
        if self._devices[index].get("lost"):
            raise self.NVMLError("GPU is lost")
        return self._devices[index]

    def nvmlDeviceGetMemoryInfo(self, handle: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=self._value(handle, "total"), free=self._value(handle, "free"))

    def nvmlDeviceGetUUID(self, handle: dict[str, Any]) -> str:  # noqa: N802
        return self._value(handle, "uuid")

    def nvmlDeviceGetName(self, handle: dict[str, Any]) -> str:  # noqa: N802
        return self._value(handle, "name")

    def nvmlDeviceGetMigMode(self, handle: dict[str, Any]) -> list[int]:  # noqa: N802
        return self._value(handle, "mig")

    def _value(self, handle: dict[str, Any], name: str) -> Any:
        if name not in handle:
            raise self.NVMLError("Not Supported")
        return handle[name]


H100 = {"uuid": "GPU-1", "name": "NVIDIA H100", "total": 80 << 30, "free": 79 << 30, "mig": [0, 0]}
