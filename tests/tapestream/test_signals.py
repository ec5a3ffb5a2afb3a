import asyncio
import json

import pytest

from schemas import codec
from schemas.messages import Signal, Source
from schemas.settings import Settings
from streams import clients, topics
from streams.follow import follow
from tapestream import cli
from tapestream.signals_view import Board, Wanted, event_time, line


def a_signal(symbol="BTCUSD", kind="order_flow", strength=1.5, side=1, number=0) -> Signal:
    return Signal(
        signal_id=f"market.ticks[0]@{number}#0",
        symbol=symbol,
        kind=kind,
        ts_event_ns=1_700_000_000_123_456_789,
        window="1s",
        side=side,
        strength=strength,
        expected_move_bps=1.25,
        cost_bps=0.5,
        features={"ofi": 3.0},
        model="order_flow/1",
        source=Source(partition=0, first_offset=number, last_offset=number),
        latency_us={},
    )


async def write(settings: Settings, *values: Signal | bytes) -> None:
    async with clients.producer(settings) as producer:
        for value in values:
            payload = value if isinstance(value, bytes) else codec.dumps(value)
            await producer.send_and_wait(topics.name(settings, topics.SIGNALS), payload, partition=0)


@pytest.fixture
def environment(monkeypatch, settings, topics_ready):
    monkeypatch.setenv("TAPESTREAM_BROKER", settings.broker)
    monkeypatch.setenv("TAPESTREAM_TOPIC_PREFIX", settings.topic_prefix)


async def shown(capsys, *options: str) -> list[str]:
    # The command has a loop of its own, so it runs in a thread beside ours.
    code = await asyncio.to_thread(cli.main, ["signals", *options])
    assert code == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), [True, True, True]),
        (Wanted(symbols=["ETHUSD"]), [False, True, False]),
        (Wanted(symbols=["BTC*", "X"]), [True, False, True]),
        (Wanted(kinds=["mine"]), [False, False, True]),
        (Wanted(min_strength=1.5), [True, False, True]),
    ],
)
def test_filters_choose_by_symbol_kind_and_strength(wanted, expected):
    some = [a_signal(), a_signal("ETHUSD", strength=1.4), a_signal("BTCEUR", "mine", 2.0)]
    assert [wanted(signal) for signal in some] == expected


def test_the_board_keeps_the_latest_and_counts_them_all():
    board = Board(rows=2)
    for number in range(3):
        board.add(a_signal(number=number))
    assert board.total == 3
    assert [signal.signal_id for signal in board.latest] == ["market.ticks[0]@2#0", "market.ticks[0]@1#0"]
    assert board.__rich__().row_count == 2


def test_a_line_says_all_that_one_acts_on():
    assert line(a_signal(side=-1)) == (
        "2023-11-14 22:13:20.123  BTCUSD       SELL  strength   1.50  expected    +1.25 bp  "
        "cost    0.50 bp  1s   order_flow"
    )
    assert event_time(0) == "1970-01-01 00:00:00.000"


async def test_json_is_one_line_a_signal_and_can_be_read_back(settings, environment, capsys):
    both = [a_signal(number=1), a_signal("ETHUSD", number=2)]
    await write(settings, *both)
    lines = await shown(capsys, "--json", "--from-beginning", "--no-follow")
    assert [codec.decode(Signal, text) for text in lines] == both


async def test_filters_and_limit_apply_to_what_is_shown(settings, environment, capsys):
    await write(settings, *(a_signal(symbol, number=n) for n, symbol in enumerate(["A", "B", "A", "A"])))
    lines = await shown(capsys, "--json", "--from-beginning", "--symbol", "A", "--limit", "2")
    assert [json.loads(text)["source"]["first_offset"] for text in lines] == [0, 2]


async def test_elsewhere_than_on_a_terminal_signals_are_lines(settings, environment, capsys):
    await write(settings, a_signal())
    assert await shown(capsys, "--from-beginning", "--no-follow") == [line(a_signal())]


async def test_a_message_that_is_no_signal_is_named_and_skipped(settings, environment, capsys):
    await write(settings, b"nonsense", a_signal())
    assert await asyncio.to_thread(cli.main, ["signals", "--json", "--from-beginning", "--no-follow"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert err.startswith(f"skipped {settings.topic_prefix}market.signals[0]@0: not JSON")


async def test_following_begins_with_what_is_written_after_entering(settings, topics_ready):
    await write(settings, a_signal(number=1))
    async with follow(settings, topics.SIGNALS) as batches:
        await write(settings, a_signal(number=2))
        async for batch in batches:
            if batch:
                assert [record.offset for record in batch] == [1]
                break


async def test_until_now_ends_at_once_on_an_empty_topic(settings, topics_ready):
    async with follow(settings, topics.SIGNALS, from_beginning=True, until_now=True) as batches:
        assert [batch async for batch in batches] == []


async def test_an_absent_topic_is_an_error_with_its_remedy(settings, monkeypatch, capsys):
    monkeypatch.setenv("TAPESTREAM_BROKER", settings.broker)
    monkeypatch.setenv("TAPESTREAM_TOPIC_PREFIX", settings.topic_prefix)
    assert await asyncio.to_thread(cli.main, ["signals"]) == 4
    assert capsys.readouterr().err == (
        f"error: {settings.topic_prefix}market.signals is absent (`tapestream topics create` makes it)\n"
    )


def test_probabilities_are_shown_in_percent_and_counts_by_kind():
    board = Board()
    chances = {"sell": 0.125, "hold": 0.25, "buy": 0.625}
    scored = a_signal(kind="lstm").model_copy(update={"probabilities": chances, "cost_bps": None})
    for signal in (a_signal(), scored, scored):
        board.add(signal)
    assert board.__rich__().title == "3 signals: 2 lstm, 1 order_flow"
    assert line(scored).endswith("cost -  1s   lstm        sell 12%  hold 25%  buy 62%")
