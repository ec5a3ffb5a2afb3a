import sys
from pathlib import Path

import pytest

from bench.peers.common import Job
from bench.peers.measure import Absent, Run, Table, measure, run_script
from schemas.errors import SettingsError
from schemas.settings import Settings


def test_rates_and_ratios_are_of_neighbouring_runs_and_an_absent_peer_has_no_number():
    table = Table()
    table.ours = [Run(1.0, 2.0), Run(2.0, 2.0)]
    for run in (Run(2.0, 3.0), Run(8.0, 3.0)):
        table.take("slow", run, "2 missing" if run.seconds > 2 else "")
    table.take("broken", Run(1.0, 1.0))
    table.take("broken", Absent("json: ended with 1: no"))
    assert table.figures(ticks=120) == {
        "ours": {"ticks_per_s": 80, "ticks_per_cpu_s": 60},
        "slow": {
            "ticks_per_s": 24,
            "ticks_per_cpu_s": 40,
            "ours_over_peer": 3.0,
            "ours_over_peer_by_cpu": 1.5,
            "outputs": "2 missing",
        },
        "broken": {"absent": "json: ended with 1: no"},
    }


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ('print(\'{"seen": 3, "seconds": 2.0, "cpu_seconds": 1.0}\')', Run(2.0, 1.0)),
        (
            'print(\'{"seen": 2, "seconds": 2.0, "cpu_seconds": 1.0}\')',
            Absent("json: took in 2 of 3 messages"),
        ),
        ("raise SystemExit('no broker')", Absent("json: ended with 1: no broker")),
        ("print('hello')", Absent("json: ended with 0: hello")),
    ],
)
def test_a_script_gives_figures_or_the_reason_why_not(tmp_path, monkeypatch, script, outcome):
    (tmp_path / "a_peer.py").write_text(script)
    job = Job("json", "127.0.0.1:1", 3, "group", str(tmp_path))
    assert run_script(Path(sys.executable), "a_peer", Settings(), job) == outcome


def test_an_unknown_peer_is_answered_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"flink: no such peer \(one of faust, quixstreams"):
        measure(1, 1, 1, ("flink",), ())
