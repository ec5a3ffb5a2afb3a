"""One tick at a time: the rules of :class:`schemas.messages.TickJson`, and errors that name the field."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, NamedTuple

from pydantic import ValidationError

from schemas.errors import TickError
from schemas.messages import TickJson
from schemas.ticks import QUOTE, TRADE, Ticks, make_ticks

PRICE_REMEDY = "prices are positive numbers, or strings of them, of at most 9 decimals"
_NANO = Decimal("1e-9")
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])


class Row(NamedTuple):
    """A tick as the values of its columns, in the order of :data:`schemas.ticks.COLUMNS`."""

    ts_event_ns: int
    ts_recv_ns: int
    symbol: str
    kind: int
    bid_px: int
    ask_px: int
    trade_px: int
    bid_sz: float
    ask_sz: float
    trade_sz: float
    aggressor: int
    sequence: int


def read_tick(value: Any) -> Row:
    """Check one tick that came as JSON.

    A quote's trade fields and a trade's quote fields are checked, and then dropped.

    Raises
    ------
    TickError
        Naming the field, the rule and the value.
    """
    try:
        tick = TickJson.model_validate(value)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in error["loc"])
        shown = "" if error["type"] == "missing" or not where else f", was {str(error['input'])[:80]}"
        raise TickError(f"{where or 'tick'}: {_lower(error['msg'])}{shown}", _remedy(where)) from exc
    if not tick.symbol.isprintable():
        raise TickError(f"symbol: must be printable, was {tick.symbol!r}")
    for name in ("ts_event_ns", "ts_recv_ns"):
        if getattr(tick, name) >= 2**63:
            raise TickError(f"{name}: must be below 2**63, was {getattr(tick, name)}", "send nanoseconds")
    if tick.kind == "quote":
        kind, prices = QUOTE, (_fixed(tick, "bid_px"), _fixed(tick, "ask_px"), 0)
        sizes = (tick.bid_sz or 0.0, tick.ask_sz or 0.0, 0.0)
    else:
        kind, prices = TRADE, (0, 0, _fixed(tick, "trade_px"))
        sizes = (0.0, 0.0, tick.trade_sz or 0.0)
    return Row(
        tick.ts_event_ns, tick.ts_recv_ns, tick.symbol, kind, *prices, *sizes, tick.aggressor, tick.sequence
    )


def rows_to_ticks(rows: list[Row]) -> Ticks:
    """Columns of some rows, in order."""
    codes: dict[str, int] = {}
    columns: dict[str, Any] = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    columns["symbol"] = [codes.setdefault(symbol, len(codes)) for symbol in columns["symbol"]]
    return make_ticks(tuple(codes), **columns)


class Lane:
    """Ticks that come one by one and leave as columns."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, fields: dict[str, Any]) -> None:
        """Check a tick and keep it; TickError as from :func:`read_tick`."""
        self._rows.append(read_tick(fields))

    def take(self) -> Ticks:
        """The ticks kept so far, at least one; afterwards the lane is empty."""
        rows, self._rows = self._rows, []
        return rows_to_ticks(rows)


def _fixed(tick: TickJson, name: str) -> int:
    price: Decimal = getattr(tick, name)
    try:
        return int(price.quantize(_NANO, context=_EXACT).scaleb(9, context=_EXACT))
    except (Inexact, InvalidOperation):
        raise TickError(f"{name}: more than 9 decimals, was {price}", PRICE_REMEDY) from None


def _remedy(where: str) -> str:
    return PRICE_REMEDY if where.endswith("_px") else "see TickJson in the message reference"


def _lower(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
