"""Databento DBN, by Databento's own library: trades, and best quotes of mbp-1, tbbo, bbo and their kin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import SourceError
from schemas.ticks import QUOTE, TRADE, Ticks, make_ticks
from streams.replay.formats.base import BadRows, ReadOptions, valid_rows
from streams.replay.formats.opening import open_bytes

_CHUNK = 1 << 20
_DAY_NS = 86_400_000_000_000
_BEFORE = ("tbbo", "tcbbo")
"""Schemas whose quote is the one just before the trade."""


class Dbn:
    """DBN of any version, plain or zstd."""

    name = "dbn"

    def sniff(self, path: Path, head: bytes) -> bool:
        """The magic number."""
        return head[:3] == b"DBN"

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """Its quotes and trades; records of other kinds are skipped and counted."""
        library = _library(path)
        rows: _Rows | None = None
        number = 0
        for record in _records(path, library, bad):
            if rows is None:
                rows = _Rows(library, record, options, bad)
                continue
            number += 1
            rows.read(number, record)
            if len(rows) >= options.block_rows:
                yield rows.take()
        if rows is None:
            raise SourceError(f"{path}: no DBN metadata", "fetch the file again")
        if len(rows):
            yield rows.take()


def _library(path: Path) -> Any:
    try:
        return import_module("databento_dbn")
    except ImportError as exc:
        raise SourceError(
            f"{path} is a Databento DBN file and the package databento-dbn is not installed",
            "pip install 'tapestream[databento]'",
        ) from exc


def _records(path: Path, library: Any, bad: BadRows) -> Iterator[Any]:
    """Metadata first, then records."""
    decoder = library.DBNDecoder()
    done = 0
    with open_bytes(path) as stream:
        while True:
            try:
                chunk = stream.read(_CHUNK)
                bad.share = 1.0 if not chunk else bad.share
            except (OSError, EOFError) as exc:
                bad.add(done, f"the file is damaged after this record: {exc}")
                return
            try:
                decoder.write(chunk)
                records = decoder.decode()
            except library.DBNError as exc:
                if not done:
                    raise SourceError(f"{path}: not DBN: {exc}", "fetch the file again") from exc
                bad.add(done, f"the file is damaged after this record: {exc}")
                return
            yield from records
            done += len(records)
            if not chunk:
                break
    if decoder.buffer():
        bad.add(max(done - 1, 0), "the file is cut short after this record")


class _Symbols:
    """Instrument ids to symbols, as metadata and mapping messages tell."""

    def __init__(self, mappings: dict[str, Any], fixed: str) -> None:
        self._fixed = fixed
        self._by_id: dict[int, list[tuple[date, date, str]]] = {}
        self._live: dict[int, str] = {}
        for symbol, intervals in mappings.items():
            for interval in intervals:
                if str(interval["symbol"]).isdigit():
                    span = (interval["start_date"], interval["end_date"], symbol)
                    self._by_id.setdefault(int(interval["symbol"]), []).append(span)

    def learn(self, instrument_id: int, symbol: str) -> None:
        self._live[instrument_id] = symbol

    def name(self, instrument_id: int, ts_ns: int) -> str:
        """The symbol, or the id as text when nobody names it."""
        if self._fixed or instrument_id in self._live:
            return self._fixed or self._live[instrument_id]
        spans = self._by_id.get(instrument_id, [])
        if len(spans) > 1:
            day = date(1970, 1, 1) + timedelta(days=ts_ns // _DAY_NS)
            spans = [span for span in spans if span[0] <= day < span[1]] or spans
        return spans[0][2] if spans else str(instrument_id)


class _Rows:
    """Records on their way into columns."""

    def __init__(self, library: Any, metadata: Any, options: ReadOptions, bad: BadRows) -> None:
        self._bad = bad
        self._symbols = _Symbols(metadata.mappings, options.symbol)
        schema = str(metadata.schema or "")
        self._quote_first = schema in _BEFORE
        self._undefined = (library.UNDEF_PRICE, library.UNDEF_TIMESTAMP)
        self._quoted = (library.MBP1Msg, library.CMBP1Msg)
        self._sampled = (library.BBOMsg, library.CBBOMsg)
        self._trade = library.TradeMsg
        self._mapping = tuple(
            getattr(library, name)
            for name in ("SymbolMappingMsg", "SymbolMappingMsgV1")
            if hasattr(library, name)
        )
        self._side = {str(library.Side.BID): 1, str(library.Side.ASK): -1}
        self._codes: dict[str, int] = {}
        self._rows: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, number: int, record: Any) -> None:
        """Take in one record; a quote record that tells a trade gives both."""
        if isinstance(record, self._quoted):
            traded = str(record.action) == "T"
            self._quote(number, record, record.ts_event - (traded and self._quote_first))
            if traded:
                self._add_trade(number, record)
        elif isinstance(record, self._trade):
            self._add_trade(number, record)
        elif isinstance(record, self._sampled):
            self._quote(number, record, record.ts_recv)  # ts_event is the last trade's
        elif isinstance(record, self._mapping):
            self._symbols.learn(record.instrument_id, record.stype_out_symbol)
        else:
            self._bad.skip(type(record).__name__)

    def _quote(self, number: int, record: Any, ts_ns: int) -> None:
        level = record.levels[0]
        undefined, no_time = self._undefined
        bid, ask = (0 if px == undefined else px for px in (level.bid_px, level.ask_px))
        if ts_ns >= no_time - 1:
            self._bad.add(number, "no time")
            return
        code = self._code(record, ts_ns)
        self._rows.append(
            (number, ts_ns, record.ts_recv, code, QUOTE, bid, ask, 0, level.bid_sz, level.ask_sz, 0, 0)
        )

    def _add_trade(self, number: int, record: Any) -> None:
        undefined, no_time = self._undefined
        if record.ts_event == no_time:
            self._bad.add(number, "no time")
            return
        price = 0 if record.price == undefined else record.price
        side = self._side.get(str(record.side), 0)
        code = self._code(record, record.ts_event)
        self._rows.append(
            (number, record.ts_event, record.ts_recv, code, TRADE, 0, 0, price, 0, 0, record.size, side)
        )

    def _code(self, record: Any, ts_ns: int) -> int:
        return self._codes.setdefault(self._symbols.name(record.instrument_id, ts_ns), len(self._codes))

    def take(self) -> Ticks:
        """What has been read since the last call, as ticks."""
        rows, self._rows = self._rows, []
        lines, ts, recv, code, kind, bid, ask, px, bid_sz, ask_sz, sz, side = zip(*rows, strict=True)
        at = np.array(recv, np.uint64)
        received = np.where(at == np.uint64(self._undefined[1]), np.uint64(0), at).astype(np.int64)
        ticks = make_ticks(
            tuple(self._codes),
            ts_event_ns=np.array(ts, np.int64),
            ts_recv_ns=received,
            symbol=np.array(code),
            kind=np.array(kind),
            bid_px=np.array(bid, np.int64),
            ask_px=np.array(ask, np.int64),
            trade_px=np.array(px, np.int64),
            bid_sz=np.array(bid_sz),
            ask_sz=np.array(ask_sz),
            trade_sz=np.array(sz),
            aggressor=np.array(side),
        )
        return valid_rows(ticks, np.array(lines), self._bad)
