"""A file format of one's own: `tapestream replay quotes.tick --format own_format:Ticker --dry-run`.

Each line is ``TICKER <symbol> <ns> <bid> <ask>``. A format reads its file in blocks of columns, names the
lines that are no ticks, and leaves order, pace and delivery to the replay.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from schemas.ticks import QUOTE, Ticks, make_ticks
from streams.replay.formats import BadRows, ReadOptions
from streams.replay.formats.base import valid_rows
from streams.replay.formats.columns import integers, prices
from streams.replay.formats.opening import open_lines


class Ticker:
    """Quotes, a line each."""

    name = "ticker"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file is ours, by its first bytes after decompression."""
        return head.startswith(b"TICKER ")

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """The file's quotes in blocks."""
        with open_lines(path, bad) as lines:
            block: list[tuple[int, list[str]]] = []
            for number, line in enumerate(lines, 1):
                fields = line.decode("utf-8", "replace").split()
                if len(fields) != 5:
                    bad.add(number, "not TICKER symbol ns bid ask")
                    continue
                block.append((number, fields))
                if len(block) >= options.block_rows:
                    yield self._ticks(block, bad)
                    block = []
            if block:
                yield self._ticks(block, bad)

    def _ticks(self, block: list[tuple[int, list[str]]], bad: BadRows) -> Ticks:
        lines = pa.array([number for number, _ in block]).to_numpy()
        _, names, times, bids, asks = (
            pa.array(column) for column in zip(*(fields for _, fields in block), strict=True)
        )
        symbols = names.dictionary_encode()
        # Text that is no number reads as zero, which valid_rows then names by its line.
        ticks = make_ticks(
            tuple(symbols.dictionary.to_pylist()),
            ts_event_ns=integers(times).values,
            symbol=symbols.indices.to_numpy(),
            kind=[QUOTE] * len(block),
            bid_px=prices(bids).values,
            ask_px=prices(asks).values,
        )
        return valid_rows(ticks, lines, bad)
