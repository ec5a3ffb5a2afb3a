"""A folder of Parquet files that holds ranges of the log: which files, how they are finished, where they end.

Invariants

- A finished file's name holds topic, partition, first and last offset; it appears by one rename, whole. So
  the files themselves say where recording goes on, and nothing can disagree with them.
- Files of a partition follow one another without overlap.
- A file that is not finished is a draft; it is deleted at the next start, and its range read again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas import codec
from schemas.errors import FrameError, RecordingError
from streams import record_columns as columns
from streams.files import replace_file
from streams.locks import open_lock_file, try_lock
from streams.record_columns import Record, Shape
from streams.replay.formats.parquet import META_PARTITION, META_TOPIC

Place = tuple[str, int]
"""Topic, by its full name, and partition."""

_NAME = re.compile(r"^(?P<topic>.+)\.(?P<partition>\d{5})\.(?P<first>\d{19})-(?P<last>\d{19})\.parquet$")
_GROUP_ROWS = 65_536
_LOOSE_BYTES = 64 * 1_048_576
"""Payload that may wait to become a file of JSON or raw messages."""
_START = "recording.json"
KEPT_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is finished and the next one begun: after so many rows or seconds."""

    rows: int = 1_000_000
    json_rows: int = 50_000
    seconds: float = 60.0


@dataclass(slots=True)
class Tally:
    """What has been recorded in this run."""

    messages: int = 0
    rows: int = 0
    empty: int = 0
    """Messages without a row, such as heartbeats."""
    files: list[str] = field(default_factory=list)
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)
    """Coordinates and reason of the first messages that could not be read."""

    def refuse(self, record: Record, problem: str) -> None:
        """Count a message that cannot become rows."""
        self.unreadable += 1
        if len(self.examples) < KEPT_EXAMPLES:
            self.examples.append(f"{record.topic}[{record.partition}]@{record.offset}: {problem}")


class Recording:
    """The folder, being written to by us alone.

    Parameters
    ----------
    folder
        Made when absent.
    shapes
        Full name of each topic to the shape of its messages.
    now_s
        A monotonic clock.

    Raises
    ------
    RecordingError
        When the folder cannot be written, or another recorder is at work in it.
    """

    def __init__(
        self, folder: Path, shapes: dict[str, Shape], rotation: Rotation, now_s: Callable[[], float]
    ) -> None:
        self.folder = folder
        self.tally = Tally()
        self._shapes = shapes
        self._rotation = rotation
        self._now_s = now_s
        self._parts: dict[Place, _Part] = {}
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
            for draft in folder.glob(".*.draft"):
                draft.unlink()
            self._starts = _read_starts(folder)
            self._ends = _ends(folder)

    def next_offset(self, place: Place) -> int | None:
        """Where to go on; None for a partition that was never recorded here."""
        return self._ends.get(place, self._starts.get(place))

    def begin(self, starts: dict[Place, int]) -> None:
        """Remember where partitions begin that are new here, before anything of them is read."""
        self._starts |= starts
        by_topic: dict[str, dict[str, int]] = {}
        for (topic, partition), offset in sorted(self._starts.items()):
            by_topic.setdefault(topic, {})[str(partition)] = offset
        draft = self.folder / f".{_START}.draft"
        with _explained(draft):
            replace_file(self.folder / _START, codec.dumps({"version": 1, "start": by_topic}), draft)

    def take(self, record: Record) -> None:
        """Add a message; those of a partition come in order.

        Raises
        ------
        RecordingError
            When it cannot be written. What is finished stays; the rest is read again the next time.
        """
        place = (record.topic, record.partition)
        self.tally.messages += 1
        rows: pa.Table | list[dict[str, Any]]
        try:
            match self._shapes[record.topic]:
                case "ticks":
                    rows = columns.ticks_table(record)
                case "frame":
                    rows = columns.frame_table(record)
                case "json":
                    rows = columns.json_rows(record)
                case "raw":
                    rows = columns.raw_rows(record)
        except FrameError as exc:
            self.tally.refuse(record, exc.problem)
            rows = []
        with self._keeping_the_rest(place):
            part = self._parts.get(place)
            if part is not None and not part.takes(rows):
                self._finish(place)
                part = None
            if part is None:
                part = self._parts[place] = self._new_part(place, record.offset)
            part.add(rows, record.offset, len(record.value or b""))
        self.tally.rows += len(rows)
        self.tally.empty += not len(rows)
        if part.rows >= self._most_rows(record.topic) or part.loose_bytes >= _LOOSE_BYTES:
            self.finish([place])

    def finish(self, places: list[Place] | None = None) -> None:
        """Finish the files of those partitions, or of all."""
        for place in list(self._parts) if places is None else places:
            with self._keeping_the_rest(place):
                self._finish(place)

    def finish_old(self) -> None:
        """Finish the files that are open for long enough."""
        limit_s = self._now_s() - self._rotation.seconds
        self.finish([place for place, part in self._parts.items() if part.since_s <= limit_s])

    def close(self) -> None:
        """Finish everything and let the folder go."""
        try:
            self.finish()
        finally:
            self._lock.close()

    def _most_rows(self, topic: str) -> int:
        framed = self._shapes[topic] in ("ticks", "frame")
        return self._rotation.rows if framed else self._rotation.json_rows

    def _new_part(self, place: Place, first: int) -> _Part:
        return _Part(self.folder, place, first, self._now_s())

    def _finish(self, place: Place) -> None:
        part = self._parts.pop(place, None)
        if part is None:
            return
        try:
            name = part.finish()
        except BaseException:
            part.discard()
            raise
        if name is not None:
            self.tally.files.append(name)
            self._ends[place] = part.last + 1

    @contextmanager
    def _keeping_the_rest(self, place: Place) -> Iterator[None]:
        """A failure costs the drafts only, and of those only the ones that cannot be finished."""
        try:
            with _explained(self.folder):
                yield
        except RecordingError:
            broken = self._parts.pop(place, None)
            if broken is not None:
                broken.discard()
            for other in list(self._parts):
                with suppress(OSError, pa.ArrowException):
                    self._finish(other)
            raise


