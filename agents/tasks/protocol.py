"""What a runner and its child say to each other, over a socket that only they hold.

A frame is two lengths, a JSON head and raw bytes: a result is encoded once, by the child. The child is
trusted as far as its agent's code is: what it says concerns its own task alone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agents.allocators import Held
from schemas import codec
from schemas.errors import FrameError
from schemas.tasks import Failure

PREFIX = struct.Struct("<II")


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True)


class Order(_Frame):
    """To the child: do this attempt.

    Attributes
    ----------
    batch_share
        Of what the agent would do at once.
    clean
        Forget the agents afterwards, with all that they keep.
    spill
        Have cuDF move to the host what does not fit.
    """

    kind: Literal["order"] = "order"
    agent: str
    task_id: str
    task_type: str
    attempt: int
    data: dict[str, Any]
    devices: tuple[str, ...]
    memory_bytes: int
    inline_bytes: int
    batch_share: float = 1.0
    clean: bool = False
    spill: bool = False


class Tend(_Frame):
    """To a child that waits: give back what you keep, and have cuDF spill from now on, or not."""

    kind: Literal["tend"] = "tend"
    on_cpu: bool
    spill: bool = False


class Stop(_Frame):
    """To the child: end the task now, cleaning up."""

    kind: Literal["stop"] = "stop"


class Ready(_Frame):
    """From the child: it is up."""

    kind: Literal["ready"] = "ready"


class Began(_Frame):
    """From the child: the agent is loaded, the data good, the work begins."""

    kind: Literal["began"] = "began"
    rss_bytes: int


class Progressed(_Frame):
    """From the child: how far it is."""

    kind: Literal["progress"] = "progress"
    progress: float
    stage: str


class Holding(_Frame):
    """From the child, now and then while it works: what its allocators hold on its GPUs."""

    kind: Literal["holding"] = "holding"
    held: list[Held] = []


class Done(_Frame):
    """From the child: the task has ended and is cleaned up; the frame's bytes are the result's JSON.

    Attributes
    ----------
    kept_bytes
        Resident memory that did not come back, against a child that only has its agents loaded.
    kept_gpu_bytes
        What torch's allocator still holds on the devices.
    held
        What all allocators still hold there.
    """

    kind: Literal["done"] = "done"
    failure: Failure | None = None
    result_path: str | None = None
    peak_memory_bytes: int | None = None
    kept_bytes: int = 0
    kept_gpu_bytes: int = 0
    held: list[Held] = []


class Tended(_Frame):
    """From the child: it has given back what it could.

    Attributes
    ----------
    bytes_before, bytes_after
        Resident on the CPU; on GPUs what torch's allocator holds, None when it is not at work.
    has_cudf
        Whether cuDF is loaded.
    held
        What the allocators still hold on GPUs.
    """

    kind: Literal["tended"] = "tended"
    bytes_before: int | None = None
    bytes_after: int | None = None
    has_cudf: bool = False
    held: list[Held] = []


FromChild = Ready | Began | Progressed | Holding | Done | Tended
ToChild = Order | Stop | Tend
_HEADS: TypeAdapter[FromChild | ToChild] = TypeAdapter(
    Annotated[FromChild | ToChild, Field(discriminator="kind")]
)


def encode(head: FromChild | ToChild, body: bytes = b"") -> bytes:
    """A frame."""
    text = codec.dumps(head)
    return PREFIX.pack(len(text), len(body)) + text + body


def decode(text: bytes) -> FromChild | ToChild:
    """The head of a frame."""
    return _HEADS.validate_python(codec.loads(text))


def receive(connection: socket.socket) -> FromChild | ToChild | None:
    """The child's way to read a frame; None when the other side is gone."""
    prefix = _exactly(connection, PREFIX.size)
    if prefix is None:
        return None
    head, body = PREFIX.unpack(prefix)
    text = _exactly(connection, head + body)
    return None if text is None else decode(text[:head])


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size > 0:
        try:
            part = connection.recv(min(size, 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


async def read(reader: asyncio.StreamReader) -> tuple[FromChild | ToChild, bytes] | None:
    """The runner's way to read a frame; None when the child is gone or talks nonsense."""
    try:
        head, body = PREFIX.unpack(await reader.readexactly(PREFIX.size))
        text = await reader.readexactly(head)
        return decode(text), await reader.readexactly(body)
    except (asyncio.IncompleteReadError, ConnectionError, FrameError, ValidationError, MemoryError):
        return None
