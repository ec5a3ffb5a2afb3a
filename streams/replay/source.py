"""Recorded files as one stream of ticks: chosen, ordered, repeated, numbered, spoiled on request.

The stream is a function of the files and of :class:`SourceSpec` alone, whatever the blocks, so that a
position in it, a number of ticks, means the same the next time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np

from schemas.errors import SourceError
from schemas.ticks import Ticks
from streams.market.faults import FaultInjector, FaultPlan
from streams.replay import order as ordering
from streams.replay.formats import BadRows, Format, ReadOptions, find_format, named_format
from streams.replay.formats.parquet import Parquet, recorded_partition
from streams.replay.numbering import Numbering, PassShift

_SAMPLE = 65_536
BLOCK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What to replay.

    Parameters
    ----------
    paths
        Files, in the order that decides between ticks of the same instant.
    format
        A format's name or ``module:Class``; empty to tell by content.
    order
        ``auto`` keeps the rows of our own recordings as they are and puts all else in order of event time.
    symbols
        Only these; empty for all.
    from_ns, to_ns
        Only ticks of ``from_ns <= ts_event_ns < to_ns``.
    loops
        How often to send the files; 0 for ever.
    loop_grid_ns
        Each further pass is later by the least multiple of this that keeps event time rising.
    number
        Number the ticks from 1 by symbol and kind, for venues that do not: then gaps and repeats show.
    faults
        What to spoil.
    """

    paths: tuple[Path, ...]
    format: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)
    order: Literal["auto", "event", "file"] = "auto"
    symbols: tuple[str, ...] = ()
    from_ns: int | None = None
    to_ns: int | None = None
    loops: int = 1
    loop_grid_ns: int = 60_000_000_000
    number: bool = False
    faults: FaultPlan = field(default_factory=FaultPlan)


@dataclass(slots=True)
class _File:
    path: Path
    format: Format
    bad: BadRows
    rows: int = 0
    """Ticks read in the first pass."""


