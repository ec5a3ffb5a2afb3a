"""Recompute outputs from the input log and compare them with the output log. Pure comparison, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agents.outputs import Output
from agents.selection import Course, Selection
from schemas.codec import dumps, loads
from schemas.errors import CheckpointError, VerifyError
from schemas.headers import H_ORIGIN, H_VERSION, Headers
from streams.topics import SIGNALS, TICKS

if TYPE_CHECKING:
    from agents.partition_config import PartitionConfig

Identity = tuple[int, int]
"""Offset of the input and index among its outputs."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An output as the log has it."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the log and the computation disagree."""

    kind: str
    topic: str
    identity: Identity
    detail: str

    def __str__(self) -> str:
        offset, index = self.identity
        return f"{self.kind}: {self.topic} output {index} of input {offset}: {self.detail}"


@dataclass(slots=True)
class Comparison:
    """What a verification found."""

    inputs: int = 0
    outputs: int = 0
    identical: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every output is there, once, with the same bytes."""
        return not self.differences


def under(config: PartitionConfig, course: Course, begin: int, end: int) -> Callable[[int], PartitionConfig]:
    """By offset, the configuration under which the workers computed the inputs from ``begin`` to ``end``.

    Raises
    ------
    VerifyError
        When a stretch of them had signals that are not configured here.
    """
    known: dict[Selection, PartitionConfig] = {}
    bounds = [*(first for first, _ in course.stretches[1:]), end]
    for (first, selection), stop in zip(course.stretches, bounds, strict=True):
        if first >= end or stop <= begin:
            continue
        try:
            known[selection] = config.select(selection)
        except CheckpointError as exc:
            where = f"{TICKS}[{config.partition}] offsets {max(first, begin)} to {min(stop, end) - 1}"
            raise VerifyError(f"{where}: {exc.problem}", exc.remedy) from exc
    return lambda offset: known.get(course.at(offset), config)


class Verifier:
    """Holds computed outputs against recorded ones, in any order of arrival.

    Bit for bit: key, value and headers. Of a signal, ``latency_us`` is left out: it is the wall clock.
    """

    def __init__(self) -> None:
        self._recorded: dict[Identity, list[Recorded]] = {}
        self.result = Comparison()

    def record(self, identity: Identity, output: Recorded) -> None:
        """An output that the log has."""
        self._recorded.setdefault(identity, []).append(output)

    def compute(self, offset: int, outputs: list[Output]) -> None:
        """What the computation says that one input gives."""
        self.result.inputs += 1
        for output in outputs:
            self.result.outputs += 1
            identity = (offset, output.index)
            found = self._recorded.pop(identity, [])
            if not found:
                self._differ("missing", output.topic, identity, "not on the log")
                continue
            if len(found) > 1:
                places = ", ".join(str(item.offset) for item in found)
                self._differ(
                    "repeated", output.topic, identity, f"on the log {len(found)} times, at {places}"
                )
            reason = _difference(output, found[0])
            if reason is None:
                self.result.identical += 1
            else:
                self._differ("different", output.topic, identity, f"{reason}, at {found[0].offset}")

    def finish(self) -> Comparison:
        """Whatever is left on the log was never computed."""
        for identity, found in sorted(self._recorded.items()):
            for item in found:
                self._differ("unexpected", item.topic, identity, f"not computed, at {item.offset}")
        self._recorded.clear()
        return self.result

    def _differ(self, kind: str, topic: str, identity: Identity, detail: str) -> None:
        self.result.differences.append(Difference(kind, topic, identity, detail))


def _difference(output: Output, found: Recorded) -> str | None:
    if output.topic != found.topic:
        return f"on topic {found.topic}"
    if output.key != found.key:
        return f"key {found.key!r} instead of {output.key!r}"
    if timeless(output.topic, output.value) != timeless(found.topic, found.value):
        return "another value"
    ours = (H_VERSION, H_ORIGIN)
    if [h for h in output.headers if h[0] in ours] != [h for h in found.headers if h[0] in ours]:
        return "other headers"
    return None


def timeless(topic: str, value: bytes | None) -> bytes | None:
    """The value without what the wall clock says, which no second computation can repeat."""
    if topic != SIGNALS or value is None:
        return value
    content = loads(value)
    content.pop("latency_us", None)
    return dumps(content)
