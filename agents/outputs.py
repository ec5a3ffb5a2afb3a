"""What the tick worker writes: outputs with a deterministic identity, numbered within their input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.codec import dumps
from schemas.errors import TapestreamError, TickError
from schemas.frame import encode_frame
from schemas.headers import H_ORIGIN, VERSION_HEADER, Headers, Origin, dead_letter_headers, output_headers
from schemas.messages import QualityEvent
from schemas.ticks import NUMERIC, Array, Ticks
from streams.topics import DEAD_LETTERS, QUALITY, TICKS

DATA_LOSS_INDEX = 1_000_000
"""Index of the notice of lost messages; no message has that many outputs of its own."""


@dataclass(slots=True)
class Output:
    """One message to write, on the partition of its input.

    Attributes
    ----------
    topic
        Base name in the table of topics.
    index
        Position among the outputs of its input; with the input's offset, the output's identity.
    """

    topic: str
    index: int
    key: bytes
    value: bytes
    headers: Headers


class OutputList:
    """Collects the outputs of one input message and numbers them in order."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.items: list[Output] = []
        self._stem = str(Origin(topic, partition, offset)).removesuffix("0")

    def next_name(self) -> str:
        """The origin that the next output will have, as text."""
        return f"{self._stem}{len(self.items)}"

    def add(self, topic: str, key: bytes, value: bytes) -> None:
        """Append an ordinary output."""
        headers = [VERSION_HEADER, (H_ORIGIN, self.next_name().encode())]
        self.items.append(Output(topic, len(self.items), key, value, headers))

    def add_dead_letter(
        self, payload: bytes, error: TapestreamError, original: Headers | None = None
    ) -> None:
        """Append a dead letter; headers of the original that are not ours are kept."""
        origin = Origin(self.topic, self.partition, self.offset, len(self.items))
        headers = dead_letter_headers(origin, error.problem, error.remedy)
        ours = {name for name, _ in headers}
        headers += [(name, value) for name, value in original or () if name not in ours]
        self.items.append(Output(DEAD_LETTERS, origin.index, self.topic.encode(), payload, headers))

    def add_failure(self, what: str, exc: Exception, remedy: str, saw: Mapping[str, Any]) -> None:
        """Append a dead letter of something a user added that raised, with what it saw."""
        where = f"{self.topic}[{self.partition}]@{self.offset}"
        problem = TickError(f"{where}: {what} raised {type(exc).__name__}: {exc}", remedy)
        self.add_dead_letter(dumps(saw), problem)


def frame_of_rows(ticks: Ticks, rows: Array) -> bytes:
    """A frame of some rows alone, with only the symbols that they use."""
    part = ticks.take(rows)
    used, codes = np.unique(part.columns["symbol"], return_inverse=True)
    columns = {name: part.columns[name] for name in NUMERIC} | {"symbol": codes.astype(np.int32)}
    symbols = tuple(ticks.symbols[i] for i in used)
    return encode_frame(Ticks(symbols, columns, part.sequences))


@dataclass(frozen=True, slots=True)
class Trouble:
    """One finding of the kernels about one tick, with the coordinates it came in at."""

    kind: str
    symbol: str
    offset: int
    row: int
    count: int
    detail: str


def quality_events(partition: int, troubles: list[Trouble]) -> Iterator[QualityEvent]:
    """One event a (message, symbol, kind), in order of first appearance, listing every row."""
    grouped: dict[tuple[int, str, str], list[Trouble]] = defaultdict(list)
    for trouble in troubles:
        grouped[trouble.offset, trouble.symbol, trouble.kind].append(trouble)
    for (offset, symbol, kind), group in grouped.items():
        yield QualityEvent.model_construct(
            kind=kind,
            symbol=symbol,
            count=sum(trouble.count for trouble in group),
            partition=partition,
            offset=offset,
            rows=[trouble.row for trouble in group],
            detail=group[0].detail,
        )


def data_loss_output(partition: int, first: int, end: int) -> Output:
    """Say that the log no longer has offsets that the state needs: [first, end)."""
    origin = Origin(TICKS, partition, end, DATA_LOSS_INDEX)
    event = QualityEvent(
        kind="data_loss",
        symbol="*",
        count=end - first,
        partition=partition,
        offset=first,
        rows=[],
        detail=f"the log starts at {end}, the state goes up to {first}: {end - first} messages are lost",
    )
    return Output(QUALITY, origin.index, b"*", dumps(event), output_headers(origin))
