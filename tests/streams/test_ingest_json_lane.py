"""The block reader against the one-tick reader: the same ticks, the same refusals, whatever the JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.errors import FrameError, TickError
from schemas.messages import TickJson
from schemas.ticks import COLUMNS
from streams.json_lane import Block, JsonBlocks
from streams.json_lane.columns import SymbolTable, convert, fixed_point
from streams.json_lane.single import Row, read_tick

QUOTE: dict[str, Any] = {
    "symbol": "AAPL",
    "ts_event_ns": 1_700_000_000_000_000_000,
    "kind": "quote",
    "bid_px": 60123.45,
    "ask_px": 60123.46,
    "bid_sz": 1.5,
    "ask_sz": 2,
}
TRADE: dict[str, Any] = {
    "symbol": "BTC-USD",
    "ts_event_ns": 1_700_000_000_000_000_001,
    "kind": "trade",
    "trade_px": "60123.450000001",
    "trade_sz": 0.25,
    "aggressor": -1,
    "sequence": 2**64 - 1,
}

ODD: list[Any] = [
    None, True, False, "", " ", "quote", "trade", "1", " 1.5 ", "1_000", "-1", "+1", "1e3", "1.", ".5",
    "0x10", "NaN", "Infinity", "1,2", "1,", "0.0000000001", "0.1234567891", "4000000000", "01.50", "１",
    "3999999999.999999999", 0, -0.0, 1, -1, 1.0, 1.5, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1,
    1e-9, 1.5e-9, 1e-10, 5e-324, 1e308, 0.1 + 0.2, 60123.45, 8388607.123456789, 8388608.123456789,
    16777216.12345, 1234567890.12345, 1234567890.123456, 3999999999.9999995, 4e9, [], [1], {}, {"a": 1},
    "x" * 64, "x" * 65, "tab\t", "\u00a0", "é", "\u0000",
]  # fmt: skip
NUMBERS = (
    st.sampled_from(ODD)
    | st.floats(0, 5e9)
    | st.integers(0, 10**9).map(lambda cents: cents / 100)
    | st.decimals(0, 5_000_000_000, places=9, allow_nan=False).map(str)
    | st.decimals(0, 100, places=10, allow_nan=False).map(str)
    | st.floats(0, 9e6).map(lambda price: round(price, 9))
)
INTEGERS = st.sampled_from(ODD) | st.integers(-2, 2**64 + 2)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "symbol": st.sampled_from(["AAPL", "MSFT", "ΑΒΓ", "A B"]) | st.text(max_size=3) | st.sampled_from(ODD),
    "ts_event_ns": INTEGERS,
    "ts_recv_ns": INTEGERS,
    "kind": st.sampled_from(["quote", "trade"]) | st.sampled_from(ODD),
    **dict.fromkeys(("bid_px", "ask_px", "trade_px", "bid_sz", "ask_sz", "trade_sz"), NUMBERS),
    "aggressor": st.sampled_from([-1, 0, 1, 2]) | st.sampled_from(ODD),
    "sequence": INTEGERS,
    "venue": st.sampled_from(ODD),
}


@st.composite
def ticks_of_one_shape(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Ticks with the same fields, so many that they are done as columns; some fields good, some odd."""
    base = draw(st.sampled_from([QUOTE, TRADE, QUOTE | TRADE]))
    odd = draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=3))
    fields = [name for name in VALUES if name in base or name in odd]
    dropped = draw(st.sampled_from([None, *fields]))
    shape = draw(st.permutations([name for name in fields if name != dropped]))
    n = draw(st.integers(8, 14))
    return [
        {name: draw(VALUES[name]) if name in odd or name not in base else base[name] for name in shape}
        for _ in range(n)
    ]


def dumps(value: Any) -> bytes:
    """JSON of anything, unlike the codec's also of integers of more than 64 bits."""
    return json.dumps(value, separators=(",", ":")).encode()


def one_by_one(values: list[Any]) -> list[Row | None]:
    """The naive loop: the row of each value, None for what is refused."""
    rows: list[Row | None] = []
    for value in values:
        try:
            rows.append(read_tick(value))
        except TickError:
            rows.append(None)
    return rows