class Source:
    """The files of a spec, opened and known.

    Attributes
    ----------
    notes
        What the user should know about how the files were read.
    order
        The order that ``auto`` came to.

    Raises
    ------
    SourceError
        When a file cannot be read or no format knows it.
    """

    def __init__(self, spec: SourceSpec) -> None:
        if not spec.paths:
            raise SourceError("no files to replay", "name at least one")
        self.spec = spec
        self.notes: list[str] = []
        self.files = _files(spec)
        self._chains, self.order = _chains(self.files, spec.order)
        self._memory_rows = ordering.MEMORY_ROWS // len(self._chains)
        rows = max(min(BLOCK_ROWS, self._memory_rows // 2), 1_024)
        self._options = replace(spec.options, block_rows=rows, from_ns=spec.from_ns)
        self._faults = FaultInjector(spec.faults)

    @property
    def identity(self) -> str:
        """Names the stream: the same files, by content, and the same spec."""
        digest = hashlib.blake2b(digest_size=16)
        described = replace(self.spec, paths=())
        options = replace(self.spec.options, columns={})
        columns = sorted(self.spec.options.columns.items())
        digest.update(repr((replace(described, options=options), columns, self.order)).encode())
        for file in self.files:
            digest.update(f"{file.path.name}:{file.path.stat().st_size}:".encode())
            with file.path.open("rb") as stream:
                digest.update(stream.read(_SAMPLE))
                stream.seek(-min(_SAMPLE, file.path.stat().st_size), 2)
                digest.update(stream.read())
        return digest.hexdigest()

    @property
    def planted(self) -> dict[str, int]:
        """Faults planted so far, by kind."""
        found: dict[str, int] = {}
        for fault in self._faults.planted:
            found[fault.fault] = found.get(fault.fault, 0) + 1
        return found

    def estimate(self) -> int | None:
        """How many ticks there are in all, as far as can be told by what has been read."""
        spec = self.spec
        if not spec.loops or spec.symbols or (spec.from_ns, spec.to_ns) != (None, None):
            return None
        sizes = [file.path.stat().st_size for file in self.files]
        read = sum(size * file.bad.share for size, file in zip(sizes, self.files, strict=True))
        return int(sum(file.rows for file in self.files) * sum(sizes) / read * spec.loops) if read else None

    def blocks(self, skip: int = 0) -> Iterator[Ticks]:
        """The stream from its ``skip``-th tick on, in blocks of at most 65,536. Not twice at a time."""
        self._faults = FaultInjector(self.spec.faults)
        for block in self._spoiled():
            n = min(skip, len(block))
            skip -= n
            for start in range(n, len(block), BLOCK_ROWS):
                yield block.take(slice(start, start + BLOCK_ROWS))

    def _spoiled(self) -> Iterator[Ticks]:
        if self.spec.faults.is_empty:
            yield from self._numbered()
            return
        for block in self._numbered():
            yield self._faults.apply(block)
        rest = self._faults.finish()
        if rest is not None:
            yield rest

    def _numbered(self) -> Iterator[Ticks]:
        numbering = Numbering()
        for block in self._passes():
            yield numbering.apply(block) if self.spec.number else block

    def _passes(self) -> Iterator[Ticks]:
        shift = PassShift(self.spec.loop_grid_ns)
        for number in count():
            if number == self.spec.loops and self.spec.loops:
                return
            empty = True
            for block in self._selected(first=number == 0):
                empty = False
                if number == 0 and self.spec.loops != 1:
                    shift.observe(block)
                yield shift.apply(block, number) if number else block
            if empty:
                return

    def _selected(self, *, first: bool) -> Iterator[Ticks]:
        spec = self.spec
        wanted = frozenset(spec.symbols)
        for block in self._merged(first=first):
            ts = block.columns["ts_event_ns"]
            mask = np.ones(len(block), bool)
            if spec.from_ns is not None:
                mask &= ts >= spec.from_ns
            if spec.to_ns is not None:
                if self.order == "event" and len(ts) and ts[0] >= spec.to_ns:
                    return
                mask &= ts < spec.to_ns
            if wanted:
                mask &= np.array([*(symbol in wanted for symbol in block.symbols), False])[
                    block.columns["symbol"]
                ]
            chosen = block if mask.all() else block.take(mask)
            if len(chosen):
                yield chosen

    def _merged(self, *, first: bool) -> Iterator[Ticks]:
        return ordering.merge([self._runs(chain, first=first) for chain in self._chains], self.order)

    def _runs(self, chain: list[_File], *, first: bool) -> Iterator[ordering.Keyed]:
        if self.order == "file":
            return ordering.file_runs(block for file in chain for block in self._read(file, first=first))
        (file,) = chain
        read = partial(self._read, file, first=first)
        scan = partial(self._read, file, first=False)
        return ordering.event_runs(read, scan, self._memory_rows, self._noter(file) if first else None)

    def _read(self, file: _File, *, first: bool) -> Iterator[Ticks]:
        bad = file.bad if first else BadRows(file.bad.file)
        for block in file.format.read(file.path, self._options, bad):
            if first:
                file.rows += len(block)
            yield block
        bad.share = 1.0

    def _noter(self, file: _File) -> Callable[[int, int], None]:
        def note(rows: int, disorder_ns: int) -> None:
            self.notes.append(
                f"{file.path.name}: its {rows} rows run backwards by up to {disorder_ns / 1e9:.3g} s, "
                "so it was loaded and sorted as a whole"
            )

        return note


def _files(spec: SourceSpec) -> list[_File]:
    found: dict[Path, _File] = {}
    for path in spec.paths:
        known = named_format(spec.format) if spec.format else find_format(path)
        # Some formats keep one recording in two files.
        canonical: Callable[[Path], Path] = getattr(known, "canonical", lambda given: given)
        path = canonical(path)
        if not path.is_file():
            raise SourceError(f"{path}: no such file", "name a file that can be read")
        found.setdefault(path, _File(path, known, BadRows(path.name)))
    return list(found.values())


def _chains(
    files: list[_File], wanted: Literal["auto", "event", "file"]
) -> tuple[list[list[_File]], ordering.Order]:
    """Files that follow one another, as the parts of one recorded partition do; and the order."""
    if wanted == "event":
        return [[file] for file in files], "event"
    recorded = [recorded_partition(file.path) if isinstance(file.format, Parquet) else None for file in files]
    if wanted == "auto" and not all(recorded):
        return [[file] for file in files], "event"
    chains: dict[object, list[_File]] = {}
    for number, (file, partition) in enumerate(zip(files, recorded, strict=True)):
        chains.setdefault(partition or number, []).append(file)
    for key, chain in chains.items():
        if not isinstance(key, int):
            chain.sort(key=lambda file: file.path.name)  # names hold the first offset
    return list(chains.values()), "file"
