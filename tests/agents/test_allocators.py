"""What allocators hold is asked of libraries that are at work, and starts none."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from agents.allocators import Held, held


class FakeCuda:
    """torch.cuda of a process that uses two GPUs of 100 bytes, the second of them half."""

    def __init__(self, *, started: bool = True) -> None:
        self.started = started

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return self.started

    def device_count(self) -> int:
        assert self.started
        return 2

    def get_device_properties(self, _: int) -> Any:
        return SimpleNamespace(total_memory=100)

    def get_per_process_memory_fraction(self, ordinal: int) -> float:
        return (1.0, 0.5)[ordinal]

    def memory_reserved(self, ordinal: int) -> int:
        return (70, 20)[ordinal]


class Limited:
    """RMM's adaptor around a pool."""

    def get_allocated_bytes(self) -> int:
        return 30

    def get_allocation_limit(self) -> int:
        return 40


def rmm(*pools: object) -> Any:
    return SimpleNamespace(
        mr=SimpleNamespace(
            LimitingResourceAdaptor=Limited, get_per_device_resource=lambda ordinal: pools[ordinal]
        )
    )


def test_nothing_is_held_where_no_library_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=FakeCuda(started=False)))  # type: ignore[arg-type]
    monkeypatch.delitem(sys.modules, "rmm", raising=False)
    assert held() == []


def test_torch_and_limited_pools_are_told_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=FakeCuda()))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "rmm", rmm(object(), Limited()))
    assert held() == [
        Held(kind="torch_reserved", ordinal=0, used_bytes=70, limit_bytes=100),
        Held(kind="torch_reserved", ordinal=1, used_bytes=20, limit_bytes=50),
        Held(kind="rmm_pool", ordinal=1, used_bytes=30, limit_bytes=40),
    ]


def test_without_torch_it_is_the_first_devices_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setitem(sys.modules, "rmm", rmm(Limited()))
    assert held() == [Held(kind="rmm_pool", ordinal=0, used_bytes=30, limit_bytes=40)]
