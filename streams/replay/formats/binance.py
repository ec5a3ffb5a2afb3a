"""Recorded Binance websockets: ``recv_ns {json}`` a line, of one stream or of combined ones.

``bookTicker`` gives quotes and ``trade`` trades (``aggTrade`` for symbols whose trades come only so). Trade
ids rise by one a symbol; a book's update ids rise and skip. Spot sends its best bid and offer without an
exchange time: the capture time takes its place there, shifted by ``recv_offset_ns``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from schemas import codec
from schemas.errors import FrameError
from schemas.ticks import QUOTE, TRADE, Sequences, Ticks, is_symbol, make_ticks
from streams.replay.formats import columns as convert
from streams.replay.formats.base import BadRows, ReadOptions, valid_rows
from streams.replay.formats.opening import open_lines

_LINE = re.compile(rb"\d{16,19} \{")
_MS = 1_000_000
_TRADES = {"trade": "t", "aggTrade": "a"}


class Binance:
    """Websocket messages with the capture time before them."""

    name = "binance"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A number of ns and an object on the first line."""
        return _LINE.match(head) is not None

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        """Quotes and trades; depth updates and snapshots are skipped and counted."""
        rows = _Rows(options, bad)
        with open_lines(path, bad) as lines:
            for number, line in enumerate(lines, 1):
                if b'"depthUpdate"' in line:
                    bad.skip("depthUpdate")
                    continue
                rows.read(number, line)
                if len(rows) >= options.block_rows:
                    yield rows.take()
        if len(rows):
            yield rows.take()


class _Rows:
    """Messages on their way into columns."""

    def __init__(self, options: ReadOptions, bad: BadRows) -> None:
        self._options = options
        self._bad = bad
        self._codes: dict[str, int] = {}
        self._trade_event: dict[str, str] = {}
        """By symbol, which of the two kinds of trade message counts: that which came first."""
        self._rows: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, number: int, line: bytes) -> None:
        """Take in one line, or name what is wrong with it."""
        received, _, payload = line.partition(b" ")
        try:
            recv_ns = int(received)
            message = codec.loads(payload)
        except ValueError:
            self._bad.add(number, "no capture time at the start of the line")
            return
        except FrameError:
            self._bad.add(number, "not JSON after the capture time")
            return
        body = message.get("data", message) if isinstance(message, dict) else None
        if not isinstance(body, dict):
            self._bad.add(number, "not a websocket message")
            return
        event = body.get("e") or (
            "bookTicker" if body.keys() >= {"u", "s", "b", "B", "a", "A"} else "snapshot"
        )
        try:
            if event == "bookTicker":
                self._rows.append(self._quote(number, recv_ns, body))
            elif event in _TRADES and self._counts(event, body):
                self._rows.append(self._trade(number, recv_ns, body, body[_TRADES[event]]))
            else:
                self._bad.skip(str(event)[:40])
        except KeyError as exc:
            self._bad.add(number, f"a {event} without {exc.args[0]}")
        except (TypeError, ValueError):
            self._bad.add(number, f"a {event} with a field of another type")

    def _quote(self, number: int, recv_ns: int, body: dict[str, Any]) -> tuple[Any, ...]:
        ts = body["T"] * _MS if "T" in body else recv_ns + self._options.recv_offset_ns
        prices = (_text(body["b"]), _text(body["a"]), "")
        sizes = (_text(body["B"]), _text(body["A"]), "")
        return (
            number,
            _whole(ts),
            recv_ns,
            self._code(body["s"]),
            QUOTE,
            *prices,
            *sizes,
            0,
            _whole(body["u"]),
        )

    def _trade(self, number: int, recv_ns: int, body: dict[str, Any], trade_id: Any) -> tuple[Any, ...]:
        # m: the buyer had been in the book, so that the seller came to it.
        aggressor = -1 if body["m"] else 1
        ts, price, size = _whole(body["T"]) * _MS, ("", "", _text(body["p"])), ("", "", _text(body["q"]))
        code = self._code(body["s"])
        return (number, ts, recv_ns, code, TRADE, *price, *size, aggressor, _whole(trade_id))

    def _counts(self, event: str, body: dict[str, Any]) -> bool:
        """Not both of ``trade`` and ``aggTrade``: they tell the same volume twice."""
        return self._trade_event.setdefault(body["s"], event) == event

    def _code(self, symbol: str) -> int:
        if self._options.symbol:
            symbol = self._options.symbol
        elif not (isinstance(symbol, str) and is_symbol(symbol)):
            raise ValueError(symbol)
        return self._codes.setdefault(symbol, len(self._codes))

    def take(self) -> Ticks:
        """What has been read since the last call, as ticks."""
        rows, self._rows = self._rows, []
        lines, ts, recv, code, kind, bid, ask, px, bid_sz, ask_sz, sz, aggressor, sequence = zip(
            *rows, strict=True
        )
        at = np.array(lines)
        prices = [convert.prices(pa.array(texts)) for texts in (bid, ask, px)]
        sizes = [convert.floats(pa.array(texts)) for texts in (bid_sz, ask_sz, sz)]
        wrong = np.any([found.bad for found in prices], axis=0)
        self._bad.add_where(wrong, at, "a price that is no number")
        no_size = np.any([found.bad for found in sizes], axis=0) & ~wrong
        self._bad.add_where(no_size, at, "a size that is no number")
        ticks = make_ticks(
            tuple(self._codes),
            Sequences(dense_trades=True),
            ts_event_ns=np.array(ts, np.int64),
            ts_recv_ns=np.array(recv, np.int64),
            symbol=np.array(code),
            kind=np.array(kind),
            bid_px=prices[0].values,
            ask_px=prices[1].values,
            trade_px=prices[2].values,
            bid_sz=sizes[0].values,
            ask_sz=sizes[1].values,
            trade_sz=sizes[2].values,
            aggressor=np.array(aggressor),
            sequence=np.array(sequence, np.uint64),
        )
        good = ~(wrong | no_size)
        return valid_rows(ticks.take(good), at[good], self._bad)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**62:
        raise TypeError(value)
    return value
