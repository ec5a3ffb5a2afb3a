"""The tick frame: ticks as an Arrow IPC stream of one record batch, the payload of ``market.ticks``.

Any Arrow in any language writes and reads it. The columns and their units are in
:mod:`schemas.ticks`; what a frame promises of its sequence numbers is in the schema's metadata,
``dense_sequences`` = ``quotes``, ``trades`` or ``quotes,trades``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.errors import FrameError
from schemas.ipc_template import END_OF_STREAM, BatchTemplate, split_stream
from schemas.ticks import ARROW_TYPES, COLUMNS, NUMERIC, REQUIRED, Array, Sequences, Ticks

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


def write_batch(batch: pa.RecordBatch) -> bytes:
    """An Arrow IPC stream of one record batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def read_batch(payload: bytes | memoryview) -> pa.RecordBatch:
    """The one record batch of an Arrow IPC stream, over the payload's own bytes.

    Raises
    ------
    FrameError
        When it is no Arrow stream, is cut short, or does not hold exactly one batch.
    """
    try:
        reader = pa.ipc.open_stream(pa.py_buffer(payload))
        batch = reader.read_next_batch()
    except StopIteration:
        raise FrameError("an Arrow stream without a record batch", "write one batch a message") from None
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise FrameError(
            f"not an Arrow IPC stream of one batch: {_first_line(exc)}",
            "write the frame with an Arrow IPC stream writer",
        ) from exc
    try:
        reader.read_next_batch()
    except StopIteration:
        return batch
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise FrameError(f"bytes after the first batch are no Arrow: {_first_line(exc)}") from exc
    raise FrameError("an Arrow stream of more than one batch", "write one batch a message")


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
        raise FrameError(f"a damaged Arrow batch: {_first_line(exc)}") from exc
    if isinstance(payload, bytes) and ticks.null_rows is None:
        _LAYOUTS.learn(payload, batch.schema, ticks)
    return ticks


@dataclass(frozen=True, slots=True)
class _Layout:
    """Frames that begin with the same schema and dictionary, and where their columns lie."""

    start: bytes
    symbols: tuple[str, ...]
    sequences: Sequences
    names: tuple[str, ...]
    template: BatchTemplate

    def read(self, payload: bytes) -> Ticks | None:
        """The ticks, or None when the payload is not exactly of this layout."""
        if not payload.startswith(self.start):
            return None
        rows = self.template.rows_of(payload, len(self.start))
        if rows is None:
            return None
        at = len(self.start) + self.template.size
        columns: dict[str, Array] = {}
        for name in self.names:
            dtype = COLUMNS[name]
            if at + rows * dtype.itemsize > len(payload):
                return None
            columns[name] = np.frombuffer(payload, dtype, rows, at)
            at += (rows * dtype.itemsize + 7) // 8 * 8
        if payload[at:] != END_OF_STREAM:
            return None
        codes = columns["symbol"]
        if rows and (int(codes.min()) < 0 or int(codes.max()) >= len(self.symbols)):
            return None  # the long way says what is wrong
        for name in NUMERIC:
            if name not in columns:
                columns[name] = _zeros(name, rows)
        return Ticks(self.symbols, columns, self.sequences)


class _Layouts:
    """Layouts seen lately: writers send the same one again and again.

    Reading a frame through Arrow costs 50 µs, a twentieth of what a frame may cost at all; by its
    layout a quarter of that. Whatever is not byte for byte where the layout says it is goes the long way.
    """

    _MOST = 64

    def __init__(self) -> None:
        self._layouts: list[_Layout] = []
        self._templates: dict[bytes, BatchTemplate | None] = {}

    def read(self, payload: bytes) -> Ticks | None:
        for place, layout in enumerate(self._layouts):
            ticks = layout.read(payload)
            if ticks is not None:
                if place:
                    self._layouts.insert(0, self._layouts.pop(place))
                return ticks
        return None

    def learn(self, payload: bytes, schema: pa.Schema, ticks: Ticks) -> None:
        names = tuple(schema.names)
        if any(name not in COLUMNS for name in names) or len(ticks) < 64:
            return  # not worth it, or with columns of its own
        template = self._template(schema)
        if template is None:
            return
        start = split_stream(payload)[0]
        layout = _Layout(start, ticks.symbols, ticks.sequences, names, template)
        if layout.read(payload) is not None:
            self._layouts.insert(0, layout)
            del self._layouts[self._MOST :]

    def _template(self, schema: pa.Schema) -> BatchTemplate | None:
        key = schema.serialize().to_pybytes()
        if key not in self._templates:
            try:
                self._templates[key] = BatchTemplate(lambda rows: _blank(schema, rows))
            except (ValueError, pa.ArrowException):
                self._templates[key] = None  # e.g. of a writer with other index types
        return self._templates[key]


def _blank(schema: pa.Schema, rows: int) -> bytes:
    """A frame of zeros, as our own writer would lay it out."""
    arrays = []
    for field in schema:
        if pa.types.is_dictionary(field.type):
            zeros = pa.array(np.zeros(rows, np.int32))
            arrays.append(pa.DictionaryArray.from_arrays(zeros, pa.array(["A"], pa.utf8())))
        else:
            arrays.append(pa.array(np.zeros(rows, COLUMNS[field.name])))
    return write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


_LAYOUTS = _Layouts()


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
            columns[name] = _zeros(name, n)
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
    if not symbol or len(symbol) > 64 or not symbol.isprintable():
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


_ZEROS: dict[str, Array] = {}


def _zeros(name: str, n: int) -> Array:
    zeros = _ZEROS.get(name)
    if zeros is None or len(zeros) < n:
        zeros = np.zeros(max(n, 8192), COLUMNS[name])
        zeros.flags.writeable = False
        _ZEROS[name] = zeros
    return zeros[:n]


def _first_line(exc: BaseException) -> str:
    return str(exc).splitlines()[0][:200] if str(exc) else type(exc).__name__
