"""What a person asks for, ``"macd(12,26,9)"``, as a row of the table and numbers within their bounds."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from agents.kernels.indicators import TABLE, Indicator, Parameter
from agents.kernels.indicators.blocks import lookback
from schemas.errors import ParameterError

ALIASES = {
    "bollinger": "bbands",
    "keltner": "kc",
    "hull": "hma",
    "highest": "max",
    "lowest": "min",
}
"""Other words for names of the table."""

_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Request:
    """An indicator with its numbers.

    Attributes
    ----------
    text
        As asked, in small letters and without spaces: what results are called.
    row
        The table's row.
    parameters
        All of them, in the row's order.
    """

    text: str
    row: Indicator
    parameters: tuple[float, ...]

    @cached_property
    def lookback(self) -> int:
        """Leading bars without a value."""
        return lookback(self.row, self.parameters)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the results: the text, and for several outputs ``text.output`` each."""
        if len(self.row.outputs) == 1:
            return (self.text,)
        return tuple(f"{self.text}.{output}" for output in self.row.outputs)


def parse(text: str) -> Request:
    """Read one request: a name, or a name with numbers by place or by name, ``"ema(timeperiod=9)"``.

    Raises
    ------
    ParameterError
        When there is no such indicator, or a number is not one, out of bounds, or too many.
    """
    call = _CALL.fullmatch(text)
    if call is None:
        raise ParameterError(f"{text!r} is not an indicator", 'write it like "rsi" or "macd(12,26,9)"')
    asked = call[1].lower()
    name = ALIASES.get(asked, asked)
    if name not in TABLE:
        near = difflib.get_close_matches(name, [*TABLE, *ALIASES], 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "indicators.names() lists them"
        raise ParameterError(f"{asked}: there is no such indicator", hint)
    row = TABLE[name]
    parts = [part.strip().lower() for part in (call[2] or "").split(",") if part.strip()]
    values = _numbers(row, parts)
    shown = asked if not parts else f"{asked}({','.join(part.replace(' ', '') for part in parts)})"
    return Request(shown, row, values)


def parse_all(texts: str | Iterable[str]) -> list[Request]:
    """Read requests; each may come once."""
    requests = [parse(text) for text in ([texts] if isinstance(texts, str) else texts)]
    twice = {request.text for request in requests if requests.count(request) > 1}
    if twice:
        raise ParameterError(f"{', '.join(sorted(twice))}: asked for twice", "name each indicator once")
    return requests


def _numbers(row: Indicator, parts: list[str]) -> tuple[float, ...]:
    wanted = {parameter.name: parameter for parameter in row.parameters}
    if len(parts) > len(wanted):
        takes = f"takes {', '.join(wanted)}" if wanted else "takes no parameters"
        raise ParameterError(f"{row.name}: {len(parts)} parameters, it {takes}", "leave the rest away")
    given: dict[str, float] = {}
    for place, part in enumerate(parts):
        name, _, number = part.rpartition("=")
        name = name.strip() or row.parameters[place].name
        if name not in wanted or name in given:
            problem = "given twice" if name in given else f"no such parameter, it takes {', '.join(wanted)}"
            raise ParameterError(f"{row.name}: {name}: {problem}", f"see indicators.describe({row.name!r})")
        given[name] = _number(row, wanted[name], number.strip())
    return tuple(given.get(parameter.name, parameter.default) for parameter in row.parameters)


def _number(row: Indicator, parameter: Parameter, text: str) -> float:
    kind = "a whole number" if parameter.whole else "a number"
    bounds = f"{kind} from {parameter.least:g} to {parameter.most:g}"
    try:
        value = int(text) if parameter.whole else float(text)
    except ValueError:
        value = None
    if value is None or not parameter.least <= value <= parameter.most:
        raise ParameterError(
            f"{row.name}: {parameter.name} must be {bounds}, was {text}",
            f"{parameter.default:g} is the usual value",
        )
    return value
