"""Reading the allocation log for the commands; what is no record is named and passed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.ledger import State, Verdict
from schemas.allocations import Head, decode
from schemas.errors import LedgerError
from schemas.settings import Settings
from streams import admin, topics
from streams.log_reader import LogReader

Complain = Callable[[str], None]


@dataclass(slots=True)
class Ledgers:
    """The domains of a log, each with a state of its own."""

    states: dict[str, State] = field(default_factory=dict)

    def apply(self, record: Head) -> Verdict:
        """Take a record into its domain."""
        state = self.states.get(record.domain)
        if state is None:
            state = self.states[record.domain] = State(record.domain)
        return state.apply(record)


def readable(settings: Settings, offset: int, value: bytes | None, complain: Complain) -> Head | None:
    """The record of a message, or None when it is none, which is said."""
    try:
        return decode(value or b"")
    except LedgerError as exc:
        complain(f"skipped {topics.name(settings, topics.ALLOCATIONS)}[0]@{offset}: {exc}")
        return None


async def read_all(settings: Settings, complain: Complain) -> list[tuple[int, Head]]:
    """Every record that the log has now.

    Raises
    ------
    TopicError, BrokerUnavailable
        When there is no such topic, or nobody who has it.
    LedgerError
        When the log does not begin at its beginning, from which decisions are derived.
    """
    (topic,) = await admin.present(settings, topics.ALLOCATIONS)
    found: list[tuple[int, Head]] = []
    async with LogReader(settings) as reader:
        begin, _ = await reader.bounds(topic.name, 0)
        if begin:
            raise LedgerError(
                f"{topic.name} begins at offset {begin}",
                "its retention.ms must be -1: tapestream topics check",
            )
        async for message in reader.rest(topic.name, 0):
            record = readable(settings, message.offset, message.value, complain)
            if record is not None:
                found.append((message.offset, record))
    return found
