"""Headers, codec, settings: errors name the field and the remedy."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, dumps, loads
from schemas.errors import FrameError, SettingsError
from schemas.headers import (
    H_VERSION,
    Origin,
    check_version,
    dead_letter_headers,
    get_header,
    get_origin,
    output_headers,
)
from schemas.messages import TickJson
from schemas.settings import load_settings

TRADE = {
    "symbol": "AAPL",
    "ts_event_ns": 10**18,
    "kind": "trade",
    "trade_px": "187.2301",
    "trade_sz": 10,
    "aggressor": 1,
}


@given(st.from_regex(r"\A[a-z.]{1,20}\Z"), st.integers(0, 4096), st.integers(0, 2**62), st.integers(0, 10**6))
def test_an_origin_reads_back_what_it_wrote(topic: str, partition: int, offset: int, index: int) -> None:
    origin = Origin(topic, partition, offset, index)
    assert Origin.parse(str(origin)) == origin


def test_an_output_tells_its_origin_and_a_foreign_message_tells_none() -> None:
    origin = Origin("market.ticks", 3, 81724, 2)
    assert get_origin(output_headers(origin)) == origin
    assert get_origin([("tapestream-origin", b"nonsense")]) is None
    assert get_origin(None) is None


def test_an_unknown_version_is_refused_and_none_is_taken_for_ours() -> None:
    check_version([])
    check_version(output_headers(Origin("t", 0, 0)))
    with pytest.raises(FrameError, match="version '2' is unknown"):
        check_version([(H_VERSION, b"2")])


def test_a_dead_letter_says_whence_why_and_what_to_do() -> None:
    headers = dead_letter_headers(Origin("market.ticks", 1, 5), "price must be > 0", "mend it")
    assert get_header(headers, "tapestream-error") == b"price must be > 0"
    assert get_header(headers, "tapestream-remedy") == b"mend it"
    assert get_header(headers, "tapestream-origin") == b"market.ticks[1]@5#0"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"trade_px": -1.0}, "TickJson.trade_px"),
        ({"trade_px": "x"}, "TickJson.trade_px"),
        ({"trade_sz": -1}, "TickJson.trade_sz"),
        ({"trade_sz": None}, "a trade needs trade_sz"),
        ({"kind": "depth"}, "TickJson.kind"),
        ({"ts_event_ns": 0}, "TickJson.ts_event_ns"),
        ({"aggressor": 2}, "TickJson.aggressor"),
        ({"symbol": ""}, "TickJson.symbol"),
        ({"kind": "quote"}, "a quote needs bid_px, ask_px, bid_sz, ask_sz"),
    ],
)
def test_a_bad_json_tick_names_the_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(FrameError) as caught:
        decode(TickJson, dumps(TRADE | change))
    assert field in caught.value.problem


def test_what_is_not_json_says_where() -> None:
    with pytest.raises(FrameError, match="line 1 column 6"):
        loads(b'{"a":')


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("windows_ms", [1000, 1500], "1500 ms is no multiple"),
        ("windows_ms", [50], "50 ms is outside"),
        ("windows_ms", [2000, 1000], "must ascend"),
        ("windows_ms", [], "between 1 and 8"),
        ("partitions", 0, "greater than or equal to 1"),
        ("security_protocol", "TELNET", "SASL_SSL"),
        ("topic_prefix", "a b", "should match"),
    ],
)
def test_a_bad_setting_names_its_variable(name: str, value: object, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**{name: value})
    assert words in caught.value.problem
    assert f"TAPESTREAM_{name.upper()}" in caught.value.remedy


def test_settings_come_from_the_environment_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPESTREAM_PARTITIONS", "3")
    monkeypatch.setenv("TAPESTREAM_WINDOWS_MS", "[100, 1000]")
    assert (load_settings().partitions, load_settings(partitions=5).partitions) == (3, 5)
    assert load_settings().windows_ms == (100, 1000)


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(load_settings(sasl_password="hunter2"))


def test_errors_survive_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(FrameError("what", "remedy")))
    assert (str(error), error.exit_code) == ("what (remedy)", 5)


def test_a_child_reads_the_same_settings_and_none_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        partitions=3,
        windows_ms=(100, 1000),
        sasl_password="hunter2",
        data_dir="here",
        ssl_check_hostname=False,
    )
    inherited = {"PATH": "/bin", "TAPESTREAM_FEE_BPS": "9", "TAPESTREAM_PARTITIONS": "5"}
    found = settings.environment(inherited)
    assert found["PATH"] == "/bin"
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings
