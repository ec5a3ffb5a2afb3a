"""Recompute outputs from the input log and compare them with the output log. Pure comparison, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.outputs import Output
from schemas.codec import dumps, loads
from schemas.headers import H_ORIGIN, H_VERSION, Headers
from streams.topics import SIGNALS

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

    @property
    def clean(self) -> bool:
        """Whether every output is there, once, with the same bytes."""
        return not self.differences


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
    if _timeless(output.topic, output.value) != _timeless(found.topic, found.value):
        return "another value"
    ours = (H_VERSION, H_ORIGIN)
    if [h for h in output.headers if h[0] in ours] != [h for h in found.headers if h[0] in ours]:
        return "other headers"
    return None


def _timeless(topic: str, value: bytes | None) -> bytes | None:
    if topic != SIGNALS or value is None:
        return value
    content = loads(value)
    content.pop("latency_us", None)
    return dumps(content)
