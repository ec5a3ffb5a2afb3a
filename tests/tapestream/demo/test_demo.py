"""`tapestream demo` as a whole, in a process of its own."""

import json

import pytest

from tapestream import cli
from tests.tapestream.process import Process, gone

pytestmark = pytest.mark.kafka

SHORT_WINDOWS = "[100, 1000]"
"""A regression needs so many windows; with short ones a signal does not take half a minute."""


@pytest.fixture
def demo(tmp_path, kafka, request):
    def demo(*arguments: str) -> Process:
        process = Process(
            tmp_path, "demo", *arguments, TAPESTREAM_BROKER=kafka, TAPESTREAM_WINDOWS_MS=SHORT_WINDOWS
        )
        request.addfinalizer(process.close)
        return process

    return demo


def test_a_demo_of_some_seconds_ends_by_itself_with_a_summary_that_balances(demo):
    shown = demo("--seconds", "10", "--symbols", "10", "--speed", "10", "--json")
    assert shown.wait() == 0, shown.output
    summary = json.loads(shown.output)
    classes = ("processed", "late", "duplicate", "dead", "held")
    assert summary["sent"] == summary["in"] == sum(summary[name] for name in classes) > 0
    assert summary["duplicate"] > 0
    assert summary["signals"] > 0
    assert summary["bars"] > 0
    assert (summary["balanced"], summary["problems"]) == (True, [])
    assert summary["lag_s"] is not None
    sent = [task["task_id"] for task in summary["tasks"]]
    assert sent[-2:] == ["demo-indicators", "demo-patterns"]  # compile for long, so after the ticks live
    assert {task["state"] for task in summary["tasks"][-2:]} == {"SUCCEEDED"}


def test_a_recorded_file_is_replayed_to_its_end(demo, tmp_path, capsys):
    ticks = tmp_path / "ticks.parquet"
    assert cli.main(["market", "--symbols", "4", "--seconds", "30", "--out", str(ticks), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["ticks"]
    shown = demo("--data", str(ticks), "--speed", "max", "--json")
    assert shown.wait() == 0, shown.output
    summary = json.loads(shown.output)
    assert (summary["sent"], summary["in"], summary["processed"]) == (made, made, made)


def test_ctrl_c_ends_a_demo_with_its_summary(demo):
    shown = demo("--symbols", "4")
    shown.wait_for("ticks/s  in")
    family = shown.descendants()
    shown.interrupt()
    assert shown.wait() == 0, shown.output
    assert ": balanced" in shown.output
    assert gone(family, 0.0)


def test_a_file_that_cannot_be_replayed_ends_the_demo_with_the_replays_own_words(demo, tmp_path):
    (tmp_path / "ticks.csv").write_text("nothing,that,we\nknow,how,to read\n")
    shown = demo("--data", str(tmp_path / "ticks.csv"), "--json")
    assert shown.wait() == 9
    assert "error: market ended with code 5: error: " in shown.output


def test_a_file_that_is_not_there_is_an_error_before_anything_starts(demo):
    shown = demo("--data", "absent.parquet")
    assert shown.wait() == 2
    assert (
        shown.output
        == "error: absent.parquet: no such file (give a file of recorded ticks: make demo DATA=path)\n"
    )