class _Part:
    """A file that is being written, of one partition."""

    def __init__(self, folder: Path, place: Place, first: int, now_s: float) -> None:
        self.rows = 0
        self.loose_bytes = 0
        self.first = first
        self.last = first
        self.since_s = now_s
        self._folder = folder
        self._place = place
        topic, partition = place
        self._draft = folder / f".{topic}.{partition:05d}.draft"
        self._schema: pa.Schema | None = None
        self._tables: list[pa.Table] = []
        self._loose: list[dict[str, Any]] = []
        self._held = 0
        self._writer: pq.ParquetWriter | None = None

    def takes(self, rows: pa.Table | list[dict[str, Any]]) -> bool:
        """Whether rows fit the columns of the file; a column that they lack is null."""
        if isinstance(rows, list) or self._schema is None or not rows.num_rows:
            return True
        mine = {entry.name: entry.type for entry in self._schema}
        fits = all(mine.get(entry.name) == entry.type for entry in rows.schema)
        return fits and _promise(rows.schema) == _promise(self._schema)

    def add(self, rows: pa.Table | list[dict[str, Any]], offset: int, size: int) -> None:
        self.last = offset
        self.rows += len(rows)
        if isinstance(rows, list):
            self._loose += rows
            self.loose_bytes += size
            return
        if not rows.num_rows:
            return
        if self._schema is None:
            metadata = (rows.schema.metadata or {}) | columns.log_metadata(*self._place)
            self._schema = rows.schema.with_metadata(metadata)
        self._tables.append(_padded(rows, self._schema))
        self._held += rows.num_rows
        if self._held >= _GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        if not self._tables:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._draft, self._schema, compression="zstd", write_page_checksum=True
            )
        self._writer.write_table(pa.concat_tables(self._tables))
        self._tables, self._held = [], 0

    def finish(self) -> str | None:
        """Write the rest and give the file its name; None when it has no rows."""
        if self._loose:
            table = columns.rows_table(self._loose)
            self._schema = table.schema.with_metadata(columns.log_metadata(*self._place))
            self._tables = [table.replace_schema_metadata(self._schema.metadata)]
            self._loose = []
        self._write()
        if self._writer is None:
            return None
        self._writer.close()
        with self._draft.open("rb+") as file:
            os.fsync(file.fileno())
        topic, partition = self._place
        name = f"{topic}.{partition:05d}.{self.first:019d}-{self.last:019d}.parquet"
        self._draft.rename(self._folder / name)
        return name

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)


def _padded(table: pa.Table, schema: pa.Schema) -> pa.Table:
    if table.schema.names == schema.names:
        return table.replace_schema_metadata(schema.metadata)
    lacking = pa.nulls(table.num_rows)
    arrays = [
        table.column(entry.name) if entry.name in table.schema.names else lacking.cast(entry.type)
        for entry in schema
    ]
    return pa.table(arrays, schema=schema)


def _promise(schema: pa.Schema) -> dict[bytes, bytes]:
    own = (META_TOPIC, META_PARTITION)
    return {name: value for name, value in (schema.metadata or {}).items() if name not in own}


def _ends(folder: Path) -> dict[Place, int]:
    ends: dict[Place, int] = {}
    for path in folder.glob("*.parquet"):
        named = _NAME.match(path.name)
        if named:
            place = (named["topic"], int(named["partition"]))
            ends[place] = max(ends.get(place, 0), int(named["last"]) + 1)
    return ends


def _read_starts(folder: Path) -> dict[Place, int]:
    path = folder / _START
    if not path.exists():
        return {}
    try:
        value = codec.loads(path.read_bytes())
        return {
            (topic, int(partition)): int(offset)
            for topic, offsets in value["start"].items()
            for partition, offset in offsets.items()
        }
    except (FrameError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise RecordingError(f"{path}: not ours: {exc}", "record to another folder") from exc


def _locked(folder: Path) -> IO[bytes]:
    lock = open_lock_file(folder / ".lock")
    if not try_lock(lock):
        os.close(lock)
        raise RecordingError(f"{folder}: another recorder writes here", "end it, or record to another folder")
    return os.fdopen(lock, "rb")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as exc:
        reason = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else str(exc)
        raise RecordingError(
            f"{path}: cannot be written: {reason}; finished files are whole",
            "make room or name another disk, then run the same command again: it goes on where the files end",
        ) from exc
