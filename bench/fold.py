"""How many records of the allocation log one core folds a second.

The log is the seeded life of tasks on a domain of GPUs: accepted, granted, started, renewed, ended and
released, with a retry now and then, and the ledger's time. ``records_per_s`` counts from JSON bytes to
state, as a reader of the log does it; ``apply_records_per_s`` from records that are decoded already.
Recovery from a snapshot and the tail after it is compared with folding all, and must give the same digest.
"""

from __future__ import annotations

import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.ledger import Ignored, State, digest, restore, snapshot
from schemas.allocations import (
    DeviceSeen,
    Ended,
    Granted,
    Head,
    HealthChanged,
    Input,
    OwnerClaimed,
    Released,
    Renewed,
    Started,
    TaskAccepted,
    Tick,
    decode,
    encode,
)

TARGET_RECORDS_PER_S = 100_000
GIB = 1_073_741_824
_START_NS = 1_700_000_000_000_000_000
_KEEP_ENDED_NS = 60_000_000_000


def make_log(tasks: int, devices: int = 64, seed: int = 7) -> list[Head]:
    """Records of ``tasks`` tasks, ten milliseconds apart, on ``devices`` devices of eight slots."""
    return list(_log(tasks, devices, random.Random(seed)))


def _log(tasks: int, devices: int, chance: random.Random) -> Iterator[Head]:
    now_ns = _START_NS

    def head() -> dict[str, Any]:
        return {
            "domain": "pool",
            "owner": "orchestrator-1",
            "epoch": 1,
            "at_ns": now_ns,
            "policy": "default/1",
        }

    yield OwnerClaimed(**head())
    for number in range(devices):
        uuid = f"GPU-{number:08x}"
        yield DeviceSeen(
            **head(), gpu_uuid=uuid, device_kind="gpu", host="h", capacity_bytes=80 * GIB, slots=8
        )
        yield HealthChanged(**head(), gpu_uuid=uuid, health="HEALTHY")
    for number in range(tasks):
        now_ns += 10_000_000
        if number % 100 == 0:
            yield Tick(**head())
        yield from _life(number, f"GPU-{number % devices:08x}", head, chance)


def _life(
    number: int, uuid: str, head: Callable[[], dict[str, Any]], chance: random.Random
) -> Iterator[Head]:
    name, memory = f"task-{number:08d}", chance.randrange(1, 8) * GIB
    yield TaskAccepted(
        **head() | {"inputs": (Input("gpu.tasks", number % 8, number // 8),)},
        task_id=name,
        task_type="batch_prediction",
        submitted_ns=head()["at_ns"],
        memory_bytes=memory,
        min_memory_bytes=memory // 4,
        cpu_bytes=memory,
        priority=chance.randrange(10),
    )
    retried = chance.random() < 0.05
    for attempt in (1, 2) if retried else (1,):
        about = {**head(), "task_id": name, "attempt": attempt}
        share = memory // 2 if attempt == 2 else memory
        yield Granted(**about, gpu_uuids=(uuid,), memory_bytes=share, lease_ns=15_000_000_000, why="best fit")
        yield Started(**about, agent="agent-1")
        yield Renewed(**about, agent="agent-1")
        if retried and attempt == 1:
            yield Ended(**about, agent="agent-1", outcome="FAILED", failure="OUT_OF_MEMORY")
        else:
            yield Ended(**about, agent="agent-1", outcome="SUCCEEDED", peak_memory_bytes=share)
        yield Released(**about, agent="agent-1")


def _fresh() -> State:
    return State("pool", keep_ended_ns=_KEEP_ENDED_NS)


def run(tasks: int = 100_000, repeats: int = 5) -> dict[str, Any]:
    """Measure; the median of ``repeats`` passes over one log.

    Returns
    -------
    dict
        ``records_per_s`` from bytes, ``apply_records_per_s`` from records, and ``recovery``: seconds for
        all of the log, and for the snapshot at nine tenths of it and the rest.
    """
    records = make_log(tasks)
    payloads = [encode(record) for record in records]
    from_bytes = [_timed(lambda: _fold_bytes(payloads)) for _ in range(repeats)]
    applied = [_timed(lambda: _fold(records)) for _ in range(repeats)]
    return {
        "name": "fold",
        "records_per_s": round(len(records) / statistics.median(from_bytes)),
        "target_records_per_s": TARGET_RECORDS_PER_S,
        "slowest": round(len(records) / max(from_bytes)),
        "fastest": round(len(records) / min(from_bytes)),
        "apply_records_per_s": round(len(records) / statistics.median(applied)),
        "records": len(records),
        "bytes_a_record": round(sum(map(len, payloads)) / len(payloads)),
        "recovery": _recovery(payloads, statistics.median(from_bytes)),
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
    }


def _timed(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def _fold_bytes(payloads: list[bytes], state: State | None = None) -> State:
    state = state or _fresh()
    apply = state.apply
    for payload in payloads:
        apply(decode(payload))
    return state


def _fold(records: list[Head]) -> State:
    state = _fresh()
    for record in records:
        if isinstance(verdict := state.apply(record), Ignored):
            raise AssertionError(f"the log of the benchmark is not whole: {verdict.reason} for {record}")
    return state


def _recovery(payloads: list[bytes], full_s: float) -> dict[str, Any]:
    cut = len(payloads) * 9 // 10
    parts = [
        encode(part)
        for part in snapshot(
            _fold_bytes(payloads[:cut]), owner="orchestrator-1", epoch=1, at_ns=_START_NS, basis=cut - 1
        )
    ]
    found: list[State] = []

    def recover() -> None:
        state = restore([decode(part) for part in parts])  # type: ignore[misc]
        found.append(_fold_bytes(payloads[cut:], state))

    seconds = _timed(recover)
    return {
        "full_s": round(full_s, 3),
        "snapshot_and_tail_s": round(seconds, 3),
        "snapshot_bytes": sum(map(len, parts)),
        "same_state": digest(found[0]) == digest(_fold_bytes(payloads)),
    }
