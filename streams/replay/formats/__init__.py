"""Recorded files of many kinds, each behind the same small interface. See ``docs/formats.md``."""

from streams.replay.formats.base import BadRow, BadRows, Format, ReadOptions
from streams.replay.formats.registry import find_format, formats, named_format

__all__ = ["BadRow", "BadRows", "Format", "ReadOptions", "find_format", "formats", "named_format"]
