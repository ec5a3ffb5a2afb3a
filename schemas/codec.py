"""JSON in and out, by orjson; errors name the field. The only module that knows orjson."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from schemas.errors import FrameError

M = TypeVar("M", bound=BaseModel)


def dumps(value: Any) -> bytes:
    """Compact JSON bytes of plain data or a message; NumPy scalars and arrays allowed, NaN is null."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def dumps_pretty(value: Any) -> str:
    """JSON for people: indented, keys in order."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2).decode()


def loads(payload: bytes | bytearray | memoryview | str) -> Any:
    """Parse JSON.

    Raises
    ------
    FrameError
        With the line and column of the first offence.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as exc:
        raise FrameError(f"not JSON: {exc}", "send UTF-8 JSON, one value a message") from exc


def loads_all(payloads: Iterable[bytes]) -> list[Any]:
    """Parse many messages, each by itself, in one go.

    Raises
    ------
    FrameError
        When one of them is no JSON; :func:`loads` finds which.
    """
    try:
        return list(map(orjson.loads, payloads))
    except orjson.JSONDecodeError as exc:
        raise FrameError(f"not JSON: {exc}") from exc


def decode(model: type[M], payload: bytes | bytearray | memoryview | str) -> M:
    """Parse and check a message.

    Raises
    ------
    FrameError
        Naming the first field at fault and why.
    """
    value = loads(payload)
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        error = exc.errors()[0]
        where = ".".join(str(part) for part in error["loc"]) or "message"
        raise FrameError(f"{model.__name__}.{where}: {error['msg']}") from exc
