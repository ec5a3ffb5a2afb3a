"""What the API writes: requests, cancellations and policies, each once however often it is sent."""

from __future__ import annotations

import asyncio
import time
import uuid
from http import HTTPStatus
from typing import NamedTuple

from orchestrator.api import problems
from orchestrator.api.model import TaskRow, fingerprint
from orchestrator.api.reader import Link
from schemas import codec
from schemas.commands import PolicyCommand, PolicyName
from schemas.errors import BrokerError
from schemas.messages import Message
from schemas.tasks import TaskCancel, TaskRequest
from streams import topics
from streams.clients import MAX_RECORD_BYTES

KEYS = uuid.UUID("6e0c3b62-3a0b-5b57-9a5e-6b3d2f1f7a10")
"""The name space in which an idempotency key makes a task id, the same in every process."""

POLICY_KEY = "policy"


class Submitted(NamedTuple):
    """What became of a submission."""

    row: TaskRow
    repeated: bool


class Gateway:
    """Sends what the API accepts."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._under_way: dict[str, asyncio.Lock] = {}

    async def submit(self, request: TaskRequest, header_key: str | None) -> Submitted:
        """Put a request onto ``gpu.tasks``, unless it is there already.

        Parameters
        ----------
        header_key
            The ``Idempotency-Key``; it and the field of the request are one and the same.

        Raises
        ------
        ApiProblem
            When the key or the id belongs to another request, or the log does not take it.
        """
        request = named(request, header_key)
        task_id = str(request.task_id)
        # Two of the same at once: the second one waits and finds the first.
        lock = self._under_way.setdefault(task_id, asyncio.Lock())
        try:
            async with lock:
                return await self._submit_alone(task_id, request)
        finally:
            if not lock.locked() and self._under_way.get(task_id) is lock:
                del self._under_way[task_id]

    async def _submit_alone(self, task_id: str, request: TaskRequest) -> Submitted:
        tasks = self._link.model.tasks
        key = request.idempotency_key
        known = (tasks.by_key(key) if key else None) or tasks.get(task_id)
        if known is not None and known.fingerprint is not None:
            if known.fingerprint != fingerprint(request):
                raise problems.conflict(
                    f"task {known.task_id} is another request", "use another idempotency key or task_id"
                )
            return Submitted(known, repeated=True)
        # The same key or id may have been used before this process has read that far.
        if not self._link.model.caught_up:
            raise problems.not_ready()
        await self._send(topics.GPU_TASKS, task_id, request)
        tasks.request(task_id, request, time.time_ns() // 1_000_000, None)
        row = tasks.get(task_id)
        assert row is not None
        return Submitted(row, repeated=False)

    async def cancel(self, task_id: str, reason: str) -> TaskRow:
        """Ask for a task's end; nothing is sent for one that is over or was asked already."""
        row = self._link.model.tasks.get(task_id)
        if row is None:
            raise problems.unknown_task(task_id)
        if not row.is_over and not row.cancel_requested:
            await self._send(topics.GPU_TASKS, task_id, TaskCancel(task_id=task_id, reason=reason))
            self._link.model.tasks.cancel(task_id, time.time_ns() // 1_000_000)
        return row

    async def choose_policy(self, policy: PolicyName, requested_by: str) -> PolicyCommand:
        """Tell the memory guards which policy to follow."""
        command = PolicyCommand(policy=policy, at_ns=time.time_ns(), requested_by=requested_by)
        await self._send(topics.GPU_COMMANDS, POLICY_KEY, command)
        self._link.model.policy = command
        return command

    async def _send(self, base: str, key: str, message: Message) -> None:
        check_size(message)
        sender = self._link.sender
        if sender is None:
            raise problems.log_unavailable("Kafka does not answer")
        try:
            await sender.send(base, key, message)
        except BrokerError as exc:
            raise problems.log_unavailable(exc.problem) from exc


def named(request: TaskRequest, header_key: str | None) -> TaskRequest:
    """The request with its key and an id: its own, or the one that its key makes, or a new one."""
    key = request.idempotency_key
    if header_key is not None and not 1 <= len(header_key) <= 256:
        raise problems.bad_request("1 to 256 characters", field="Idempotency-Key")
    if key is not None and header_key is not None and key != header_key:
        raise problems.bad_request(
            "the header Idempotency-Key and the field differ", "send one of them", field="idempotency_key"
        )
    key = key or header_key
    made = uuid.uuid5(KEYS, key) if key else uuid.uuid4()
    return request.model_copy(update={"idempotency_key": key, "task_id": request.task_id or str(made)})


def check_size(message: Message) -> None:
    """Refuse what the log cannot hold.

    Raises
    ------
    ApiProblem
        When it is too large for one message, or has no JSON.
    """
    try:
        size = len(codec.dumps(message))
    except (TypeError, ValueError) as exc:  # what JSON here has no form for
        raise problems.bad_request(f"cannot be written as JSON: {exc}", field="data") from exc
    if size > MAX_RECORD_BYTES - 1_024:
        raise problems.ApiProblem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body-too-large",
            f"{size:,} bytes do not fit into a message of the log",
            "name a Parquet file under the data folder instead of sending its contents",
        )
