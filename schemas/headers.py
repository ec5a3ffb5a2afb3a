"""Kafka headers of ours: version, origin and the trouble of a dead letter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.errors import FrameError
from schemas.ticks import VERSION

Headers = list[tuple[str, bytes]]

H_VERSION = "tapestream-version"
H_WATERMARK = "tapestream-watermark-ns"
H_MODEL = "tapestream-model"
"""Of a notice that a model was promoted: its version and hash, see :mod:`schemas.promotions`."""
H_ORIGIN = "tapestream-origin"
H_ERROR = "tapestream-error"
H_REMEDY = "tapestream-remedy"
H_SOURCE = "tapestream-source"
"""Of a frame that ``tapestream ingest`` packed: its JSON ticks, ``partition@offset#index-offset#index``."""
H_RETRIED = "tapestream-retried"
"""Of a message that was sent again: the dead letter that it was, an :class:`Origin`."""

VERSION_HEADER = (H_VERSION, str(VERSION).encode())


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an output comes from: the input's coordinates and which of its outputs this is.

    ``topic[partition]@offset#index`` is the deterministic identity of an output: recomputing the
    input gives the same outputs in the same order.
    """

    topic: str
    partition: int
    offset: int
    index: int = 0

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}#{self.index}"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read what ``str()`` wrote; ValueError for anything else."""
        topic, _, rest = text.partition("[")
        partition, _, rest = rest.partition("]@")
        offset, _, index = rest.partition("#")
        return cls(topic, int(partition), int(offset), int(index or 0))


def get_header(headers: Iterable[tuple[str, bytes]] | None, name: str) -> bytes | None:
    """The value of the first header of that name."""
    for key, value in headers or ():
        if key == name:
            return value
    return None


def get_origin(headers: Iterable[tuple[str, bytes]] | None, name: str = H_ORIGIN) -> Origin | None:
    """The origin that a message states in a header, or None when it states none that we can read."""
    value = get_header(headers, name)
    if value is None:
        return None
    try:
        return Origin.parse(value.decode())
    except (ValueError, UnicodeDecodeError):
        return None


def check_version(headers: Iterable[tuple[str, bytes]] | None) -> None:
    """Accept this version, and messages of clients that state none.

    Raises
    ------
    FrameError
        For a version that this program does not know.
    """
    value = get_header(headers, H_VERSION)
    if value is not None and value != VERSION_HEADER[1]:
        stated = value[:20].decode("ascii", "replace")
        raise FrameError(
            f"message version {stated!r} is unknown, this program reads version {VERSION}",
            "upgrade Tapestream, then `tapestream dead-letters retry`",
        )


def output_headers(origin: Origin) -> Headers:
    """Headers of an output of the worker."""
    return [VERSION_HEADER, (H_ORIGIN, str(origin).encode())]


def dead_letter_headers(origin: Origin, error: str, remedy: str) -> Headers:
    """Headers of a dead letter: whence, why, and what to do about it."""
    return [
        *output_headers(origin),
        (H_ERROR, error.encode()),
        (H_REMEDY, remedy.encode()),
    ]
