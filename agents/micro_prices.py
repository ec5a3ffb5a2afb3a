"""Micro-price tables on disk: fitted offline, looked up by the kernels."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.codec import dumps_pretty, loads
from schemas.errors import FrameError, SettingsError
from streams.files import replace_file


@dataclass(frozen=True, slots=True)
class MicroPriceTable:
    """Stoikov's adjustment g of one symbol.

    Attributes
    ----------
    tick_size
        Fixed-point 1e-9.
    adjustment
        float64 (spreads in ticks from 1, imbalance buckets), in units of the quote currency.
    """

    tick_size: int
    adjustment: npt.NDArray[np.float64]


def fingerprint(tables: dict[str, MicroPriceTable]) -> str:
    """A short text that equal tables have in common; ``none`` when there are none."""
    if not tables:
        return "none"
    checksum = 0
    for symbol in sorted(tables):
        table = tables[symbol]
        facts = f"{symbol} {table.tick_size} {table.adjustment.shape}".encode()
        checksum = zlib.crc32(facts + table.adjustment.tobytes(), checksum)
    return f"{checksum:08x}"


def write_tables(path: Path, tables: dict[str, MicroPriceTable]) -> None:
    """Write tables as JSON, replacing the file in one step."""
    content = {
        symbol: {"tick_size_e9": table.tick_size, "adjustment": table.adjustment.tolist()}
        for symbol, table in tables.items()
    }
    replace_file(path, dumps_pretty({"version": 1, "symbols": content}).encode())


def read_tables(path: Path | None) -> dict[str, MicroPriceTable]:
    """Read what :func:`write_tables` wrote; no path, no tables.

    Raises
    ------
    SettingsError
        When the file is absent or not such a table.
    """
    if path is None:
        return {}
    remedy = "fit one with `tapestream fit-micro-price`, or unset TAPESTREAM_MICRO_PRICE_TABLE"
    try:
        content = loads(path.read_bytes())
        tables = {
            symbol: MicroPriceTable(int(entry["tick_size_e9"]), np.array(entry["adjustment"], np.float64))
            for symbol, entry in content["symbols"].items()
        }
    except (OSError, FrameError, KeyError, TypeError, ValueError) as exc:
        raise SettingsError(f"micro-price table {path}: {exc}", remedy) from exc
    for symbol, table in tables.items():
        if table.adjustment.ndim != 2 or table.tick_size <= 0:
            raise SettingsError(f"micro-price table {path}: {symbol} has no matrix or no tick size", remedy)
    return tables
