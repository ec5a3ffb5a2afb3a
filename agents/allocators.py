"""What this process's allocators hold on its GPUs: torch's cache, RMM's pool. Asking starts neither."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from agents.loaded import loaded
from schemas.commands import AllocatorKind


class Held(BaseModel):
    """What one allocator holds on one device of this process.

    Attributes
    ----------
    ordinal
        Of the device, as this process counts those that it sees.
    used_bytes
        Given out or kept for reuse: nobody else can have it.
    limit_bytes
        What it may take.
    """

    model_config = ConfigDict(frozen=True)

    kind: AllocatorKind
    ordinal: int
    used_bytes: int
    limit_bytes: int


def held() -> list[Held]:
    """All of them that are at work."""
    torch = cuda_torch()
    found = [] if torch is None else _torch_held(torch)
    rmm = loaded("rmm")
    return found if rmm is None else found + _rmm_held(rmm)


def cuda_torch() -> Any:
    """torch, if it is loaded and has a GPU in use; else None."""
    torch: Any = loaded("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return torch


def _torch_held(torch: Any) -> list[Held]:
    found = []
    for ordinal in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(ordinal).total_memory
        limit = int(torch.cuda.get_per_process_memory_fraction(ordinal) * total)
        used = torch.cuda.memory_reserved(ordinal)
        found.append(Held(kind="torch_reserved", ordinal=ordinal, used_bytes=used, limit_bytes=limit))
    return found


def _rmm_held(rmm: Any) -> list[Held]:
    """Only pools that we have limited: of others nobody knows how much they may take."""
    found = []
    for ordinal, pool in _pools(rmm).items():
        if isinstance(pool, rmm.mr.LimitingResourceAdaptor):
            used, limit = pool.get_allocated_bytes(), pool.get_allocation_limit()
            found.append(Held(kind="rmm_pool", ordinal=ordinal, used_bytes=used, limit_bytes=limit))
    return found


def _pools(rmm: Any) -> dict[int, Any]:
    """By the ordinals of torch's devices; of the first where torch is not at work."""
    torch = cuda_torch()
    ordinals = range(1) if torch is None else range(torch.cuda.device_count())
    return {ordinal: rmm.mr.get_per_device_resource(ordinal) for ordinal in ordinals}
