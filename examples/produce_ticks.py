"""Ticks from a program of your own, with Tapestream's writer.

It batches, routes each symbol to its partition and answers for every tick: when ``flush`` returns, the broker
has them. Where the broker is comes from the settings (TAPESTREAM_BROKER).

    python examples/produce_ticks.py
"""

import asyncio
import time

import numpy as np

from schemas.settings import load_settings
from schemas.ticks import QUOTE, make_ticks
from streams.writer import TickWriter


async def main(quotes: int = 10_000) -> None:
    """Write a random walk of quotes as columns, then one trade by itself."""
    rng = np.random.default_rng(1)
    symbols = ("AAPL", "MSFT", "BTC-USD")
    now_ns = time.time_ns()
    bid_px = 187_250_000_000 + 10_000_000 * np.cumsum(rng.integers(-1, 2, quotes))  # 187.25 in cents
    ticks = make_ticks(
        symbols,
        ts_event_ns=now_ns + 1_000 * np.arange(quotes),
        ts_recv_ns=now_ns + 1_000 * np.arange(quotes),
        symbol=rng.integers(0, len(symbols), quotes),
        kind=np.full(quotes, QUOTE),
        bid_px=bid_px,
        ask_px=bid_px + 10_000_000,
        bid_sz=rng.integers(1, 10, quotes) * 100.0,
        ask_sz=rng.integers(1, 10, quotes) * 100.0,
    )
    async with TickWriter(load_settings()) as writer:
        await writer.write(ticks)
        await writer.write_tick(
            symbol="AAPL",
            ts_event_ns=now_ns + 1_000 * quotes,
            kind="trade",
            trade_px="187.26",
            trade_sz=100,
            aggressor=1,
        )
        await writer.flush()
        print(f"{writer.ticks} ticks in {writer.frames} frames, {writer.bytes} bytes")


if __name__ == "__main__":
    asyncio.run(main())
