"""Every decision of a log derived anew from what it says that it rests on.

A batch of decisions names its basis, the last offset that its owner had folded, and its time. So the state
after that offset, the policy of that time and the owner's clock must give the same records again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from orchestrator.ledger import Ignored, State, digest
from orchestrator.policies import Policy, recorded_policy
from orchestrator.scheduling import Scheduler
from schemas.allocations import DECIDED_ELSEWHERE, Head, field_names, kind

Entry = tuple[int, Head]
"""A record and its offset."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where the log is not what its own inputs give.

    Attributes
    ----------
    offset
        Of the decision in the log; for one that is missing, of the last of its batch.
    name
        ``field_differs``, ``kind_differs``, ``decision_is_missing``, ``decision_is_extra``,
        ``owner_differs``, ``basis_is_missing``.
    detail
        For people: what the log has and what follows from its inputs.
    """

    offset: int
    name: str
    detail: str

    def __str__(self) -> str:
        return f"@{self.offset}: {self.name.replace('_', ' ')}: {self.detail}"


@dataclass(slots=True)
class Replay:
    """What deriving the decisions anew came to."""

    records: int = 0
    accepted: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    decisions: int = 0
    batches: int = 0
    difference: Difference | None = None
    digest: str = ""


@dataclass(slots=True)
class _Batch:
    owner: str
    epoch: int
    at_ns: int
    policy: str
    entries: list[Entry] = field(default_factory=list)
    known: set[Head] = field(default_factory=set)
    is_last: bool = True


def replay_decisions(log: Sequence[Entry], domain: str, *, first: int = 0, last: int | None = None) -> Replay:
    """Fold a log and derive its decisions anew, up to the first that differs.

    Parameters
    ----------
    log
        All records of a domain with their offsets, ascending, from the start of the log.
    domain
        Whose decisions; records of others are passed over.
    first, last
        Compare only decisions with offsets from ``first`` to ``last``, both included.

    Raises
    ------
    SettingsError
        When the policy that decided is not installed.
    """
    batches = _batches(log, domain)
    found, state = Replay(), State(domain)
    desk = _Desk(state)
    for offset, record in log:
        if record.domain == domain:
            found.records += 1
            verdict = state.apply(record)
            if isinstance(verdict, Ignored):
                found.ignored[verdict.reason] += 1
            else:
                found.accepted += 1
        for batch in batches.pop(offset, ()):
            if batch.entries[-1][0] < first or (last is not None and batch.entries[0][0] > last):
                continue
            found.batches += 1
            found.decisions += len(batch.entries)
            found.difference = desk.difference(batch, offset)
            if found.difference is not None:
                found.digest = digest(state)
                return found
    for rest in batches.values():  # rest on offsets that the log does not have
        offset, record = rest[0].entries[0]
        found.difference = Difference(offset, "basis_is_missing", f"{_about(record)} rests on {record.basis}")
        break
    found.digest = digest(state)
    return found


def _batches(log: Iterable[Entry], domain: str) -> dict[int, list[_Batch]]:
    """The batches by basis; a record that came twice is in its batch once."""
    batches: dict[tuple[str, int, int, int, str], _Batch] = {}
    latest: dict[tuple[str, int], _Batch] = {}
    for offset, record in log:
        if record.domain != domain or record.basis == DECIDED_ELSEWHERE or kind(record) == "snapshot":
            continue
        key = (record.owner, record.epoch, record.basis, record.at_ns, record.policy)
        batch = batches.get(key)
        if batch is None:
            batch = batches[key] = _Batch(record.owner, record.epoch, record.at_ns, record.policy)
            if (record.owner, record.epoch) in latest:
                latest[record.owner, record.epoch].is_last = False
            latest[record.owner, record.epoch] = batch
        if record not in batch.known:
            batch.known.add(record)
            batch.entries.append((offset, record))
    by_basis: dict[int, list[_Batch]] = {}
    for (_, _, basis, _, _), batch in batches.items():
        by_basis.setdefault(basis, []).append(batch)
    return by_basis


class _Desk:
    """Decides as the owner of the time did, with the policy of the time."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._known: tuple[str, str] | None = None
        self._scheduler: Scheduler | None = None

    def difference(self, batch: _Batch, basis: int) -> Difference | None:
        """The first difference of a batch, or None."""
        owner = (self._state.owner, self._state.epoch)
        offset = batch.entries[0][0]
        if owner != (batch.owner, batch.epoch):
            detail = f"{batch.owner} in epoch {batch.epoch}; at {basis} it was {owner[0]} in {owner[1]}"
            return Difference(offset, "owner_differs", detail)
        derived = self._scheduler_for(batch.policy).decide(batch.at_ns, basis=basis)
        for (at, logged), expected in zip(batch.entries, derived, strict=False):
            if logged != expected:
                return Difference(at, *_named(logged, expected))
        if len(batch.entries) > len(derived):
            at, logged = batch.entries[len(derived)]
            return Difference(at, "decision_is_extra", _about(logged))
        # An owner that died while it wrote leaves its last batch short.
        if len(batch.entries) < len(derived) and not batch.is_last:
            missing = derived[len(batch.entries)]
            return Difference(batch.entries[-1][0], "decision_is_missing", _about(missing))
        return None

    def _scheduler_for(self, label: str) -> Scheduler:
        options = self._state.policy_options if label == self._state.policy else ""
        if self._scheduler is None or self._known != (label, options):
            self._known = (label, options)
            policy: Policy = recorded_policy(label, options)
            self._scheduler = Scheduler(self._state, policy)
        return self._scheduler


def _named(logged: Head, derived: Head) -> tuple[str, str]:
    if type(logged) is not type(derived):
        return "kind_differs", f"{_about(logged)} in the log, {_about(derived)} derived"
    for name in field_names(logged):
        if getattr(logged, name) != getattr(derived, name):
            values = f"{getattr(logged, name)!r} in the log, {getattr(derived, name)!r} derived"
            return "field_differs", f"{_about(logged)}: {name} is {values}"
    return "field_differs", _about(logged)


def _about(record: Head) -> str:
    subject = getattr(record, "task_id", None) or getattr(record, "gpu_uuid", "")
    return f"{kind(record)} of {subject}"
