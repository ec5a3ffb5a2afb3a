"""Fit micro-price tables from recorded quotes: one table a symbol. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.kernels.micro_price import fit_micro_price
from agents.micro_prices import MicroPriceTable
from schemas.ticks import QUOTE, Ticks

_COLUMNS = ("bid_px", "ask_px", "bid_sz", "ask_sz")


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How to fit.

    Attributes
    ----------
    tick_size
        Fixed-point 1e-9; 0 takes the greatest common divisor of a symbol's quotes.
    least_quotes
        A symbol with fewer good quotes gets no table.
    """

    tick_size: int = 0
    n_imbalance: int = 10
    n_spread: int = 4
    least_quotes: int = 1_000


@dataclass(frozen=True, slots=True)
class Fit:
    """Tables of the symbols that had enough quotes, and the number of quotes of those that had not."""

    tables: dict[str, MicroPriceTable]
    too_few: dict[str, int]


def fit_tables(blocks: Iterable[Ticks], options: FitOptions) -> Fit:
    """Fit a table for every symbol in the blocks, which come in order of event time."""
    parts: dict[str, list[tuple[npt.NDArray[np.generic], ...]]] = defaultdict(list)
    for block in blocks:
        quotes = block.columns["kind"] == QUOTE
        for code in np.unique(block.columns["symbol"][quotes]).tolist():
            rows = np.flatnonzero(quotes & (block.columns["symbol"] == code))
            parts[block.symbols[code]].append(tuple(block.columns[name][rows] for name in _COLUMNS))
    tables: dict[str, MicroPriceTable] = {}
    too_few: dict[str, int] = {}
    for symbol in sorted(parts):
        bid, ask, bid_sz, ask_sz = (np.concatenate(columns) for columns in zip(*parts[symbol], strict=True))
        good = (bid > 0) & (ask > bid)
        bid, ask, bid_sz, ask_sz = bid[good], ask[good], bid_sz[good], ask_sz[good]
        if len(bid) < options.least_quotes:
            too_few[symbol] = len(bid)
            continue
        tick = options.tick_size or int(np.gcd.reduce(np.concatenate([bid, ask])))
        table = fit_micro_price(bid, ask, bid_sz, ask_sz, tick, options.n_imbalance, options.n_spread)
        tables[symbol] = MicroPriceTable(tick, table)
    return Fit(tables, too_few)