def rows_of(block: Block) -> list[Row]:
    columns = [
        [block.ticks.symbols[code] for code in column.tolist()] if name == "symbol" else column.tolist()
        for name, column in ((name, block.ticks.columns[name]) for name in COLUMNS)
    ]
    return [Row(*cells) for cells in zip(*columns, strict=True)]


@settings(max_examples=150, deadline=None)
@given(ticks_of_one_shape())
def test_columns_never_accept_what_one_by_one_refuses_and_agree_on_every_value(
    ticks: list[dict[str, Any]],
) -> None:
    loaded = [codec.loads(dumps(tick)) for tick in ticks]
    table = SymbolTable()
    fields = {name: [tick[name] for tick in loaded] for name in loaded[0]} if loaded[0] else {}
    columns, good = convert(fields, len(loaded), table)
    names = list(table)
    expected = one_by_one(loaded)
    for place in np.flatnonzero(good).tolist():
        cells = [columns[name][place].item() for name in COLUMNS]
        cells[2] = names[cells[2]]
        assert Row(*cells) == expected[place]


@pytest.mark.parametrize("base", [QUOTE, TRADE, QUOTE | TRADE], ids=["quote", "trade", "both"])
@pytest.mark.parametrize("field", [*VALUES])
def test_one_odd_value_in_a_column_is_judged_as_it_is_alone(base: dict[str, Any], field: str) -> None:
    for value in ODD:
        odd = base | {field: value}
        ticks = [codec.loads(dumps(tick)) for tick in [base | {field: base.get(field)}] * 8 + [odd]]
        block = JsonBlocks().read([dumps(tick) for tick in ticks])
        assert rows_of(block) == [row for row in one_by_one(ticks) if row is not None], value


@settings(max_examples=60, deadline=None)
@given(st.lists(ticks_of_one_shape(), min_size=1, max_size=2).map(lambda groups: list(chain(*groups))))
def test_a_block_holds_exactly_the_ticks_that_one_by_one_accepts(ticks: list[dict[str, Any]]) -> None:
    payloads = [dumps(tick) for tick in ticks]
    block = JsonBlocks().read(payloads)
    expected = one_by_one([codec.loads(payload) for payload in payloads])
    assert rows_of(block) == [row for row in expected if row is not None]
    assert block.messages.tolist() == [k for k, row in enumerate(expected) if row is not None]
    assert [(bad.message, bad.element, bad.payload) for bad in block.bad] == [
        (k, None, payloads[k]) for k, row in enumerate(expected) if row is None
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(ticks_of_one_shape().map(lambda ticks: ticks[0]), min_size=1, max_size=3))
def test_one_by_one_accepts_what_the_message_model_accepts_within_the_frame_s_limits(
    ticks: list[dict[str, Any]],
) -> None:
    for tick in ticks:
        payload = dumps(tick)
        try:
            model = codec.decode(TickJson, payload)
        except FrameError:
            with pytest.raises(TickError):
                read_tick(codec.loads(payload))
            continue
        needed = ("bid_px", "ask_px") if model.kind == "quote" else ("trade_px",)
        fits = (
            model.symbol.isprintable()
            and max(model.ts_event_ns, model.ts_recv_ns) < 2**63
            and all((getattr(model, name) * 10**9) % 1 == 0 for name in needed)
        )
        if not fits:
            with pytest.raises(TickError):
                read_tick(codec.loads(payload))
            continue
        row = read_tick(codec.loads(payload))
        assert [getattr(row, name) for name in needed] == [
            int(getattr(model, name) * 10**9) for name in needed
        ]


@given(
    st.lists(
        st.floats(0, 4e9) | st.floats(2**21, 2**27) | st.floats(0, 9e6).map(lambda p: round(p, 9)), min_size=1
    )
)
def test_a_price_that_is_fixed_at_once_is_its_shortest_decimal_exactly(prices: list[float]) -> None:
    fixed, exact = fixed_point(np.array(prices))
    for price, nanos, certain in zip(prices, fixed.tolist(), exact.tolist(), strict=True):
        if certain:
            assert Decimal(nanos) / 10**9 == Decimal(repr(price))


