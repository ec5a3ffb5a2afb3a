"""The family's children here are small Python programs, so that each can end the way a test needs."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from schemas.errors import ChildError
from tapestream.up.child import Child, Plan
from tapestream.up.family import Family
from tapestream.up.restarts import ATTEMPTS

PYTHON = (sys.executable, "-c")
OBEDIENT = """
import signal, sys, time
def leave(*_):
    print("drained", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""


class Clock:
    """Real seconds plus what a test adds."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


def until(condition, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def family(tmp_path, said):
    with Family(tmp_path, {"GREETING": "hello"}, 5.0, said.append, program=PYTHON, clock=Clock()) as family:
        yield family


def says(family, name, word):
    return lambda: word in family.log_file(name).read_text()


def looked(family, clock_ahead_s=0.0):
    """Look until the next thing is said."""
    family._clock.ahead_s += clock_ahead_s
    before = len(said_of(family))
    until(lambda: family.look() or len(said_of(family)) > before)


def said_of(family) -> list[str]:
    return family._say.__self__


def test_a_child_gets_the_environment_and_its_output_goes_to_its_log(family):
    family.start([Plan("one", ("import os; print(os.environ['GREETING'])",), restart=False)])
    until(lambda: not family.running("one"))
    family.look()
    assert family.log_file("one").read_text() == "hello\n"


def test_children_are_stopped_stage_by_stage_the_last_first(family, said):
    family.start([Plan("worker", (OBEDIENT,), stage=1), Plan("producer", (OBEDIENT,), stage=2)])
    until(says(family, "worker", "ready"))
    until(says(family, "producer", "ready"))
    family.stop()
    assert said == ["draining producer", "draining worker"]
    assert all(says(family, name, "drained")() for name in ("worker", "producer"))


def test_a_child_that_does_not_end_in_time_is_killed_and_named(tmp_path, said):
    with Family(tmp_path, {}, 0.2, said.append, program=PYTHON) as family:
        family.start([Plan("deaf", (STUBBORN,))])
        until(says(family, "deaf", "ready"))
    assert said == ["draining deaf", "deaf ended with code -9: ready"]


def test_hurrying_kills_at_once(tmp_path, said):
    with Family(tmp_path, {}, 600.0, said.append, program=PYTHON) as family:
        family.start([Plan("deaf", (STUBBORN,))])
        until(says(family, "deaf", "ready"))
        family.hurry()
    assert said[-1] == "deaf ended with code -9: ready"


def test_a_crashed_child_is_started_again_after_a_pause_and_it_is_said(family, said):
    family.start([Plan("worker", (OBEDIENT,))])
    until(says(family, "worker", "ready"))
    first = family.child("worker").pid
    os.kill(first, signal.SIGKILL)
    looked(family)
    assert said == [f"worker was killed by signal 9; again in 0.5 s ({family.log_file('worker')})"]
    assert not family.running("worker")
    family._clock.ahead_s += 0.5
    family.look()
    assert family.running("worker")
    assert family.child("worker").pid != first


def test_a_child_that_crashes_again_and_again_is_an_error_with_its_last_words(family, said):
    family.start([Plan("worker", ("raise SystemExit('no good')",))])
    with pytest.raises(ChildError) as caught:
        for _ in range(ATTEMPTS + 1):
            looked(family, clock_ahead_s=20.0)
    assert caught.value.problem == f"worker ended {ATTEMPTS + 1} times in a row, with code 1: no good"
    assert caught.value.remedy == f"see {family.log_file('worker')}"


def test_a_child_that_is_expected_to_end_is_no_crash(family, said):
    family.start([Plan("once", ("pass",), restart=False)])
    until(lambda: not family.running("once"))
    family.look()
    family.look()
    assert said == []


def test_a_child_that_is_expected_to_end_well_and_does_not_is_an_error(family):
    family.start([Plan("once", ("raise SystemExit('broken file')",), restart=False)])
    until(lambda: not family.running("once"))
    with pytest.raises(ChildError, match="once ended with code 1: broken file"):
        family.look()


def test_a_command_that_cannot_be_started_is_an_error(tmp_path):
    with pytest.raises(ChildError, match=r"one does not start: .*No such file"):
        Child(Plan("one", ()), tmp_path / "one.log", {}, 1.0, program=("/no/such/program",))


def test_the_address_of_a_childs_pages_is_told_once_it_answers(family, said, tmp_path):
    port_file = tmp_path / "run" / "worker.port"
    port_file.parent.mkdir()
    port_file.write_text("1")  # of an earlier run
    with socket.socket() as page:
        page.bind(("127.0.0.1", 0))
        port = page.getsockname()[1]
        write = f"import pathlib; pathlib.Path({str(port_file)!r}).write_text('{port}\\n')\n" + OBEDIENT
        family.start([Plan("worker", (write,), port_file=port_file)])
        until(lambda: family.pages() == {"worker": f"http://127.0.0.1:{port}"})
        family.look()
        assert said == []  # its address is known, but nobody listens there yet
        page.listen()
        looked(family)
        family.look()
    assert said == [f"worker is up: http://127.0.0.1:{port}/"]


PARENT = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from tapestream.up.child import Plan
    from tapestream.up.family import Family

    family = Family(Path(sys.argv[1]), {}, 0.5, print, program=(sys.executable, "-c"))
    family.start([Plan("obedient", (sys.argv[2],)), Plan("stubborn", (sys.argv[3],))])
    print(*(family.child(name).pid for name in ("obedient", "stubborn")), flush=True)
    time.sleep(600)
    """
)


def test_killing_the_parent_with_sigkill_leaves_no_orphan_and_still_drains(tmp_path: Path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), OBEDIENT, STUBBORN], stdout=subprocess.PIPE, text=True
    )
    children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    for name in ("obedient", "stubborn"):
        until(lambda log=tmp_path / f"{name}.log": "ready" in log.read_text())
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert (len(gone), alive) == (2, [])
    assert (tmp_path / "obedient.log").read_text() == "ready\ndrained\n"
