"""The notice that a model is in use from here on: an empty frame of ``market.ticks`` with a header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.codec import dumps, loads
from schemas.errors import FrameError
from schemas.headers import H_MODEL, VERSION_HEADER, Headers, get_header


@dataclass(frozen=True, slots=True)
class Promotion:
    """Which model; the hash tells it from another registry's of the same name.

    Attributes
    ----------
    version
        Such as ``v0001``.
    sha256
        Of the file of its weights.
    """

    version: str
    sha256: str

    def headers(self) -> Headers:
        """Headers of the message that says so."""
        return [VERSION_HEADER, (H_MODEL, dumps(self.as_dict()))]

    def as_dict(self) -> dict[str, str]:
        """Plain data."""
        return {"version": self.version, "sha256": self.sha256}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Promotion:
        """The inverse of :meth:`as_dict`; KeyError or TypeError for anything else."""
        return cls(str(facts["version"]), str(facts["sha256"]))


def promotion_of(headers: Headers) -> Promotion | None:
    """The promotion that a message tells, or None when it tells none.

    Raises
    ------
    FrameError
        When the header cannot be read.
    """
    value = get_header(headers, H_MODEL)
    if value is None:
        return None
    try:
        return Promotion.from_dict(loads(value))
    except (FrameError, KeyError, TypeError) as exc:
        raise FrameError(
            f"header {H_MODEL} is {value[:64]!r}, must be a JSON object of version and sha256"
        ) from exc
