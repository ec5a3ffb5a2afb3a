"""The event stream (server-sent events): what changed since the client last looked, then all as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from orchestrator.api import problems
from orchestrator.api.model import Event, EventLog, ReadModel, Seen
from orchestrator.api.model.read_model import LETTERS

HEARTBEAT_S = 15.0
"""So often a comment is sent when nothing happens: proxies close what is silent."""

MOST_STREAMS = 2_000

RESET = b'{"reason":"events were missed; read the lists anew"}'


class Streams:
    """The open streams, of which there may be so many."""

    def __init__(self, model: ReadModel, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._model = model
        self._heartbeat_s = heartbeat_s
        self.open = 0

    def follow(
        self, last_event_id: str | None, kinds: frozenset[str], task_id: str | None
    ) -> AsyncIterator[bytes]:
        """The stream of one client.

        Parameters
        ----------
        last_event_id
            What the client has seen; from now on when None.
        kinds
            Of the events wanted.
        task_id
            Only the events of this task, beside those of other kinds that are wanted.

        Raises
        ------
        ApiProblem
            When the id is none of ours, or there are too many streams.
        """
        if self.open >= MOST_STREAMS:
            raise problems.log_unavailable("there are too many event streams")
        try:
            seen = Seen.parse(last_event_id, LETTERS) if last_event_id else None
        except ValueError as exc:
            raise problems.bad_request(
                str(exc), "send the id of an event, or none", field="Last-Event-ID"
            ) from exc
        return self._counted(_Reader(self._model, seen, kinds, task_id).chunks(self._heartbeat_s))

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            self.open -= 1


class _Reader:
    """How far one client is."""

    def __init__(
        self, model: ReadModel, seen: Seen | None, kinds: frozenset[str], task_id: str | None
    ) -> None:
        self._log: EventLog = model.events
        self._model = model
        self._resumed = seen is not None
        self._seen = seen or model.seen()
        self._kinds, self._task_id = kinds, task_id
        self._next = self._log.next_number

    async def chunks(self, heartbeat_s: float) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        missed = self._missed() if self._resumed else []
        yield self._hello() if missed is not None else self._reset()
        if missed:
            yield b"".join(map(self._told, missed))
        while not self._log.closed:
            fresh = self._log.since(self._next)
            if fresh is None:
                yield self._reset()
                continue
            self._next += len(fresh)
            told = b"".join(self._told(event) for event in fresh if self._wanted(event))
            if told:
                yield told
            elif not fresh:
                before = self._log.next_number
                await self._log.wait(heartbeat_s)
                if self._log.next_number == before and not self._log.closed:
                    yield b": still here\n\n"

    def _missed(self) -> list[Event] | None:
        if self._model.caught_up and not self._model.has_reached(self._seen):
            return None  # an id of another log, whose events would be held for seen
        if not self._log.knows_all_after(self._seen):
            return None
        return [event for event in self._log.unseen(self._seen) if self._wanted(event)]

    def _wanted(self, event: Event) -> bool:
        if event.kind not in self._kinds or self._seen.covers(event.place):
            return False
        return self._task_id is None or event.kind != "task" or event.subject == self._task_id

    def _told(self, event: Event) -> bytes:
        self._seen.add(event.place)
        return _event(self._seen, event.kind, event.body)

    def _hello(self) -> bytes:
        return _event(self._seen, "hello", b"{}")

    def _reset(self) -> bytes:
        self._seen, self._next = self._model.seen(), self._log.next_number
        return _event(self._seen, "reset", RESET)


def _event(seen: Seen, kind: str, body: bytes) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (str(seen).encode(), kind.encode(), body)
