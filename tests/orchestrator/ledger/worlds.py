"""Small worlds: a few devices and tasks, and every record that anyone could ever write about them.

An adversary may append any record of the alphabet at any point of the log. That covers records that are
lost (never appended), repeated, delayed past others, and written by an owner or an agent that is not one
any more; and it covers writers that are simply wrong.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from orchestrator.ledger import RULES, Ignored, Rules, State
from schemas.allocations import (
    AdmissionChanged,
    CancelRequested,
    CapacityMeasured,
    DeadlinePassed,
    DeviceSeen,
    Ended,
    Granted,
    Head,
    HealthChanged,
    Input,
    OwnerClaimed,
    PolicyChanged,
    Reclaiming,
    Rejected,
    Released,
    Renewed,
    Snapshot,
    Started,
    TaskAccepted,
    Tick,
)
from tests.orchestrator.ledger.invariants import broken

DOMAIN = "here"
A, B = "GPU-a", "GPU-b"


def head(owner: str = "o1", epoch: int = 1, at_ns: int = 1) -> dict[str, Any]:
    return {"domain": DOMAIN, "owner": owner, "epoch": epoch, "at_ns": at_ns}


def seen(uuid: str, kind: str = "gpu", host: str = "h1", size: int = 10, slots: int = 2) -> list[Head]:
    return [
        DeviceSeen(**head(), gpu_uuid=uuid, device_kind=kind, host=host, capacity_bytes=size, slots=slots),
        HealthChanged(**head(), gpu_uuid=uuid, health="HEALTHY"),
    ]


def wanted(task_id: str, memory: int = 6, **more: Any) -> TaskAccepted:
    fields = {
        "task_type": "any",
        "submitted_ns": 1,
        "memory_bytes": memory,
        "min_memory_bytes": memory,
        "cpu_bytes": memory,
        "shrinks": 0,
        "losses": 0,
        "preemptions": 0,
        "cpu_ok": False,
    }
    return TaskAccepted(**head(), task_id=task_id, **(fields | more))


@dataclass(frozen=True)
class World:
    """What there is, and what may be said about it.

    ``setup`` is applied first; the adversary has ``alphabet``. Devices named in ``alike`` can change places,
    and so can tasks, without changing what may happen.
    """

    name: str
    setup: tuple[Head, ...]
    alphabet: tuple[Head, ...]
    alike: tuple[str, ...] = ()

    def start(self, rules: Rules = RULES) -> State:
        state = State(DOMAIN, rules)
        for record in self.setup:
            assert not isinstance(state.apply(record), Ignored), record
        return state


def grants(
    tasks: Iterable[TaskAccepted],
    places: Iterable[tuple[str, ...]],
    *,
    attempts: int = 1,
    owners: Iterable[tuple[str, int]] = (("o1", 1),),
    sizes: Iterable[int] = (),
    cpu: str = "",
) -> Iterator[Granted]:
    for task, place, attempt, (owner, epoch) in itertools.product(
        tasks, places, range(1, attempts + 1), owners
    ):
        for size in sizes or (task.memory_bytes,):
            yield Granted(
                **head(owner, epoch),
                task_id=task.task_id,
                attempt=attempt,
                gpu_uuids=place,
                memory_bytes=size,
                lease_ns=5,
                cpu_reason="OOM_EXHAUSTED" if cpu and cpu in place else None,
            )


def agents_say(
    tasks: Iterable[TaskAccepted],
    *,
    attempts: int = 1,
    agents: tuple[str, ...] = ("x",),
    ends: Iterable[tuple[str, str | None]] = (("SUCCEEDED", None),),
    renew: bool = False,
) -> Iterator[Head]:
    for task, attempt, agent in itertools.product(tasks, range(1, attempts + 1), agents):
        about = {**head(), "task_id": task.task_id, "attempt": attempt, "agent": agent}
        yield Started(**about)
        yield Released(**about)
        if renew:
            yield Renewed(**about)
        for outcome, failure in ends:
            yield Ended(**about, outcome=outcome, failure=failure)


def owner_says(
    tasks: Iterable[TaskAccepted],
    *,
    attempts: int = 1,
    causes: Iterable[tuple[str, int]] = (("LEASE_EXPIRED", 9),),
    owners: Iterable[tuple[str, int]] = (("o1", 1),),
) -> Iterator[Head]:
    for task, attempt, (owner, epoch) in itertools.product(tasks, range(1, attempts + 1), owners):
        about = {"task_id": task.task_id, "attempt": attempt}
        for cause, at_ns in causes:
            yield Reclaiming(**head(owner, epoch, at_ns), **about, cause=cause)
        yield Released(**head(owner, epoch), **about)


def ends_early(tasks: Iterable[TaskAccepted], times: Iterable[int] = (3, 9)) -> Iterator[Head]:
    for task in tasks:
        yield CancelRequested(**head(), task_id=task.task_id)
        yield Rejected(**head(), task_id=task.task_id, failure="QUEUE_TIMEOUT")
        for at_ns in times:
            yield DeadlinePassed(**head(at_ns=at_ns), task_id=task.task_id)


CLAIM = OwnerClaimed(**head())
TWO = (CLAIM, *seen(A), *seen(B))
THREE_TASKS = tuple(wanted(f"t{n}") for n in range(3))
MISSES: tuple[tuple[str, str | None], ...] = (
    ("SUCCEEDED", None),
    ("FAILED", "OUT_OF_MEMORY"),
    ("FAILED", "CRASHED"),
    ("FAILED", "TASK_ERROR"),
)
EPOCHS = tuple((owner, epoch) for owner in ("o1", "o2") for epoch in (1, 2))


def owners() -> World:
    """Two orchestrators that take the domain from each other, three tasks that do not all fit."""
    claims = [OwnerClaimed(**head(owner, epoch)) for owner in ("o1", "o2") for epoch in (1, 2, 3)]
    return World(
        "two owners, two devices, three tasks",
        TWO,
        (
            *claims,
            *THREE_TASKS,
            *grants(THREE_TASKS, [(A,), (B,)], owners=EPOCHS),
            *agents_say(THREE_TASKS),
        ),
        alike=(A, B),
    )


def expiry() -> World:
    """Leases that run out under agents that may be alive, over two attempts and two owners."""
    tasks = tuple(wanted(f"t{n}", losses=1) for n in range(3))
    claims = [OwnerClaimed(**head("o2", 2))]
    return World(
        "leases that expire, two owners, two devices, three tasks",
        (*TWO, *tasks),
        (
            *claims,
            *grants(tasks, [(A,), (B,)], attempts=2),
            *agents_say(tasks, attempts=2),
            *owner_says(tasks, attempts=2, causes=(("LEASE_EXPIRED", 9),)),
        ),
        alike=(A, B),
    )


def retries() -> World:
    """One task through every way to fail, with two agents that claim to run it."""
    task = wanted("t0", 8, min_memory_bytes=4, cpu_bytes=9, shrinks=2, losses=1, preemptions=1, cpu_ok=True)
    cpu = seen("CPU-h1", "cpu")
    causes = (("LEASE_EXPIRED", 3), ("LEASE_EXPIRED", 9), ("PREEMPTED", 3), ("DEVICE_UNHEALTHY", 3))
    return World(
        "retries with less memory, then the CPU",
        (CLAIM, *seen(A), *cpu),
        (
            task,
            *grants([task], [(A,), ("CPU-h1",)], attempts=5, sizes=(8, 4, 9), cpu="CPU-h1"),
            *agents_say([task], attempts=5, agents=("x", "y"), ends=MISSES, renew=True),
            *owner_says([task], attempts=5, causes=causes),
            *ends_early([task]),
            Tick(**head(at_ns=4)),
        ),
    )


def health() -> World:
    """Two devices in every state of health, two tasks that may be lost once."""
    tasks = tuple(wanted(f"t{n}", losses=1) for n in range(2))
    states = ("UNKNOWN", "HEALTHY", "SUSPECT", "QUARANTINED", "PROBATION", "LOST")
    moves = [HealthChanged(**head(), gpu_uuid=uuid, health=to) for uuid in (A, B) for to in states]
    return World(
        "devices in every state of health",
        (*TWO, *tasks),
        (
            *moves,
            *grants(tasks, [(A,), (B,)], attempts=2),
            *agents_say(tasks, attempts=2),
            *owner_says(tasks, attempts=2, causes=(("DEVICE_UNHEALTHY", 1),)),
        ),
        alike=(A, B),
    )


def gangs() -> World:
    """A gang and two single tasks, grants of wrong sets of devices among them."""
    gang = wanted("g", 6, devices=2)
    singles = (wanted("t0", 5, only_on=("h2",)), wanted("t1", 5, cpu_ok=True))
    away, cpu = seen("GPU-c", host="h2"), seen("CPU-h1", "cpu")
    places = [(A,), (A, A), (A, B), (A, "GPU-c"), ("CPU-h1",), (A, "CPU-h1"), ("GPU-c",), ("GPU-z",)]
    tasks = (gang, *singles)
    return World(
        "gangs and devices that are not the ones asked for",
        (*TWO, *away, *cpu),
        (
            *tasks,
            *grants(tasks, places, sizes=(5, 6, 11), cpu="CPU-h1"),
            *grants(tasks, [("CPU-h1",)], sizes=(5,)),
            *agents_say(tasks),
        ),
    )


def ends() -> World:
    """Three small tasks that end early at any moment; slots are scarcer than bytes."""
    tasks = tuple(wanted(f"t{n}", 3, deadline_ns=5) for n in range(3))
    return World(
        "tasks that end early, two devices, three tasks",
        TWO,
        (
            *tasks,
            *grants(tasks, [(A,), (B,)]),
            *agents_say(tasks, ends=(("SUCCEEDED", None), ("CANCELLED", "CANCELLED"))),
            *owner_says(tasks),
            *ends_early(tasks),
        ),
        alike=(A, B),
    )


def entries() -> World:
    """How devices, requests, time and policies come in, with all that was said before or is about nobody."""

    def request(task_id: str, offset: int, key: str = "") -> TaskAccepted:
        source = (Input("gpu.tasks", 0, offset),)
        return msgspec.structs.replace(wanted(task_id), inputs=source, idempotency_key=key)

    def refusal(task_id: str, offset: int) -> Rejected:
        source = (Input("gpu.tasks", 0, offset),)
        return Rejected(**head(), task_id=task_id, failure="BAD_REQUEST", inputs=source)

    def measured(uuid: str, at_ns: int, size: int) -> CapacityMeasured:
        return CapacityMeasured(**head(at_ns=at_ns), gpu_uuid=uuid, capacity_bytes=size)

    task = request("t0", 4, "once")
    return World(
        "requests, devices and times that come again or too late",
        (CLAIM, *seen(A)),
        (
            *(task, request("t1", 5, "once"), request("t2", 4), refusal("t3", 3), refusal("t4", 6)),
            *(seen(A, size=20)[0], seen("GPU-new")[0], *seen("GPU-z")[1:]),
            *(measured(A, 2, 10), measured(A, 3, 5), measured("GPU-z", 2, 10)),
            *grants([task], [(A,)]),
            *(
                Tick(**head(at_ns=1)),
                Tick(**head(at_ns=2)),
                OwnerClaimed(**head()),
                OwnerClaimed(**head(epoch=2)),
            ),
            PolicyChanged(**head(), options="{}"),
            Snapshot(**head(), part=0, parts=1, digest="", rows="[]"),
        ),
    )


def low_memory() -> World:
    """A guard that stops and resumes admission and wants room, over two attempts of a task."""
    task = wanted("t0", 8, min_memory_bytes=4, shrinks=1, preemptions=1)
    other = wanted("t1", 3)
    moves = [
        AdmissionChanged(**head(), gpu_uuid=uuid, stopped=stopped, make_room=make_room)
        for uuid, stopped, make_room in (
            (A, True, False),
            (A, True, True),
            (A, False, False),
            (B, True, False),
            ("GPU-z", True, False),
        )
    ]
    return World(
        "devices whose memory is low",
        (*TWO, task, other),
        (
            *moves,
            *grants([task], [(A,), (B,)], attempts=2, sizes=(8, 4)),
            *grants([other], [(A,)]),
            *agents_say([task], attempts=2),
            *owner_says([task], attempts=2, causes=(("MEMORY_LOW", 3),)),
            *ends_early([task]),
        ),
    )


def everything() -> World:
    """Two orchestrators, two devices that get lost, three tasks that may be lost once or cancelled."""
    tasks = tuple(wanted(f"t{n}", losses=1) for n in range(3))
    both = (("o1", 1), ("o2", 2))
    moves = [HealthChanged(**head(*who), gpu_uuid=A, health=to) for who in both for to in ("LOST", "SUSPECT")]
    return World(
        "two orchestrators, two devices, three tasks",
        (*TWO, *tasks),
        (
            OwnerClaimed(**head("o2", 2)),
            *moves,
            *grants(tasks, [(A,), (B,)], attempts=2, owners=both),
            *agents_say(tasks, attempts=2),
            *owner_says(
                tasks, attempts=2, causes=(("LEASE_EXPIRED", 9), ("DEVICE_UNHEALTHY", 1)), owners=both
            ),
            CancelRequested(**head(), task_id="t0"),
        ),
    )


WORLDS = (owners, expiry, retries, health, gangs, ends, entries, low_memory, everything)


def canonical(state: State, world: World) -> Any:
    """The same for states that differ only in names that can change places, or in what no check asks."""
    orders = [dict(zip(world.alike, order, strict=True)) for order in itertools.permutations(world.alike)]
    return min(_named(state, names) for names in orders)


def _named(state: State, names: dict[str, str]) -> Any:
    devices = sorted(
        (
            *(names.get(uuid, uuid), device.health, device.capacity_bytes, device.measured_ns),
            *(device.stopped, device.make_room),
        )
        for uuid, device in state.devices.items()
    )
    rows = []
    for name, task in state.tasks.items():
        lease = state.leases.get(name)
        held: Any = ()
        if lease is not None:
            uuids = tuple(sorted(names.get(uuid, uuid) for uuid in lease.gpu_uuids))
            held = (lease.attempt, uuids, lease.memory_bytes, lease.expires_ns, lease.agent, lease.reclaiming)
        rows.append(
            (
                *(task.memory_bytes, task.devices, task.only_on, task.cpu_ok, task.deadline_ns),
                *(task.state, task.attempt, task.lane, task.ended_by or ""),
                *(task.shrinks, task.losses, task.preemptions, held),
            )
        )
    return (state.owner, state.epoch, state.now_ns, tuple(devices), tuple(sorted(rows, key=repr)))


@dataclass
class Found:
    """What a search came to."""

    states: int = 0
    steps: int = 0
    refused: int = 0
    broken: str | None = None
    trail: list[Head] = field(default_factory=list)
    kept: list[State] = field(default_factory=list)


def search(world: World, rules: Rules = RULES, *, most_states: int = 200_000, twins: bool = False) -> Found:
    """Every state that the adversary can reach, breadth first; ends at the first broken invariant.

    Parameters
    ----------
    twins
        Each record also as one of another domain, of another owner, of another epoch.
    """
    alphabet: list[Any] = list(world.alphabet)
    if twins:
        alphabet += [twin for record in world.alphabet for twin in _twins(record)]
    start = world.start(rules)
    found = Found(states=1, kept=[start])
    known = {canonical(start, world)}
    waiting: deque[tuple[State, tuple[Any, ...]]] = deque([(start, ())])
    while waiting:
        state, trail = waiting.popleft()
        for record in alphabet:
            if isinstance(state.verdict(record), Ignored):
                found.refused += 1
                continue
            found.steps += 1
            after = state.copy()
            try:
                after.apply(record)
                found.broken = broken(state, record, after)
            except KeyError:
                found.broken = "the_fold_never_raises"
            if found.broken is not None:
                found.trail = [*_unfold(trail), record]
                return found
            key = canonical(after, world)
            if key not in known:
                assert len(known) < most_states, f"{world.name} is larger than {most_states} states"
                known.add(key)
                found.kept.append(after)
                waiting.append((after, (trail, record)))
    found.states = len(known)
    return found


def _twins(record: Any) -> Iterator[Any]:
    yield msgspec.structs.replace(record, domain="elsewhere")
    yield msgspec.structs.replace(record, owner="stranger")
    yield msgspec.structs.replace(record, epoch=record.epoch + 7)


def _unfold(trail: tuple[Any, ...]) -> list[Any]:
    records: list[Any] = []
    while trail:
        trail, record = trail
        records.append(record)
    return records[::-1]
