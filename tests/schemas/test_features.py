"""Feature and bar frames: pyarrow's own bytes, only faster."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.kernels.names import BAR_FLOAT_NAMES, BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES
from schemas.features import (
    BAR_COUNTS,
    BAR_PRICES,
    BAR_SCHEMA,
    BAR_VALUES,
    FEATURE_COUNTS,
    FEATURE_SCHEMA,
    FEATURE_VALUES,
    MAX_ROWS,
    RowEncoder,
)
from schemas.frame import encode_frame
from schemas.ipc import BatchTemplate, read_batch, split_stream
from schemas.settings import MAX_MESSAGE_BYTES
from schemas.ticks import make_ticks

SHAPES = {"features": (FEATURE_SCHEMA, 4, 30), "bars": (BAR_SCHEMA, 7, 4)}


def random_rows(
    shape: str, n: int, symbols: int, seed: int = 0
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    _, integers, floats = SHAPES[shape]
    rng = np.random.default_rng(seed)
    names = [f"SYM{i}" for i in range(symbols)]
    values = rng.normal(size=(floats, n + 5))[:, :n]  # a slice of a larger matrix, as the kernels return
    values[rng.random((floats, n)) < 0.2] = np.nan
    ids = rng.integers(0, symbols, n)
    return names, ids, rng.integers(0, 2**60, n), rng.integers(0, 2**60, (integers, n)), values


@pytest.mark.parametrize("shape", list(SHAPES))
@given(n=st.integers(1, 300), symbols=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_the_bytes_are_those_of_pyarrow(shape: str, n: int, symbols: int) -> None:
    encoder = RowEncoder(SHAPES[shape][0])
    names, ids, windows, ints, floats = random_rows(shape, n, symbols)
    (frame,) = encoder.encode(names, ids, windows, ints, floats)
    if symbols > 4 * n:
        used, codes = np.unique(ids, return_inverse=True)
        expected = encoder.plain([names[i] for i in used], codes, windows, ints, floats)
    else:
        expected = encoder.plain(names, ids, windows, ints, floats)
    assert frame == expected


def test_without_a_template_the_bytes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows("features", 9, 3)
    with_template = list(RowEncoder(FEATURE_SCHEMA).encode(*rows))
    monkeypatch.setattr("schemas.features.template_of", lambda schema: None)
    assert list(RowEncoder(FEATURE_SCHEMA).encode(*rows)) == with_template


def test_a_frame_reads_back_row_by_row() -> None:
    names, ids, windows, ints, floats = random_rows("features", 9, 3)
    (frame,) = RowEncoder(FEATURE_SCHEMA).encode(names, ids, windows, ints, floats)
    batch = read_batch(frame)
    assert batch.column("symbol").to_pylist() == [names[i] for i in ids]
    assert batch.column("n_trades").to_pylist() == ints[3].tolist()
    np.testing.assert_array_equal(batch.column("expected_move_bps").to_numpy(), floats[-1])


def test_many_rows_become_several_messages_below_the_limit() -> None:
    names, ids, windows, ints, floats = random_rows("features", 2 * MAX_ROWS + 1, 4000)
    frames = list(RowEncoder(FEATURE_SCHEMA).encode(names, ids, windows, ints, floats))
    assert [read_batch(frame).num_rows for frame in frames] == [MAX_ROWS, MAX_ROWS, 1]
    assert max(map(len, frames)) < MAX_MESSAGE_BYTES - 4_096


def test_new_symbols_enter_the_dictionary() -> None:
    encoder = RowEncoder(BAR_SCHEMA)
    for symbols in (2, 3, 3, 2):
        names, ids, windows, ints, floats = random_rows("bars", 8, symbols)
        (frame,) = encoder.encode(names, ids, windows, ints, floats)
        assert read_batch(frame).column("symbol").dictionary.to_pylist() == names


def test_kernels_and_schema_name_the_same_columns_in_the_same_order() -> None:
    assert FEATURE_NAMES == FEATURE_VALUES
    assert INT_NAMES[4:] == FEATURE_COUNTS
    assert BAR_INT_NAMES[4:] == (*BAR_PRICES, *BAR_COUNTS)
    assert BAR_FLOAT_NAMES == BAR_VALUES


def test_a_layout_that_is_not_linear_in_the_rows_is_refused() -> None:
    def ragged(n: int) -> bytes:
        text = pa.record_batch({"a": pa.array(["x" * (n * n)] * n)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, text.schema) as writer:
            writer.write_batch(text)
        return bytes(sink.getvalue().to_pybytes())

    with pytest.raises(ValueError, match="metadata"):
        BatchTemplate(ragged)


def test_a_stream_is_cut_where_its_batch_begins() -> None:
    frame = encode_frame(make_ticks(("A",), ts_event_ns=[1], symbol=[0], kind=[0]))
    start, head, body = split_stream(frame)
    assert frame.startswith(start + head + body)
    with pytest.raises(pa.ArrowInvalid):
        split_stream(start)
