"""A state as records and back, and its fingerprint.

A snapshot is written in parts that each fit a message. It stands for all records up to its ``basis``: who
reads the log from its newest whole snapshot folds on from the offset after that, which lies before the
snapshot's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from orchestrator.ledger.rules import RULES, Rules
from orchestrator.ledger.state import Device, Lease, State, Task
from schemas import codec
from schemas.allocations import Snapshot
from schemas.errors import FrameError, LedgerError

PART_BYTES = 500_000
"""About how large a part becomes; JSON text within JSON grows, and a message ends at 1 MiB."""

_SCALARS = (
    "domain",
    "keep_ended_ns",
    "owner",
    "epoch",
    "now_ns",
    "policy",
    "policy_options",
    "accepted_tasks",
)
_ROWS: dict[str, type] = {"device": Device, "task": Task, "lease": Lease}
_NAMES = {kind: tuple(field.name for field in fields(row)) for kind, row in _ROWS.items()}


def rows(state: State) -> Iterable[list[Any]]:
    """The state as rows of plain data, in one order whatever the order in which it came about."""
    yield ["scalars", [getattr(state, name) for name in _SCALARS]]
    for kind, table in (("device", state.devices), ("task", state.tasks), ("lease", state.leases)):
        for key in sorted(table):
            yield [kind, _values(kind, table[key])]
    for name, key in sorted(state.keys.items()):
        yield ["key", [name, key]]
    for (topic, partition), offset in sorted(state.next_inputs.items()):
        yield ["input", [topic, partition, offset]]
    for ended_ns, name in state.ended:
        yield ["ended", [ended_ns, name]]


def _values(kind: str, row: Any) -> list[Any]:
    """The row's fields; what devices have had only since a later version is left out while it is unset.

    So a state has the digest that it had before, and older snapshots are still good.
    """
    names = _NAMES[kind]
    if kind == "device" and not (row.stopped or row.make_room):
        names = names[: names.index("stopped")]
    return [getattr(row, name) for name in names]


def digest(state: State) -> str:
    """The state's fingerprint: equal states have equal ones, in every process."""
    found = hashlib.blake2b(digest_size=16)
    for row in rows(state):
        found.update(codec.dumps(row) + b"\n")
    return found.hexdigest()


def snapshot(
    state: State, *, owner: str, epoch: int, at_ns: int, basis: int, part_bytes: int = PART_BYTES
) -> list[Snapshot]:
    """The state as records, to be written one after the other.

    Parameters
    ----------
    owner, epoch, at_ns
        Of the writer.
    basis
        The last offset that the state has folded.
    """
    texts = _packed([codec.dumps(row).decode() for row in rows(state)], part_bytes)
    mark = digest(state)
    return [
        Snapshot(
            domain=state.domain,
            owner=owner,
            epoch=epoch,
            at_ns=at_ns,
            policy=state.policy,
            basis=basis,
            part=number,
            parts=len(texts),
            digest=mark,
            rows=text,
        )
        for number, text in enumerate(texts)
    ]


def _packed(lines: list[str], part_bytes: int) -> list[str]:
    parts: list[list[str]] = [[]]
    size = 0
    for line in lines:
        if size + len(line) > part_bytes and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line)
    return ["[" + ",".join(part) + "]" for part in parts]


def restore(parts: Sequence[Snapshot], rules: Rules = RULES) -> State:
    """The state of a snapshot; fold on from the offset after its ``basis``.

    Raises
    ------
    LedgerError
        When a part is missing or unreadable, or the state is not the one that was written.
    """
    ordered = sorted(parts, key=lambda part: part.part)
    if not ordered or [part.part for part in ordered] != list(range(ordered[0].parts)):
        raise LedgerError("a snapshot's parts are not all there", "read the log from its start")
    state, basis = State(ordered[0].domain, rules), ordered[0].basis
    try:
        for part in ordered:
            for kind, values in codec.loads(part.rows):
                _take(state, kind, values)
        same = digest(state) == ordered[0].digest
    except (FrameError, TypeError, ValueError, KeyError, IndexError) as exc:
        raise LedgerError(
            f"the snapshot at offset {basis} cannot be read: {exc}", "read the log from its start"
        ) from exc
    if not same:
        raise LedgerError(
            f"the snapshot at offset {basis} is not the state that it names",
            "read the log from its start, and report this",
        )
    return state


def _take(state: State, kind: str, values: list[Any]) -> None:
    if kind == "scalars":
        for name, value in zip(_SCALARS, values, strict=True):
            setattr(state, name, value)
    elif kind == "device":
        state.devices[values[0]] = Device(*values)
    elif kind == "task":
        row = dict(zip(_NAMES["task"], values, strict=True))
        state.tasks[values[0]] = Task(**row | {"only_on": tuple(row["only_on"])})
    elif kind == "lease":
        row = dict(zip(_NAMES["lease"], values, strict=True))
        state.leases[values[0]] = Lease(**row | {"gpu_uuids": tuple(row["gpu_uuids"])})
    elif kind == "key":
        state.keys[values[0]] = values[1]
    elif kind == "input":
        state.next_inputs[values[0], values[1]] = values[2]
    else:
        state.ended.append((values[0], values[1]))


def whole(records: Iterable[Snapshot]) -> list[list[Snapshot]]:
    """The snapshots among these records of which all parts are there, the newest first."""
    gathering: dict[tuple[str, int, str], dict[int, Snapshot]] = {}
    for record in records:
        gathering.setdefault((record.owner, record.basis, record.digest), {})[record.part] = record
    found = [parts for parts in gathering.values() if len(parts) == next(iter(parts.values())).parts]
    found.sort(key=lambda parts: next(iter(parts.values())).basis, reverse=True)
    return [[parts[number] for number in sorted(parts)] for parts in found]