def test_prices_of_cents_up_to_the_limit_are_all_fixed_at_once() -> None:
    cents = np.array([1, 99, 6_012_345, 2**31, 399_999_999_999], np.int64)
    fixed, exact = fixed_point(cents / 100)
    assert (fixed.tolist(), exact.all()) == ((cents * 10_000_000).tolist(), True)


def test_plain_ticks_take_the_fast_way() -> None:
    for base in (QUOTE, TRADE):
        _, good = convert({name: [base[name]] * 8 for name in base}, 8, SymbolTable())
        assert good.tolist() == [True] * 8


def test_arrays_and_single_ticks_keep_their_order_and_coordinates() -> None:
    payloads = [
        dumps(QUOTE),
        dumps([QUOTE | {"sequence": k} for k in range(9)]),
        b"[]",
        dumps([TRADE, TRADE | {"trade_px": -1.0}, 7, TRADE]),
        b"{not json",
        None,
        b"[1",
        b'"text"',
        dumps(TRADE | {"kind": "bar"}),
    ]
    block = JsonBlocks().read(payloads)
    assert list(zip(block.messages.tolist(), block.elements.tolist(), strict=True)) == [
        (0, 0),
        *((1, k) for k in range(9)),
        (3, 0),
        (3, 3),
    ]
    assert [(bad.message, bad.element, bad.payload, bad.error.problem) for bad in block.bad] == [
        (
            3,
            1,
            dumps(TRADE | {"trade_px": -1.0}),
            "trade_px: input should be greater than 0, was -1.0",
        ),
        (3, 2, b"7", "a tick must be a JSON object, was int"),
        (4, None, b"{not json", block.bad[2].error.problem),
        (5, None, None, block.bad[3].error.problem),
        (6, None, b"[1", block.bad[4].error.problem),
        (7, None, b'"text"', "a tick must be a JSON object, was str"),
        (8, None, payloads[8], "kind: input should be 'quote' or 'trade', was bar"),
    ]
    assert [block.bad[k].error.problem.startswith("not JSON: ") for k in (2, 3, 4)] == [True] * 3


def test_messages_that_would_be_json_only_together_are_each_refused() -> None:
    first = b'{"symbol":"AAPL","kind":"quote"'
    second = b'"ts_event_ns":1}'
    block = JsonBlocks().read([first, second, dumps(TRADE)])
    assert (block.messages.tolist(), [bad.message for bad in block.bad]) == ([2], [0, 1])


def test_symbols_keep_their_codes_from_block_to_block() -> None:
    blocks = JsonBlocks()
    first = blocks.read([dumps(QUOTE)] * 8).ticks
    second = blocks.read([dumps(TRADE)] * 8 + [dumps(QUOTE)] * 8).ticks
    assert (first.symbols, second.symbols) == (("AAPL",), ("AAPL", "BTC-USD"))
    assert second.columns["symbol"].tolist() == [1] * 8 + [0] * 8


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bid_px": "-1"}, "bid_px: input should be greater than 0, was -1"),
        ({"bid_px": "0.0000000001"}, "bid_px: more than 9 decimals, was 1E-10"),
        ({"symbol": "a\nb"}, "symbol: must be printable, was 'a\\nb'"),
        ({"ts_event_ns": 2**63}, f"ts_event_ns: must be below 2**63, was {2**63}"),
        ({"bid_sz": None}, "tick: a quote needs bid_sz"),
        ({"ts_recv_ns": -1}, "ts_recv_ns: input should be greater than or equal to 0, was -1"),
    ],
)
def test_a_refusal_names_the_field_and_the_value(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(TickError) as caught:
        read_tick(QUOTE | change)
    assert caught.value.problem == problem


def test_a_missing_field_is_named() -> None:
    with pytest.raises(TickError, match="ts_event_ns: field required"):
        read_tick({"symbol": "A", "kind": "quote"})
