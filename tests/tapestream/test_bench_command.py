import importlib
import inspect
import json
import sys
from types import SimpleNamespace

import pytest

from tapestream import cli
from tapestream.commands.bench import BENCHMARKS, WITH_DEVICE


@pytest.fixture
def a_benchmark(monkeypatch):
    def run() -> dict:
        print("round 1")
        return {"ticks_per_s": 5.0}

    monkeypatch.setitem(sys.modules, "bench.kernel", SimpleNamespace(run=run))


def test_standard_output_is_one_json_object_whatever_a_benchmark_prints(a_benchmark, capsys):
    assert cli.main(["bench", "kernel", "--json"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out), out.count("\n"), err) == ({"ticks_per_s": 5.0}, 1, "round 1\n")


def test_people_get_it_indented(a_benchmark, capsys):
    cli.main(["bench", "kernel"])
    assert capsys.readouterr().out == '{\n  "ticks_per_s": 5.0\n}\n'


def test_an_unknown_benchmark_is_answered_with_the_known_ones(capsys):
    assert cli.main(["bench", "speed"]) == 2
    assert capsys.readouterr().err == f"error: speed: no such benchmark (one of {', '.join(BENCHMARKS)})\n"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_a_module_with_a_run(name):
    assert callable(importlib.import_module(f"bench.{name.replace('-', '_')}").run)


@pytest.mark.parametrize("name", WITH_DEVICE)
def test_those_with_a_device_take_it(name):
    assert "device" in inspect.signature(importlib.import_module(f"bench.{name}").run).parameters
