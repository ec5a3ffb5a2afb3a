"""Opening recorded files: gzip, zip and zstd by content, and files that were cut short."""

from __future__ import annotations

import io
import zipfile
import zlib
from gzip import GzipFile
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import pyarrow as pa

from schemas.errors import SourceError
from streams.replay.formats.base import BadRows

HEAD_BYTES = 65_536
_CHUNK = 1 << 20
_BROKEN = (EOFError, zlib.error, zipfile.BadZipFile, pa.ArrowException, OSError)


class _Source(Protocol):
    def read1(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


def open_lines(path: Path, bad: BadRows) -> BinaryIO:
    """The file's text, decompressed. Where it was cut short, the incomplete last line is left out.

    ``bad`` is told of it. An incomplete line must not be read: half of ``187.2301`` is a price too.
    """
    raw = _raw(path)
    return io.BufferedReader(_WholeLines(_decompressed(path, raw), raw, path.stat().st_size, bad), _CHUNK)


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, decompressed; for formats that are not lines."""
    return _open(path)  # type: ignore[no-any-return]


def read_head(path: Path, size: int = HEAD_BYTES) -> bytes:
    """The first bytes after decompression, fewer when the file ends or is damaged there."""
    parts: list[bytes] = []
    inner = _open(path)
    try:
        while size > 0 and (chunk := inner.read1(size)):
            parts.append(chunk)
            size -= len(chunk)
    except _BROKEN:
        pass
    finally:
        inner.close()
    return b"".join(parts)


def inner_name(path: Path) -> str:
    """The name that tells date and symbol: that of the one file in a zip, else the file's own."""
    with _raw(path) as raw:
        if raw.read(4) != b"PK\x03\x04":
            return path.name
        return Path(_only_member(path, _zip(path, raw))).name


def _open(path: Path) -> Any:
    return _decompressed(path, _raw(path))


def _raw(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as exc:
        raise SourceError(f"{path}: {exc.strerror}", "name a file that can be read") from exc


def _decompressed(path: Path, raw: BinaryIO) -> Any:
    magic = raw.read(4)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return GzipFile(fileobj=raw)
    if magic == b"PK\x03\x04":
        archive = _zip(path, raw)
        return archive.open(_only_member(path, archive))
    if magic == b"\x28\xb5\x2f\xfd":
        return _Compressed(pa.CompressedInputStream(raw, "zstd"))
    return raw


def _zip(path: Path, raw: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(raw)
    except zipfile.BadZipFile as exc:
        raise SourceError(f"{path}: a damaged zip file: {exc}", "fetch the file again") from exc


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise SourceError(f"{path} holds {len(names)} files", "unpack it and name the files to replay")
    return names[0]


class _Compressed:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read1(self, size: int = -1, /) -> bytes:
        return self._stream.read(size)  # type: ignore[no-any-return]

    read = read1

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _WholeLines(io.RawIOBase):
    """Passes on whole lines only, as far as the source can be read."""

    def __init__(self, inner: _Source, raw: BinaryIO, size: int, bad: BadRows) -> None:
        self._inner = inner
        self._raw = raw
        self._size = size
        self._bad = bad
        self._ready = memoryview(b"")
        self._tail = b""
        self._ended = False
        self._lines = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            self._fill()
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def _fill(self) -> None:
        try:
            chunk = self._inner.read1(_CHUNK)
        except _BROKEN as exc:
            self._ended = True
            reason = "Compressed file ended before the end-of-stream marker was reached"
            cut = isinstance(exc, EOFError) or reason in str(exc)
            self._bad.add(
                self._lines + 1, "the file is cut short here" if cut else f"the file is damaged here: {exc}"
            )
            return
        self._bad.share = min(self._raw.tell() / self._size, 1.0) if chunk and self._size else 1.0
        if not chunk:
            self._ended = True
            self._ready = memoryview(self._tail)
            return
        end = chunk.rfind(b"\n") + 1
        self._lines += chunk.count(b"\n")
        self._ready = memoryview(self._tail + chunk[:end]) if end else memoryview(b"")
        self._tail = chunk[end:] if end else self._tail + chunk

    def close(self) -> None:
        self._inner.close()
        self._raw.close()
        super().close()
