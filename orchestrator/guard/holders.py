"""The samples of allocators, which come from many processes, as one memory of each device; pure."""

from __future__ import annotations

from schemas.alerts import AlertKind
from schemas.commands import AllocatorSample

FRESH_NS = 5_000_000_000
"""A holder that is silent for so long holds nothing any more: it says so once a second while it does."""
FORGET_NS = 15_000_000_000
"""A memory that nobody speaks of is watched for so long, so that its alert closes."""

Memory = tuple[str, AlertKind]


class Holders:
    """Who said what last."""

    def __init__(self) -> None:
        self._said: dict[Memory, dict[str, tuple[int, AllocatorSample]]] = {}

    def take(self, sample: AllocatorSample, now_ns: int) -> None:
        """What one process says of one allocator."""
        self._said.setdefault((sample.gpu_uuid, sample.kind), {})[sample.holder] = (now_ns, sample)

    def sums(self, now_ns: int) -> list[tuple[str, AlertKind, int, int]]:
        """Device, allocator, bytes used and bytes that may be, over those who spoke lately."""
        found = []
        for (gpu_uuid, kind), holders in list(self._said.items()):
            for name in [name for name, (at_ns, _) in holders.items() if now_ns - at_ns > FORGET_NS]:
                del holders[name]
            if not holders:
                del self._said[gpu_uuid, kind]
                continue
            fresh = [sample for at_ns, sample in holders.values() if now_ns - at_ns <= FRESH_NS]
            used = sum(sample.used_bytes for sample in fresh)
            known = fresh or [sample for _, sample in holders.values()]
            found.append((gpu_uuid, kind, used, sum(sample.limit_bytes for sample in known)))
        return found
