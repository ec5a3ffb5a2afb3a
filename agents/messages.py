"""A message of ``market.ticks``, and what its headers say of event time."""

from __future__ import annotations

from typing import NamedTuple

from schemas.errors import FrameError
from schemas.headers import H_WATERMARK, Headers, get_header


class Message(NamedTuple):
    """One message of ``market.ticks``, as the log has it."""

    offset: int
    timestamp_ms: int
    headers: Headers
    value: bytes | None


def heartbeat_of(message: Message) -> int | None:
    """The event time that a heartbeat tells, or None when the message is a frame."""
    value = get_header(message.headers, H_WATERMARK)
    if value is None:
        return None
    try:
        watermark = int(value)
    except ValueError:
        raise FrameError(f"header {H_WATERMARK} is {value[:32]!r}, must be decimal nanoseconds") from None
    if not 0 < watermark < 7_258_118_400_000_000_000:
        raise FrameError(f"header {H_WATERMARK} is {watermark}, outside 1970 to 2200")
    return watermark
