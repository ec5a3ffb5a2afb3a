"""The tick frame: ticks as an Arrow IPC stream of one record batch, the payload of ``market.ticks``.

Any Arrow in any language writes and reads it. The columns and their units are in
:mod:`schemas.ticks`; what a frame promises of its sequence numbers is in the schema's metadata,
``dense_sequences`` = ``quotes``, ``trades`` or ``quotes,trades``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schemas.errors import FrameError
from schemas.frame_layouts import Layouts, zeros
from schemas.ipc import first_line, read_batch, write_batch
from schemas.ticks import ARROW_TYPES, COLUMNS, NUMERIC, REQUIRED, Array, Sequences, Ticks, is_symbol

_DENSE = b"dense_sequences"
_ALWAYS = frozenset(REQUIRED)


def encode_frame(ticks: Ticks) -> bytes:
    """Write ticks as a frame; columns that are zero throughout are left out.

    Returns
    -------
    bytes
        The same bytes for the same ticks, always.
    """
    columns: list[pa.Array] = []
    fields: list[pa.Field] = []
    for name in COLUMNS:
        values = ticks.columns[name]
        if name not in _ALWAYS and not values.any():
            continue
        if name == "symbol":
            array = pa.DictionaryArray.from_arrays(pa.array(values), pa.array(ticks.symbols, pa.utf8()))
        else:
            array = pa.array(values)
        columns.append(array)
        fields.append(pa.field(name, ARROW_TYPES[name]))
    schema = pa.schema(fields, metadata=write_promise(ticks.sequences))
    return write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def decode_frame(payload: bytes | memoryview) -> Ticks:
    """Read a frame without copying: the columns are views of the payload's bytes, read-only.

    Raises
    ------
    FrameError
        Not Arrow, cut short, a required column missing, a column of another type, a symbol code
        outside the dictionary.
    """
    if isinstance(payload, bytes):
        known = _LAYOUTS.read(payload)
        if known is not None:
            return known
    batch = read_batch(payload)
    try:
        ticks = _decode_batch(batch)
    except FrameError:
        raise
    except (pa.ArrowException, ValueError, OSError, MemoryError) as exc:
        raise FrameError(f"a damaged Arrow batch: {first_line(exc)}") from exc
    if isinstance(payload, bytes) and ticks.null_rows is None:
        _LAYOUTS.learn(payload, batch.schema, ticks)
    return ticks


_LAYOUTS = Layouts()


def _decode_batch(batch: pa.RecordBatch) -> Ticks:
    batch.validate()  # lengths of buffers, so that no damaged frame makes us read past them
    n = batch.num_rows
    columns: dict[str, Array] = {}
    symbols: tuple[str, ...] = ()
    nulls: Array | None = None
    schema = batch.schema
    for index, name in enumerate(schema.names):
        if name not in COLUMNS:
            continue  # a later version may add columns; foreign writers may carry their own
        if name in columns:
            raise FrameError(f"column {name} appears twice")
        array = batch.column(index)
        if array.null_count:
            array.validate(full=True)
            invalid = np.asarray(array.is_null())
            nulls = invalid if nulls is None else nulls | invalid
            if name != "symbol":
                array = array.fill_null(0)
        if name == "symbol":
            columns[name], symbols = _symbol_column(array)
        else:
            columns[name] = _numeric_column(name, array, n)
    for name in REQUIRED:
        if name not in columns:
            raise FrameError(f"column {name} is missing", f"a frame has at least {', '.join(REQUIRED)}")
    for name in NUMERIC:
        if name not in columns:
            columns[name] = zeros(name, n)
    return Ticks(symbols, columns, read_promise(schema.metadata), nulls)


def _is_dictionary(array: pa.Array) -> bool:
    return bool(pa.types.is_dictionary(array.type))


def _numeric_column(name: str, array: pa.Array, n: int) -> Array:
    dtype = COLUMNS[name]
    if array.type != ARROW_TYPES[name]:
        raise FrameError(f"column {name} is {array.type}, must be {ARROW_TYPES[name]}")
    if n == 0:
        return np.empty(0, dtype)
    values = np.frombuffer(array.buffers()[1], dtype, n, array.offset * dtype.itemsize)
    return values if values.flags.aligned else values.copy()


def _symbol_column(array: pa.Array) -> tuple[Array, tuple[str, ...]]:
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = array.dictionary_encode()  # a plain text column is what most foreign writers have at hand
    if not _is_dictionary(array) or not (
        pa.types.is_string(array.type.value_type) or pa.types.is_large_string(array.type.value_type)
    ):
        raise FrameError(f"column symbol is {array.type}, must be dictionary(int32, utf8)")
    indices = array.indices
    if indices.null_count:
        indices = indices.fill_null(0)
    codes = indices.to_numpy(zero_copy_only=False)
    if codes.dtype != np.int32:
        codes = codes.astype(np.int32)
    symbols = _symbols_of(array.dictionary)
    if len(codes) and (int(codes.min()) < 0 or int(codes.max()) >= len(symbols)):
        raise FrameError(f"a symbol code lies outside the dictionary of {len(symbols)}")
    return codes, symbols


def _symbols_of(dictionary: pa.Array) -> tuple[str, ...]:
    key = b"".join(memoryview(buffer) for buffer in dictionary.buffers() if buffer is not None)
    known = _SYMBOLS.get(key)
    if known is None:
        dictionary.validate(full=True)  # offsets of a damaged one may point anywhere
        known = tuple(_checked(symbol) for symbol in dictionary.to_pylist())
        if len(_SYMBOLS) >= 1024:
            _SYMBOLS.clear()
        _SYMBOLS[key] = known
    return known


# A writer sends the same dictionary again and again; decoding 1,000 strings would cost a tenth of a frame.
_SYMBOLS: dict[bytes, tuple[str, ...]] = {}


def _checked(symbol: str | None) -> str:
    if symbol is None or not is_symbol(symbol):
        raise FrameError(f"symbol {symbol!r} must be 1 to 64 printable characters")
    return symbol


def write_promise(sequences: Sequences) -> dict[bytes, bytes] | None:
    """The schema metadata that states what sequence numbers promise; None when they promise nothing."""
    kinds = ((b"quotes", sequences.dense_quotes), (b"trades", sequences.dense_trades))
    promised = [kind for kind, dense in kinds if dense]
    return {_DENSE: b",".join(promised)} if promised else None


def read_promise(metadata: dict[bytes, bytes] | None) -> Sequences:
    """The inverse of :func:`write_promise`; a schema without metadata promises nothing."""
    promised = (metadata or {}).get(_DENSE, b"").split(b",")
    return Sequences(b"quotes" in promised, b"trades" in promised)
