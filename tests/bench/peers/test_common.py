import pytest

from bench.peers.common import WINDOW_NS, Meter, Windows, add, bar, begin_window

QUOTE = {"symbol": "A", "ts_event_ns": 0, "kind": "quote", "bid_px": 9.5, "ask_px": 10.0}


def trade(price, size, aggressor, at_ns=0):
    return {
        "symbol": "A",
        "ts_event_ns": at_ns,
        "kind": "trade",
        "trade_px": price,
        "trade_sz": size,
        "aggressor": aggressor,
    }


def test_a_window_has_prices_volume_imbalance_and_mean_spread():
    window = begin_window(QUOTE)
    for tick in (trade(10.0, 3.0, 1), trade(12.0, 1.0, -1), trade(9.0, 4.0, 1)):
        window = add(window, tick)
    assert bar("A", 0, window) == {
        "symbol": "A",
        "open_ns": 0,
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 9.0,
        "volume": 8.0,
        "n_trades": 3,
        "imbalance": 0.75,
        "spread": 0.5,
    }


def test_a_window_is_given_out_by_the_first_tick_of_a_later_one():
    windows = Windows()
    assert [windows.add(tick) for tick in (QUOTE, trade(10.0, 1.0, 1))] == [None, None]
    closed = windows.add(trade(11.0, 1.0, 1, at_ns=WINDOW_NS))
    assert (closed["open_ns"], closed["n_trades"], closed["spread"]) == (0, 1, 0.5)


@pytest.mark.parametrize(("seen", "ended"), [(1, []), (2, ["end"]), (3, ["end"])])
def test_the_end_is_told_once_when_all_messages_have_been_seen(seen, ended):
    told = []
    meter = Meter(2, at_end=lambda: told.append("end"))
    for _ in range(seen):
        meter.count()
    assert (told, meter.done) == (ended, bool(ended))
