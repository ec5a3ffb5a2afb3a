"""Allocators of many processes as one memory of a device."""

from __future__ import annotations

from typing import Any

from orchestrator.guard.holders import FORGET_NS, FRESH_NS, Holders
from schemas.commands import AllocatorSample


def sample(holder: str, used: int, kind: Any = "torch_reserved", limit: int = 100) -> AllocatorSample:
    return AllocatorSample(
        gpu_uuid="GPU-a", kind=kind, holder=holder, used_bytes=used, limit_bytes=limit, at_ns=0
    )


def test_what_holders_said_last_is_added_up_by_device_and_allocator() -> None:
    holders = Holders()
    for said in (sample("a", 10), sample("b", 20), sample("a", 30), sample("w", 1, "rmm_pool", 5)):
        holders.take(said, 1)
    assert holders.sums(2) == [("GPU-a", "torch_reserved", 50, 200), ("GPU-a", "rmm_pool", 1, 5)]


def test_a_holder_that_falls_silent_holds_nothing_and_is_forgotten_later() -> None:
    holders = Holders()
    holders.take(sample("a", 90), 0)
    assert holders.sums(FRESH_NS) == [("GPU-a", "torch_reserved", 90, 100)]
    assert holders.sums(FRESH_NS + 1) == [("GPU-a", "torch_reserved", 0, 100)]
    assert holders.sums(FORGET_NS + 1) == []
    holders.take(sample("a", 90), FORGET_NS + 2)
    holders.take(sample("b", 5, limit=50), FORGET_NS + 2)
    assert holders.sums(FORGET_NS + 3) == [("GPU-a", "torch_reserved", 95, 150)]
