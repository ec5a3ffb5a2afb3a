"""Arrow IPC streams of one record batch: written, read, and written by template.

A frame of forty columns costs pyarrow a few hundred microseconds, nearly all of it in making forty array
objects. But the metadata of a batch without nulls is a fixed text in which some numbers depend on the
number of rows alone. A :class:`BatchTemplate` learns them from pyarrow's own output at a few sizes, checks
itself against others, and then fills them in. Its bytes are pyarrow's bytes; a test holds them equal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import FrameError

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_PREFIX = struct.Struct("<Ii")
_COUNT = struct.Struct("<i")


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
            f"not an Arrow IPC stream of one batch: {first_line(exc)}",
            "write the frame with an Arrow IPC stream writer",
        ) from exc
    try:
        reader.read_next_batch()
    except StopIteration:
        return batch
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise FrameError(f"bytes after the first batch are no Arrow: {first_line(exc)}") from exc
    raise FrameError("an Arrow stream of more than one batch", "write one batch a message")


def split_stream(payload: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut an IPC stream of one batch into what comes before its batch message, metadata, and body.

    Raises
    ------
    pyarrow.ArrowInvalid
        When the payload is no such stream.
    """
    reader = pa.MessageReader.open_stream(pa.py_buffer(payload))
    at = 0
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            raise pa.ArrowInvalid("a stream without a record batch") from None
        _, length = _PREFIX.unpack_from(payload, at)
        head_end = at + _PREFIX.size + length
        body_end = head_end + (message.body.size if message.body is not None else 0)
        if message.type == "record batch":
            return payload[:at], payload[at:head_end], payload[head_end:body_end]
        at = body_end


class BatchTemplate:
    """The metadata of a record batch message as a function of its number of rows.

    Parameters
    ----------
    write
        Writes a stream of one batch of n rows, of one schema, without nulls. Its numbers must be sums of a
        constant, n, and n in whole groups of 2 and of 8: what columns of 8, 4 and 1 bytes come to, each
        buffer padded to 8 bytes.

    Raises
    ------
    ValueError
        When the metadata is no such function.
    """

    _LEARN = (8, 9, 10, 16)
    _CHECK = (7, 25)

    def __init__(self, write: Callable[[int], bytes]) -> None:
        learnt = [self._words(write(n)) for n in self._LEARN]
        checks = {n: self._words(write(n)) for n in self._CHECK}
        if len({len(words) for words in [*learnt, *checks.values()]}) != 1:
            raise ValueError("the metadata changes its length with the number of rows")
        every = np.array([*learnt, *checks.values()])
        self._where = np.flatnonzero((every != every[0]).any(axis=0))
        eight, nine, ten, sixteen = (words[self._where].astype(np.int64) for words in learnt)
        self._by_row = ten - nine
        self._by_two = (sixteen - ten - 6 * self._by_row) // 3
        self._by_eight = nine - eight - self._by_row - self._by_two
        self._constant = eight - 8 * self._by_row - 4 * self._by_two - self._by_eight
        self._base = learnt[0].copy()
        self._heads: dict[int, bytes] = {}
        if any(self.head(n) != words.tobytes() for n, words in checks.items()):
            raise ValueError("the metadata is no linear function of the number of rows")
        counts = (self._constant == 0) & (self._by_row == 1) & (self._by_two == 0) & (self._by_eight == 0)
        self._count_at = int(self._where[np.flatnonzero(counts)[0]])
        self.size = 4 * len(self._base)

    @staticmethod
    def _words(stream: bytes) -> npt.NDArray[np.int32]:
        return np.frombuffer(split_stream(stream)[1], np.int32)

    def head(self, rows: int) -> bytes:
        """Metadata of a batch of ``rows`` rows, with its length prefix."""
        known = self._heads.get(rows)
        if known is None:
            if len(self._heads) >= 4_096:
                self._heads.clear()
            known = self._heads[rows] = self._fill(rows)
        return known

    def _fill(self, rows: int) -> bytes:
        words = self._base.copy()
        words[self._where] = (
            self._constant
            + rows * self._by_row
            + (rows + 1) // 2 * self._by_two
            + (rows + 7) // 8 * self._by_eight
        )
        return words.tobytes()

    def rows_of(self, payload: bytes, at: int) -> int | None:
        """The number of rows of the batch message at ``at``, or None when it is not of this template."""
        if len(payload) < at + self.size:
            return None
        (rows,) = _COUNT.unpack_from(payload, at + 4 * self._count_at)
        if rows < 0 or payload[at : at + self.size] != self.head(rows):
            return None
        return int(rows)


@lru_cache(maxsize=256)
def template_of(schema: pa.Schema) -> BatchTemplate | None:
    """The template of a schema, made once; None when pyarrow's metadata for it is no simple function."""
    try:
        return BatchTemplate(lambda rows: blank_stream(schema, rows))
    except (ValueError, pa.ArrowException):
        return None


def blank_stream(schema: pa.Schema, rows: int, names: Sequence[str] = ("A",)) -> bytes:
    """A stream of zeros; a dictionary column has the values ``names``, indexed by int32."""
    arrays = []
    for field in schema:
        if pa.types.is_dictionary(field.type):
            codes = pa.array(np.zeros(rows, np.int32))
            arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.utf8())))
        else:
            arrays.append(pa.array(np.zeros(rows, field.type.to_pandas_dtype())))
    return write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def first_line(exc: BaseException) -> str:
    """The first line of what an exception says, not too long."""
    return str(exc).splitlines()[0][:200] if str(exc) else type(exc).__name__
