"""Frames: what goes in comes out, and what is no frame is refused with a reason."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import FrameError
from schemas.frame import decode_frame, encode_frame
from schemas.ipc import write_batch
from schemas.ticks import ARROW_TYPES, COLUMNS, Sequences, Ticks, concat_ticks, make_ticks


def quotes(n: int = 5, symbols: tuple[str, ...] = ("AAPL", "MSFT")) -> Ticks:
    return make_ticks(
        symbols,
        ts_event_ns=np.arange(n) + 10**18,
        symbol=np.arange(n) % len(symbols),
        kind=np.zeros(n),
        bid_px=np.full(n, 100_000_000_000),
        ask_px=np.full(n, 100_010_000_000),
        bid_sz=np.arange(n) + 1.0,
        ask_sz=np.arange(n) + 2.0,
    )


def same(a: Ticks, b: Ticks) -> bool:
    names = a.symbols == b.symbols and a.sequences == b.sequences
    return names and all(a.columns[k].tobytes() == b.columns[k].tobytes() for k in COLUMNS)


ticks_strategy = st.integers(0, 40).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            name: st.lists(
                st.floats(width=64, allow_nan=False)
                if dtype.kind == "f"
                else st.integers(0, 1)
                if name == "symbol"
                else st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)),
                min_size=n,
                max_size=n,
            )
            for name, dtype in COLUMNS.items()
        }
    )
)


@given(ticks_strategy, st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_frame_gives_back_the_same_bits(
    columns: dict[str, list[float]], dense_quotes: bool, dense_trades: bool
) -> None:
    ticks = make_ticks(("A", "B"), Sequences(dense_quotes, dense_trades), **columns)
    decoded = decode_frame(encode_frame(ticks))
    assert same(decoded, ticks)


def test_columns_that_carry_nothing_are_not_sent() -> None:
    names = pa.ipc.open_stream(encode_frame(quotes())).schema.names
    assert names == ["ts_event_ns", "symbol", "kind", "bid_px", "ask_px", "bid_sz", "ask_sz"]


def test_the_decoded_columns_are_views_of_the_message() -> None:
    payload = encode_frame(quotes())
    column = decode_frame(payload).columns["bid_px"]
    address = np.frombuffer(payload, np.uint8).__array_interface__["data"][0]
    assert address <= column.__array_interface__["data"][0] < address + len(payload)
    assert not column.flags.writeable


def frame_of(**columns: pa.Array) -> bytes:
    return write_batch(pa.RecordBatch.from_pydict(columns))


GOOD = {
    "ts_event_ns": pa.array([1, 2], pa.int64()),
    "symbol": pa.array(["A", "B"]).dictionary_encode(),
    "kind": pa.array([0, 1], pa.uint8()),
}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kind": None}, "column kind is missing"),
        ({"symbol": None}, "column symbol is missing"),
        ({"bid_px": pa.array([1.0, 2.0])}, "column bid_px is double, must be int64"),
        ({"kind": pa.array([0, 1], pa.int64())}, "column kind is int64, must be uint8"),
        ({"symbol": pa.array([1, 2])}, "column symbol is int64, must be dictionary(int32, utf8)"),
        ({"symbol": pa.array(["A", ""]).dictionary_encode()}, "symbol '' must be 1 to 64"),
        ({"symbol": pa.array(["A", "B\n"]).dictionary_encode()}, "symbol 'B\\n' must be 1 to 64"),
        ({"symbol": pa.array(["A", "B" * 65]).dictionary_encode()}, "must be 1 to 64"),
    ],
)
def test_a_frame_with_wrong_columns_is_refused_by_name(changed: dict[str, pa.Array], reason: str) -> None:
    columns = {name: array for name, array in (GOOD | changed).items() if array is not None}
    with pytest.raises(FrameError, match=None) as caught:
        decode_frame(frame_of(**columns))
    assert reason in caught.value.problem


def test_a_plain_text_symbol_column_and_other_index_types_are_read() -> None:
    plain = decode_frame(frame_of(**(GOOD | {"symbol": pa.array(["A", "B"])})))
    small = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), pa.array(["A", "B"], pa.large_utf8()))
    narrow = decode_frame(frame_of(**(GOOD | {"symbol": small})))
    assert [plain.symbols[i] for i in plain.columns["symbol"]] == ["A", "B"]
    assert [narrow.symbols[i] for i in narrow.columns["symbol"]] == ["B", "A"]


def test_a_symbol_code_outside_the_dictionary_is_refused() -> None:
    foreign = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int32()), pa.array(["A"]), safe=False)
    with pytest.raises(FrameError, match="outside the dictionary of 1"):
        decode_frame(frame_of(**(GOOD | {"symbol": foreign})))


def test_rows_with_a_null_are_marked_and_the_others_kept() -> None:
    ticks = decode_frame(frame_of(**(GOOD | {"bid_px": pa.array([None, 5], pa.int64())})))
    assert ticks.null_rows is not None
    assert (ticks.null_rows.tolist(), ticks.columns["bid_px"].tolist()) == ([True, False], [0, 5])


def test_a_null_symbol_marks_its_row() -> None:
    ticks = decode_frame(frame_of(**(GOOD | {"symbol": pa.array(["A", None]).dictionary_encode()})))
    assert ticks.null_rows is not None
    assert ticks.null_rows.tolist() == [False, True]


def test_unknown_columns_of_a_later_version_are_ignored() -> None:
    ticks = decode_frame(frame_of(**GOOD, venue=pa.array(["X", "Y"])))
    assert set(ticks.columns) == set(COLUMNS)


def test_two_batches_or_none_are_refused() -> None:
    batch = pa.RecordBatch.from_pydict(GOOD)
    for count, reason in ((0, "without a record batch"), (2, "more than one batch")):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            for _ in range(count):
                writer.write_batch(batch)
        with pytest.raises(FrameError, match=reason):
            decode_frame(sink.getvalue().to_pybytes())


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_bytes_are_a_frame_error_or_a_frame_never_anything_else(data: st.DataObject) -> None:
    payload = bytearray(encode_frame(quotes()))
    for _ in range(data.draw(st.integers(1, 8))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    for candidate in (bytes(payload), bytes(payload[:cut])):
        try:
            ticks = decode_frame(candidate)
        except FrameError:
            continue
        assert all(len(column) == len(ticks) for column in ticks.columns.values())
        assert not len(ticks) or int(ticks.columns["symbol"].max()) < len(ticks.symbols)


def test_joining_keeps_symbols_apart_and_order() -> None:
    joined = concat_ticks([quotes(2, ("A", "B")), quotes(3, ("B", "C"))])
    assert [joined.symbols[i] for i in joined.columns["symbol"]] == ["A", "B", "B", "C", "B"]


def test_arrow_and_numpy_agree_on_every_column() -> None:
    kinds = {name: str(kind) for name, kind in ARROW_TYPES.items() if name != "symbol"}
    names = {"f8": "double", "i8": "int64", "u1": "uint8", "i1": "int8", "u8": "uint64"}
    assert kinds == {name: names[dtype.str[1:]] for name, dtype in COLUMNS.items() if name != "symbol"}


@given(
    rows=st.lists(st.integers(0, 200), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
    used=st.sets(st.sampled_from(["ts_recv_ns", "trade_px", "aggressor", "sequence", "trade_sz"])),
)
@settings(max_examples=60, deadline=None)
def test_frames_of_a_known_layout_read_the_same_as_through_arrow(
    rows: list[int], seed: int, used: set[str]
) -> None:
    rng = np.random.default_rng(seed)
    for n in (100, *rows):
        columns = {name: rng.integers(0, 2, n) for name in (*used, "symbol", "kind")}
        ticks = make_ticks(("A", "B"), Sequences(True, False), ts_event_ns=rng.integers(1, 99, n), **columns)
        payload = encode_frame(ticks)
        short, long = decode_frame(payload), decode_frame(memoryview(payload))
        assert same(short, ticks)
        assert same(long, ticks)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_mutated_bytes_of_a_known_layout_read_the_same_as_through_arrow(data: st.DataObject) -> None:
    payload = bytearray(encode_frame(quotes(100)))
    decode_frame(bytes(payload))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    for candidate in (bytes(payload), cut):
        results = []
        for form in (candidate, memoryview(candidate)):
            try:
                results.append(decode_frame(form))
            except FrameError as error:
                results.append(error.problem)
        short, long = results
        if isinstance(short, str) or isinstance(long, str):
            assert short == long
        else:
            assert same(short, long)
