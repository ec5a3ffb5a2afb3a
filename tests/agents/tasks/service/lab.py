"""A log that keeps what is written to it, and commands of the memory guard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.commands import CleanupAnswer, CleanupCommand, GpuCommand, ProcessEnding, decode_command


class FakeLog:
    """Takes everything; what is on it is read back as messages."""

    def __init__(self) -> None:
        self.written: list[GpuCommand] = []

    async def write(self, base: str, key: str, values: Sequence[bytes]) -> int:
        assert base == "gpu.commands"
        self.written += [decode_command(value) for value in values]
        assert all(message.gpu_uuid == key for message in self.written)  # type: ignore[union-attr]
        return len(self.written) - 1

    @property
    def answers(self) -> list[CleanupAnswer]:
        return [message for message in self.written if isinstance(message, CleanupAnswer)]

    @property
    def endings(self) -> list[ProcessEnding]:
        return [message for message in self.written if isinstance(message, ProcessEnding)]


def command(action: Any, phase: Any = "once", **fields: Any) -> CleanupCommand:
    known = {"command_id": f"{action}-{phase}", "gpu_uuid": "CPU-here", "policy": "aggressive", "at_ns": 1}
    return CleanupCommand.model_validate(
        known | {"level": "CRITICAL", "action": action, "phase": phase} | fields
    )
