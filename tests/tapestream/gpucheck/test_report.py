"""The report on a made-up machine, and the refusal on one without a GPU."""

import subprocess
import sys

import pytest
import torch

from tapestream.gpucheck import report
from tapestream.shadows import ROOT

pytestmark = pytest.mark.gpu_path

ABOUT = {
    "commit": "abc",
    "machine": "Linux, 2 cores",
    "packages": {"torch": "2"},
    "gpus": [{"uuid": "GPU-1"}],
}
JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_one"/>
<testcase classname="tests.a" name="test_two"><failure message="3 != 4">at line 1</failure></testcase>
<testcase classname="tests.a" name="test_three"><skipped message="no GPU | that works"/></testcase>
<testcase classname="tests.a" name="test_four"><error message="no fixture"/></testcase>
</testsuite></testsuites>"""


def test_a_skip_is_no_pass_and_has_its_reason():
    assert [tuple(row.values()) for row in report.outcomes(JUNIT)] == [
        ("tests.a.test_one", "passed", ""),
        ("tests.a.test_two", "failed", "3 != 4"),
        ("tests.a.test_three", "skipped", "no GPU | that works"),
        ("tests.a.test_four", "failed", "no fixture"),
    ]


def test_the_page_has_the_environment_the_tests_and_the_cpu_beside_the_gpu():
    found = {
        "lstm": {"cpu": {"s": 2.0, "cases": [{"n": 1}]}, "cuda:0": {"s": 1.0, "graph": {"s": 0.5}}},
        "ticks": {"cpu": {"s": 1}, "cuda:0": {"failed": "no broker"}},
    }
    page = report.render({"environment": ABOUT, "tests": report.outcomes(JUNIT), "benchmarks": found})
    assert "Commit `abc`; Linux, 2 cores." in page
    assert "| torch | 2 |" in page
    assert '"uuid": "GPU-1"' in page
    assert "1 passed, 2 failed, 1 skipped." in page
    assert r"| tests.a.test_three | skipped | no GPU \| that works |" in page
    assert "| figure | cpu | cuda:0 |" in page
    assert "| s | 2.0 | 1.0 |\n| cases[0].n | 1 |  |\n| graph.s |  | 0.5 |" in page
    assert "| failed |  | no broker |" in page


def test_what_was_not_run_is_said():
    page = report.render({"environment": ABOUT})
    assert "Not run: `make test-gpu`." in page
    assert "Not run: `make bench-gpu`." in page


def test_tests_and_benchmarks_come_onto_one_page(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FACTS", tmp_path / "facts.json")
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(report, "environment", lambda: ABOUT)
    report.keep(tests=[])
    facts = report.keep(benchmarks={})
    assert facts == {"environment": ABOUT, "tests": [], "benchmarks": {}}
    assert "Not run" not in report.PAGE.read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("what", ["present", "test", "bench"])
def test_without_a_gpu_there_is_an_error_and_no_report(what):
    before = report.PAGE.exists()
    done = subprocess.run(
        [sys.executable, "-m", "tapestream.gpucheck", what], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: cuda:0: ")
    assert report.PAGE.exists() == before
