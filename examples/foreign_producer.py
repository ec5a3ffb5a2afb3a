"""A producer of another team: it uses confluent-kafka and pyarrow, and nothing of Tapestream.

It writes a frame of quotes and trades to ``market.ticks`` and a single tick as JSON to
``market.ticks.json``. What it must know:

- The key is the symbol, and the partitioner is murmur2, as in Kafka's Java client; librdkafka's own
  default is another, so it is named here. A frame therefore holds symbols of one partition; here, of one.
- Prices are whole multiples of 1e-9 in a frame, and numbers or decimal strings in JSON.

Run it with a broker's address::

    python examples/foreign_producer.py localhost:9092
"""

import json
import sys
import time

import pyarrow as pa
from confluent_kafka import Producer

QUOTE, TRADE = 0, 1


def nano(price: str) -> int:
    """A decimal price as a multiple of 1e-9, exactly."""
    whole, _, decimals = price.partition(".")
    return int(whole) * 10**9 + int(decimals.ljust(9, "0"))


def frame(symbol: str, start_ns: int) -> bytes:
    """Two quotes and a trade as an Arrow IPC stream of one record batch."""
    rows = {
        "ts_event_ns": pa.array([start_ns, start_ns + 1_000_000, start_ns + 2_000_000], pa.int64()),
        "symbol": pa.DictionaryArray.from_arrays(pa.array([0, 0, 0], pa.int32()), pa.array([symbol])),
        "kind": pa.array([QUOTE, TRADE, QUOTE], pa.uint8()),
        "bid_px": pa.array([nano("187.25"), 0, nano("187.26")], pa.int64()),
        "ask_px": pa.array([nano("187.27"), 0, nano("187.28")], pa.int64()),
        "bid_sz": pa.array([300.0, 0.0, 200.0], pa.float64()),
        "ask_sz": pa.array([100.0, 0.0, 400.0], pa.float64()),
        "trade_px": pa.array([0, nano("187.27"), 0], pa.int64()),
        "trade_sz": pa.array([0.0, 100.0, 0.0], pa.float64()),
        "aggressor": pa.array([0, 1, 0], pa.int8()),
    }
    batch = pa.record_batch(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def main(broker: str, prefix: str = "") -> None:
    """Write to the broker; the prefix is what TAPESTREAM_TOPIC_PREFIX says, if anything."""
    problems = []
    producer = Producer(
        {
            "bootstrap.servers": broker,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "on_delivery": lambda error, message: problems.append(error) if error else None,
        }
    )
    symbol, now_ns = "AAPL", time.time_ns()
    producer.produce(prefix + "market.ticks", key=symbol, value=frame(symbol, now_ns))
    tick = {
        "symbol": symbol,
        "ts_event_ns": now_ns + 3_000_000,
        "kind": "trade",
        "trade_px": "187.28",
        "trade_sz": 50,
        "aggressor": 1,
    }
    producer.produce(prefix + "market.ticks.json", key=symbol, value=json.dumps(tick))
    undelivered = producer.flush(30)
    if problems or undelivered:
        sys.exit(f"not delivered: {problems or undelivered}")
    print(f"wrote a frame of 3 ticks and 1 JSON tick of {symbol} to {broker}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {sys.argv[0]} HOST:PORT [TOPIC_PREFIX]")
    main(*sys.argv[1:])
