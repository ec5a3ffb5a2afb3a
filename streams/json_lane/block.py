"""A block of JSON messages to columns; what is wrong comes out one by one, with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas import codec
from schemas.errors import FrameError, TapestreamError, TickError
from schemas.ticks import COLUMNS, Array, Ticks
from streams.json_lane.columns import SymbolTable, convert
from streams.json_lane.single import read_tick

_MIN_GROUP = 8
"""Fewer ticks of a shape are done one by one: setting up the columns would cost more."""
_MAX_SYMBOLS = 1_000_000
_OBJECT = "send one JSON object a tick, or an array of them"


@dataclass(frozen=True, slots=True)
class BadTick:
    """What cannot be used: a whole message, or one element of its array.

    Attributes
    ----------
    message
        Which of the block's messages.
    element
        Which element of its array; None when it is the message.
    payload
        The message, or the element, as JSON.
    """

    message: int
    element: int | None
    error: TapestreamError
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Block:
    """What a block of messages holds.

    Attributes
    ----------
    ticks
        The good ticks, in order.
    messages : int64[n]
        Which message each is of.
    elements : int32[n]
        Which element of the message's array; 0 for a message of one tick.
    bad
        The others, in order.
    """

    ticks: Ticks
    messages: Array
    elements: Array
    bad: list[BadTick]


class JsonBlocks:
    """Reads blocks; remembers the symbols, so that their codes stay the same from block to block."""

    def __init__(self) -> None:
        self._symbols = SymbolTable()
        self._tuple: tuple[str, ...] = ()

    def read(self, payloads: Sequence[bytes | None]) -> Block:
        """Check and convert the ticks of some messages."""
        if len(self._symbols) > _MAX_SYMBOLS:
            self._symbols.clear()
        bad: list[BadTick] = []
        rows, messages, elements = _flatten(payloads, bad)
        columns, good = self._convert(rows)
        for place in np.flatnonzero(~good).tolist():
            try:
                self._set(columns, place, rows[place])
                good[place] = True
            except TickError as error:
                message = int(messages[place])
                value = payloads[message]
                in_array = value is not None and value.lstrip()[:1] == b"["
                bad.append(
                    BadTick(message, int(elements[place]), error, codec.dumps(rows[place]))
                    if in_array
                    else BadTick(message, None, error, value)
                )
        if not good.all():
            columns = {name: column[good] for name, column in columns.items()}
            messages, elements = messages[good], elements[good]
        bad.sort(key=lambda tick: (tick.message, tick.element or 0))
        if len(self._tuple) != len(self._symbols):
            self._tuple = tuple(self._symbols)
        return Block(Ticks(self._tuple, columns), messages, elements, bad)

    def _convert(self, rows: list[Any]) -> tuple[dict[str, Array], npt.NDArray[np.bool_]]:
        """The plainly good rows, by shape: a producer lists the same fields in the same order each time."""
        n = len(rows)
        columns = {name: np.zeros(n, dtype) for name, dtype in COLUMNS.items()}
        good = np.zeros(n, np.bool_)
        shapes = list(map(tuple, rows))
        distinct = {shape: number for number, shape in enumerate(dict.fromkeys(shapes))}
        if len(distinct) == 1 and n >= _MIN_GROUP:
            return convert(_transpose(shapes[0], rows), n, self._symbols)
        numbers = np.fromiter(map(distinct.__getitem__, shapes), np.int32, n)
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=len(distinct))).tolist()
        for shape, start, end in zip(distinct, [0, *ends], ends, strict=False):
            if end - start < _MIN_GROUP:
                continue
            places = order[start:end]
            group = [rows[place] for place in places.tolist()]
            some, fine = convert(_transpose(shape, group), len(group), self._symbols)
            good[places] = fine
            for name, column in some.items():
                columns[name][places] = column
        return columns, good

    def _set(self, columns: dict[str, Array], place: int, value: Any) -> None:
        row = read_tick(value)
        for name, cell in zip(row._fields, row, strict=True):
            columns[name][place] = self._symbols[row.symbol] if name == "symbol" else cell


def _transpose(shape: tuple[str, ...], rows: list[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    return dict(zip(shape, zip(*map(dict.values, rows), strict=True), strict=True))


def _flatten(payloads: Sequence[bytes | None], bad: list[BadTick]) -> tuple[list[Any], Array, Array]:
    """The JSON objects of the messages, and for each its message and element."""
    try:
        values = codec.loads_all(payloads)  # type: ignore[arg-type]
        if all(map(is_, map(type, values), [dict] * len(values))):
            n = len(values)
            return values, np.arange(n), np.zeros(n, np.int32)
        loaded: list[tuple[int, Any]] = list(enumerate(values))
    except (FrameError, TypeError):
        loaded = []
        for message, payload in enumerate(payloads):
            try:
                loaded.append((message, codec.loads(payload or b"")))
            except FrameError as error:
                bad.append(BadTick(message, None, error, payload))
    rows: list[Any] = []
    messages: list[int] = []
    elements: list[int] = []
    for message, value in loaded:
        for element, item in enumerate(value if type(value) is list else (value,)):
            if type(item) is dict:
                rows.append(item)
                messages.append(message)
                elements.append(element)
                continue
            wrong = FrameError(f"a tick must be a JSON object, was {type(item).__name__}", _OBJECT)
            whole = type(value) is not list
            bad.append(
                BadTick(
                    message,
                    None if whole else element,
                    wrong,
                    payloads[message] if whole else codec.dumps(item),
                )
            )
    return rows, np.array(messages, np.int64), np.array(elements, np.int32)
