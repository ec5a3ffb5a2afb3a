"""Messages that people and foreign clients read or write, as JSON. Checked by pydantic at the edge."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.ticks import MAX_SYMBOL


class Message(BaseModel):
    """Base of all: frozen, and later versions may add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Price = Annotated[Decimal, Field(gt=0, lt=Decimal(4_000_000_000))]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]


QUOTE_FIELDS = ("bid_px", "ask_px", "bid_sz", "ask_sz")
TRADE_FIELDS = ("trade_px", "trade_sz")


def _state_what_each_kind_needs(schema: dict[str, Any]) -> None:
    """Put into the JSON Schema what the validator of a tick demands beyond its fields."""
    schema["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {
                "required": list(fields),
                "properties": {name: {"not": {"type": "null"}} for name in fields},
            },
        }
        for kind, fields in (("quote", QUOTE_FIELDS), ("trade", TRADE_FIELDS))
    ]


class TickJson(Message):
    """One tick on ``market.ticks.json``; prices are numbers or decimal strings (which stay exact)."""

    model_config = ConfigDict(json_schema_extra=_state_what_each_kind_needs)

    symbol: Annotated[str, Field(min_length=1, max_length=MAX_SYMBOL)]
    ts_event_ns: Annotated[int, Field(gt=0, description="exchange time, ns since 1970-01-01 UTC")]
    ts_recv_ns: Annotated[int, Field(ge=0, description="capture time, ns; 0 when unknown")] = 0
    kind: Literal["quote", "trade"]
    bid_px: Price | None = None
    ask_px: Price | None = None
    bid_sz: Size | None = None
    ask_sz: Size | None = None
    trade_px: Price | None = None
    trade_sz: Size | None = None
    aggressor: Annotated[Literal[-1, 0, 1], Field(description="+1 buyer, -1 seller, 0 unknown")] = 0
    sequence: Annotated[int, Field(ge=0, lt=2**64)] = 0

    @model_validator(mode="after")
    def _kind_has_its_fields(self) -> TickJson:
        needed = QUOTE_FIELDS if self.kind == "quote" else TRADE_FIELDS
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a {self.kind} needs {', '.join(missing)}")
        return self


class Source(Message):
    """The range of input that a message rests on: offsets of ``market.ticks``, both inclusive."""

    partition: int
    first_offset: int
    last_offset: int


class Signal(Message):
    """One trading signal: a side taken, changed or left."""

    signal_id: Annotated[str, Field(description="the origin's coordinates: the same input gives the same id")]
    symbol: str
    kind: str
    ts_event_ns: Annotated[int, Field(description="event time: the close of the window")]
    window: Annotated[str, Field(description="the window's length, like 1s")]
    side: Annotated[Literal[-1, 0, 1], Field(description="+1 buy, -1 sell, 0 leave")]
    strength: Annotated[float, Field(description="|expected move| over cost; dimensionless")]
    probabilities: dict[str, float] | None = None
    expected_move_bps: Annotated[float | None, Field(description="null when the rule could not say")]
    cost_bps: Annotated[float | None, Field(description="half the spread and the fee; null when unknown")]
    features: dict[str, float | None]
    model: str
    source: Source
    latency_us: Annotated[
        dict[str, float], Field(description="by stage, wall clock; not part of the signal's identity")
    ]


class QualityEvent(Message):
    """Trouble in the input: which symbol, what, and exactly which ticks."""

    kind: Literal["late", "duplicate", "gap", "crossed", "sequence_reset", "misrouted", "data_loss"]
    symbol: str
    count: Annotated[int, Field(description="ticks concerned; for a gap, sequence numbers missing")]
    partition: int
    offset: Annotated[int, Field(description="the message of market.ticks")]
    rows: Annotated[list[int], Field(description="row numbers of the ticks within that message")]
    detail: Annotated[str, Field(description="for people: what was expected and what came")]
