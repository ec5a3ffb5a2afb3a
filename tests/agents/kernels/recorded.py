"""Recorded Binance streams as ticks: just enough of a parser for the kernel tests."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import pytest

from tests.oracles.ticks import Tick

DATA = Path(__file__).parents[4] / "shared" / "data" / "binance"
USDM, SPOT, COIN_M = "usdm_btcusdt_20240808", "spot_btcusdt_20240808", "cm_btcusd_perp_20240808"


def fixed(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0")[:9])


@cache
def recorded(name: str) -> tuple[list[Tick], list[int]]:
    """Ticks as received, with the exchange's time (receipt where it sends none), and the receipts."""
    path = DATA / f"{name}.gz"
    if not path.exists():
        pytest.skip(f"the recorded file {path.name} is not here")
    ticks, received = [], []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            receipt, _, message = line.partition(" ")
            d = json.loads(message).get("data", {})
            ts = d["T"] * 1_000_000 if "T" in d else int(receipt)
            if d.get("e") == "trade" and float(d["p"]) > 0:
                aggressor = -1 if d["m"] else 1
                ticks.append(
                    Tick(ts, 0, 1, px=fixed(d["p"]), size=float(d["q"]), aggressor=aggressor, sequence=d["t"])
                )
            elif "B" in d and "A" in d:
                ticks.append(
                    Tick(
                        ts,
                        0,
                        0,
                        bid=fixed(d["b"]),
                        ask=fixed(d["a"]),
                        bid_sz=float(d["B"]),
                        ask_sz=float(d["A"]),
                        sequence=d["u"],
                    )
                )
            else:
                continue
            received.append(int(receipt))
    return ticks, received


def in_exchange_time(ticks: list[Tick]) -> list[Tick]:
    """By event time, trades before quotes of the same instant, else by receipt."""
    return sorted(ticks, key=lambda t: (t.ts, t.kind != 1))
