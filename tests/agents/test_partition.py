"""The partition: accounting, coordinates, and laws that hold however the log is cut."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.configuration import partition_config
from agents.messages import Message
from agents.micro_prices import MicroPriceTable, write_tables
from agents.partition import Partition
from schemas.codec import dumps, loads
from schemas.errors import CheckpointError
from schemas.frame import encode_frame
from schemas.headers import H_ERROR, H_VERSION, H_WATERMARK, Headers, get_header
from schemas.ipc import read_batch
from schemas.settings import Settings
from schemas.ticks import QUOTE, TRADE, Sequences, Ticks, make_ticks
from streams.clients import partition_of

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
SYMBOLS = ("AAPL", "MSFT", "NVDA")


def new_partition(**changes: object) -> Partition:
    options: dict[str, object] = {"partitions": 1, "windows_ms": (100, 1000)} | changes
    return Partition(partition_config(Settings(**options))(0))


def random_ticks(n: int, seed: int, *, jitter_ms: int = 0, step_ns: int = 3 * MS) -> Ticks:
    """Quotes and trades whose mid follows the imbalance of the quotes, so that signals come about."""
    rng = np.random.default_rng(seed)
    symbol = rng.integers(0, len(SYMBOLS), n)
    kind = (rng.random(n) < 0.3).astype(np.uint8)
    sequence = np.zeros(n, np.uint64)
    for s in range(len(SYMBOLS)):
        for k in (QUOTE, TRADE):
            rows = (symbol == s) & (kind == k)
            sequence[rows] = np.arange(1, rows.sum() + 1)
    lean = np.sin(np.arange(n) / 150.0)
    mid = 100_000 + np.round(np.cumsum(lean + rng.normal(0, 0.3, n))).astype(np.int64)
    bid_sz = np.maximum(1, 50 + 40 * lean + rng.integers(-5, 6, n))
    ask_sz = np.maximum(1, 50 - 40 * lean + rng.integers(-5, 6, n))
    quote, trade = kind == QUOTE, kind == TRADE
    return make_ticks(
        SYMBOLS,
        Sequences(True, True),
        ts_event_ns=T0 + np.arange(n) * step_ns + rng.integers(0, jitter_ms * MS + 1, n),
        ts_recv_ns=T0 + np.arange(n) * step_ns + jitter_ms * MS + 1000,
        symbol=symbol,
        kind=kind,
        bid_px=np.where(quote, (mid - 1) * 10_000_000, 0),
        ask_px=np.where(quote, (mid + 1) * 10_000_000, 0),
        bid_sz=np.where(quote, bid_sz, 0),
        ask_sz=np.where(quote, ask_sz, 0),
        trade_px=np.where(trade, (mid + rng.choice((-1, 1), n)) * 10_000_000, 0),
        trade_sz=np.where(trade, rng.integers(1, 100, n), 0),
        sequence=sequence,
    )


def messages_of(ticks: Ticks, cuts: list[int]) -> list[Message]:
    edges = [0, *sorted(cuts), len(ticks)]
    frames = [ticks.take(slice(a, b)) for a, b in pairwise(edges)]
    return [Message(i, 0, [], encode_frame(frame)) for i, frame in enumerate(frames)]


def rows_on(outputs: list[tuple[str, bytes]], topic: str) -> list[dict[str, object]]:
    """All rows of a topic, symbols as text, NaN as text so that equal rows compare equal."""
    rows: list[dict[str, object]] = []
    for name, value in outputs:
        if name == topic:
            rows += [
                {k: "nan" if v != v else v for k, v in row.items()} for row in read_batch(value).to_pylist()
            ]
    return rows


def signals_of(outputs: list[tuple[str, bytes]]) -> list[dict[str, object]]:
    """Signals without what says where they came from."""
    found = [loads(value) for name, value in outputs if name == "market.signals"]
    return [{k: v for k, v in s.items() if k not in ("signal_id", "source", "latency_us")} for s in found]


def feed(partition: Partition, messages: list[Message]) -> list[tuple[str, bytes]]:
    return [(o.topic, o.value) for m in messages for o in partition.process(m)]


cuts_strategy = st.lists(st.integers(0, 3000), max_size=12)


@pytest.mark.parametrize("lateness_ms", [0, 40])
@given(cuts=cuts_strategy, seed=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_cutting_the_log_anywhere_changes_no_bit(lateness_ms: int, cuts: list[int], seed: int) -> None:
    ticks = random_ticks(3000, seed, jitter_ms=30 if lateness_ms else 0)
    whole, cut = (
        new_partition(allowed_lateness_ms=lateness_ms),
        new_partition(allowed_lateness_ms=lateness_ms),
    )
    a = feed(whole, messages_of(ticks, []))
    b = feed(cut, messages_of(ticks, cuts))
    for topic in ("market.features", "market.bars"):
        assert rows_on(a, topic) == rows_on(b, topic)
    assert signals_of(a) == signals_of(b)
    assert whole.kernel.to_bytes() == cut.kernel.to_bytes()
    assert len(whole.waiting) == len(cut.waiting)


def test_the_random_market_has_rows_and_signals_so_that_the_laws_are_not_empty() -> None:
    outputs = feed(new_partition(), messages_of(random_ticks(3000, 0), []))
    assert len(rows_on(outputs, "market.features")) > 200
    assert len(rows_on(outputs, "market.bars")) > 150
    assert len(signals_of(outputs)) >= 2


def test_no_two_frames_of_bars_have_the_same_key_which_compaction_would_make_one() -> None:
    partition, messages = new_partition(), messages_of(random_ticks(3000, 0), [500, 1_000])
    keys = [o.key for m in messages for o in partition.process(m) if o.topic == "market.bars"]
    assert len(keys) == len(set(keys)) > 2


@given(cuts=cuts_strategy, at=st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_a_restored_checkpoint_goes_on_with_the_same_bits(cuts: list[int], at: int) -> None:
    messages = messages_of(random_ticks(3000, 1, jitter_ms=30), cuts)
    at = min(at, len(messages))
    first, undisturbed = new_partition(allowed_lateness_ms=40), new_partition(allowed_lateness_ms=40)
    before = [first.process(m) for m in messages[:at]]
    second = new_partition(allowed_lateness_ms=40)
    second.restore(first.snapshot())
    after = [second.process(m) for m in messages[at:]]
    assert before + after == [undisturbed.process(m) for m in messages]
    assert second.snapshot() == undisturbed.snapshot()


@given(seed=st.integers(0, 1000), n=st.integers(1, 400), lateness=st.sampled_from([0, 5, 50]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_tick_is_in_exactly_one_class(seed: int, n: int, lateness: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    ticks = random_ticks(n, seed, jitter_ms=200)
    for name, wrong in (("bid_px", -5), ("trade_px", 0), ("kind", 9), ("ts_event_ns", 1), ("bid_sz", np.nan)):
        ticks.columns[name][rng.random(n) < 0.05] = wrong
    again = ticks.take(rng.integers(0, n, n // 3))
    partition = new_partition(allowed_lateness_ms=lateness)
    outputs = []
    for i, frame in enumerate((ticks, again)):
        outputs += feed(partition, [Message(i, 0, [], encode_frame(frame))])
        assert partition.accounting.balanced
    book = partition.accounting
    assert book.ticks_in == n + n // 3
    dead_rows = sum(read_batch(value).num_rows for topic, value in outputs if topic == "dead.letters")
    events = [loads(value) for topic, value in outputs if topic == "market.quality"]
    told = {kind: sum(e["count"] for e in events if e["kind"] == kind) for kind in ("late", "duplicate")}
    assert (dead_rows, told["late"], told["duplicate"]) == (book.dead, book.late, book.duplicate)


def one_trade(**changes: object) -> Ticks:
    values: dict[str, object] = {
        "ts_event_ns": T0,
        "symbol": 0,
        "kind": TRADE,
        "trade_px": 100_000_000_000,
        "trade_sz": 1.0,
    }
    return make_ticks(("AAPL",), **{name: np.array([value]) for name, value in (values | changes).items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trade_px": -1_000_000_000}, "trade_px must be > 0, was -1.0"),
        ({"trade_px": 0}, "trade_px must be > 0, was 0.0"),
        ({"trade_sz": -2.0}, "sizes must be finite and >= 0, was 0.0 and 0.0 and -2.0"),
        ({"trade_sz": np.inf}, "sizes must be finite and >= 0, was 0.0 and 0.0 and inf"),
        ({"kind": 7}, "kind must be 0 (quote) or 1 (trade), was 7"),
        ({"aggressor": 3}, "aggressor must be -1, 0 or 1, was 3"),
        ({"ts_event_ns": 5}, "ts_event_ns must lie in 1990..2200, was 5"),
        ({"ts_recv_ns": T0 - 2 * 3_600_000 * MS}, "must not be further ahead"),
    ],
)
def test_a_bad_tick_is_dead_lettered_alone_with_coordinates(changes: dict[str, object], reason: str) -> None:
    good = random_ticks(10, 0)
    frame = make_ticks(
        ("AAPL", *SYMBOLS[1:]),
        **{
            name: np.concatenate([good.columns[name], one_trade(**changes).columns[name]])
            for name in good.columns
        },
    )
    partition = new_partition()
    outputs = partition.process(Message(81724, 0, [], encode_frame(frame)))
    letters = [o for o in outputs if o.topic == "dead.letters"]
    assert len(letters) == 1
    error = (get_header(letters[0].headers, H_ERROR) or b"").decode()
    assert error.startswith("market.ticks[0]@81724 row 10: ")
    assert reason in error
    assert read_batch(letters[0].value).num_rows == 1
    assert (partition.accounting.processed, partition.accounting.dead) == (10, 1)


@pytest.mark.parametrize(
    ("headers", "value", "reason"),
    [
        ([], b"garbage", "not an Arrow IPC stream"),
        ([], None, "not an Arrow IPC stream"),
        ([(H_VERSION, b"99")], encode_frame(random_ticks(3, 0)), "message version '99' is unknown"),
        ([(H_WATERMARK, b"soon")], b"", "must be decimal nanoseconds"),
        ([(H_WATERMARK, b"-5")], b"", "outside 1970 to 2200"),
    ],
)
def test_a_message_that_is_no_frame_is_dead_lettered_whole(
    headers: Headers, value: bytes | None, reason: str
) -> None:
    partition = new_partition()
    (letter,) = partition.process(Message(7, 0, [*headers, ("theirs", b"kept")], value))
    error = (get_header(letter.headers, H_ERROR) or b"").decode()
    assert error.startswith("market.ticks[0]@7: ")
    assert reason in error
    assert letter.value == (value or b"")
    assert get_header(letter.headers, "theirs") == b"kept"
    assert (partition.accounting.ticks_in, partition.accounting.dead) == (1, 1)


@given(st.binary(max_size=400), st.data())
@settings(max_examples=150, deadline=None)
def test_no_bytes_at_all_crash_it_and_each_message_is_accounted_for(
    noise: bytes, data: st.DataObject
) -> None:
    payload = bytearray(encode_frame(random_ticks(20, 3)))
    for _ in range(data.draw(st.integers(0, 6))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    partition = new_partition()
    for i, value in enumerate((noise, bytes(payload), encode_frame(random_ticks(20, 4)))):
        partition.process(Message(i, 0, [], value))
        assert partition.accounting.balanced
        assert partition.accounting.messages == i + 1


def test_a_heartbeat_closes_the_windows_of_an_idle_partition() -> None:
    partition = new_partition()
    assert feed(partition, messages_of(random_ticks(5, 0), [])) == []
    later = str(T0 + 10_000 * MS).encode()
    outputs = partition.process(Message(1, 0, [(H_WATERMARK, later)], b""))
    assert {o.topic for o in outputs} == {"market.features", "market.bars"}
    assert partition.watermark_ns == T0 + 10_000 * MS


def test_ticks_within_the_lateness_are_put_in_order_and_those_beyond_are_late_with_coordinates() -> None:
    def trade(ms: int, sequence: int) -> Ticks:
        return one_trade(ts_event_ns=T0 + ms * MS, sequence=sequence)

    partition = new_partition(allowed_lateness_ms=50)
    times = [0, 30, 10, 120, 90, 300, 20]
    outputs = feed(partition, [Message(i, 0, [], encode_frame(trade(t, i + 1))) for i, t in enumerate(times)])
    late = [loads(value) for topic, value in outputs if topic == "market.quality"]
    assert [(e["kind"], e["offset"], e["rows"], e["symbol"]) for e in late] == [("late", 6, [0], "AAPL")]
    book = partition.accounting
    assert (book.processed, book.late, book.held, book.balanced) == (5, 1, 1, True)


def test_a_symbol_on_the_wrong_partition_is_told_once_and_computed_all_the_same() -> None:
    name = next(s for s in ("AAPL", "MSFT", "NVDA", "IBM") if partition_of(s, 4) != 0)
    ticks = make_ticks((name,), ts_event_ns=[T0], symbol=[0], kind=[TRADE], trade_px=[10**11], trade_sz=[1.0])
    partition = new_partition(partitions=4)
    outputs = feed(partition, [Message(i, 0, [], encode_frame(ticks)) for i in range(2)])
    events = [loads(value) for topic, value in outputs if topic == "market.quality"]
    assert [(e["kind"], e["symbol"], e["offset"]) for e in events] == [("misrouted", name, 0)]
    assert partition.accounting.processed == 2


def test_rows_with_nulls_are_dead_and_their_neighbours_live() -> None:
    batch = read_batch(encode_frame(random_ticks(4, 0)))
    index = batch.schema.get_field_index("bid_px")
    values = batch.column(index).to_pylist()
    values[2] = None
    batch = batch.set_column(index, "bid_px", pa.array(values, pa.int64()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    partition = new_partition()
    (letter,) = partition.process(Message(0, 0, [], sink.getvalue().to_pybytes()))
    assert b"row 2: a null where a value must be" in (get_header(letter.headers, H_ERROR) or b"")
    assert (partition.accounting.processed, partition.accounting.dead) == (3, 1)


def test_a_signal_that_raises_is_dead_lettered_and_the_rest_goes_on() -> None:
    partition = new_partition(signals=("tests.agents.faulty_signal:faulty",))
    outputs = [o for m in messages_of(random_ticks(200, 0), []) for o in partition.process(m)]
    letters = [o for o in outputs if o.topic == "dead.letters"]
    assert letters
    assert b"signal 'faulty' raised ZeroDivisionError" in (get_header(letters[0].headers, H_ERROR) or b"")
    assert any(o.topic == "market.features" for o in outputs)
    assert partition.accounting.balanced


def test_identities_are_numbered_in_order_and_never_repeat() -> None:
    partition = new_partition()
    outputs = [o for m in messages_of(random_ticks(3000, 0), [1000, 2000]) for o in partition.process(m)]
    origins = [get_header(o.headers, "tapestream-origin") for o in outputs]
    assert len(set(origins)) == len(origins) > 3


def test_signals_do_not_depend_on_the_wall_clock_but_for_their_latency() -> None:
    a, b = new_partition(), new_partition()
    messages = messages_of(random_ticks(3000, 0), [])
    for message in messages:
        early, later = a.process(message, now_ns=0), b.process(message, now_ns=10**19)
        for one, other in zip(early, later, strict=True):
            if one.topic == "market.signals":
                first, second = loads(one.value), loads(other.value)
                assert first.pop("latency_us") != second.pop("latency_us")
                assert dumps(first) == dumps(second)
            else:
                assert one == other


@pytest.mark.parametrize("change", [{"windows_ms": (200, 1000)}, {"allowed_lateness_ms": 7}])
def test_a_checkpoint_of_another_configuration_is_refused_with_both_named(change: dict[str, object]) -> None:
    partition = new_partition()
    feed(partition, messages_of(random_ticks(50, 0), []))
    with pytest.raises(CheckpointError, match=r"was written under \[.*\], configured is \[.*\]"):
        new_partition(**change).restore(partition.snapshot())


def test_a_checkpoint_written_with_other_micro_price_tables_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path / "a.json", {"AAPL": MicroPriceTable(10_000_000, np.array([[-0.1, 0.1]]))})
    partition = new_partition(micro_price_table=tmp_path / "a.json")
    new_partition(micro_price_table=tmp_path / "a.json").restore(partition.snapshot())
    with pytest.raises(CheckpointError, match="micro_prices=none"):
        new_partition().restore(partition.snapshot())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_checkpoint_is_an_error_never_a_silent_state(data: st.DataObject) -> None:
    partition = new_partition()
    feed(partition, messages_of(random_ticks(50, 0), []))
    state = partition.snapshot()
    cut = state[: data.draw(st.integers(0, len(state) - 1))]
    with pytest.raises(CheckpointError):
        new_partition().restore(cut)
