"""`tapestream up` as a whole, with real workers."""

import re
import signal
import urllib.request

import psutil
import pytest

from tests.tapestream.process import Process, gone

pytestmark = pytest.mark.kafka


@pytest.fixture
def start(tmp_path, request):
    """Start ``tapestream``, each in the same folder unless told otherwise."""

    def start(*arguments: str, folder=tmp_path, **environment: str) -> Process:
        process = Process(folder, *arguments, **environment)
        request.addfinalizer(process.close)
        return process

    return start


def given(settings) -> dict[str, str]:
    return {"TAPESTREAM_BROKER": settings.broker, "TAPESTREAM_TOPIC_PREFIX": settings.topic_prefix}


def answer(address: str) -> int:
    with urllib.request.urlopen(address, timeout=10) as response:
        return response.status


def test_one_ctrl_c_drains_the_producers_before_the_workers_and_leaves_nothing(start, settings):
    up = start("up", **given(settings))
    up.wait_for("worker-1 is up")
    address = re.search(r"worker-1 is up: (http://\S+)/", up.output).group(1)
    family = up.descendants()
    assert answer(f"{address}/live") == 200
    up.interrupt()
    assert up.wait() == 0
    told = [line.split("  ", 1)[1] for line in up.lines()]
    assert told[-3:] == [
        "draining ingest",
        "draining worker-1, orchestrator, agent, api",
        "ended; the data is kept",
    ]
    assert gone(family, 0.0)


def test_a_worker_that_is_killed_comes_back(start, settings):
    up = start("up", "--no-ingest", "--no-tasks", "--no-api", **given(settings))
    up.wait_for("worker-1 is up")
    family = up.descendants()
    supervisors = {process.pid for process in family if process.ppid() == up.pid}
    worker = next(process for process in family if process.ppid() in supervisors)
    worker.send_signal(signal.SIGKILL)
    up.wait_for("worker-1 was killed by signal 9")
    up.wait_for("worker-1 is up", times=2)
    up.interrupt()
    assert up.wait() == 0


def test_a_second_run_in_the_same_folder_is_refused(start, settings, tmp_path):
    up = start("up", "--no-ingest", **given(settings))
    up.wait_for("started; Ctrl-C drains")
    second = start(
        "up", folder=tmp_path / "second", TAPESTREAM_DATA_DIR=str(tmp_path / ".tapestream"), **given(settings)
    )
    assert second.wait() == 9
    assert f"{tmp_path}/.tapestream is in use by another `tapestream up`" in second.output


@pytest.mark.faults
def test_killing_up_with_sigkill_leaves_neither_workers_nor_a_java(start):
    up = start("up", "--no-ingest", "--broker-port", "0")
    up.wait_for("worker-1 is up")
    family = up.descendants()
    assert any("java" in process.name() for process in family)
    up.kill()
    assert gone(family), [process.cmdline() for process in family if psutil.pid_exists(process.pid)]


@pytest.mark.faults
def test_an_embedded_broker_that_is_killed_comes_back(start):
    up = start("up", "--no-ingest", "--broker-port", "0")
    up.wait_for("worker-1 is up")
    next(process for process in up.descendants() if process.name() == "java").kill()
    up.wait_for("the broker ended by itself; starting it again")
    up.interrupt()
    assert up.wait() == 0
    assert "worker-1 ended" not in up.output
