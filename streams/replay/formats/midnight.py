"""Files that count time from midnight: which midnight, from the date in their name."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.errors import SourceError
from streams.replay.formats.base import ReadOptions

NEW_YORK = "America/New_York"
_DATE = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")


def date_in(name: str) -> date | None:
    """The date that a file name holds, ``20131007`` or ``2012-06-21``; None when it holds none."""
    for match in _DATE.finditer(name):
        try:
            return date(*(int(part) for part in match.groups()))
        except ValueError:
            continue
    return None


def midnight_ns(path: Path, name: str, options: ReadOptions) -> int:
    """Midnight at the exchange, in ns since 1970 UTC.

    Raises
    ------
    SourceError
        When neither the options nor the name tell the date, or the zone is unknown.
    """
    day = options.day or date_in(name)
    if day is None:
        raise SourceError(f"{path}: its times count from midnight and its name tells no date", "give --date")
    zone = options.time_zone or NEW_YORK
    try:
        midnight = datetime.combine(day, time(), ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise SourceError(f"{zone!r} is no time zone", "such as America/New_York or UTC") from exc
    return int(midnight.timestamp()) * 1_000_000_000
