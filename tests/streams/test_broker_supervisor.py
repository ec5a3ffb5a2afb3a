"""A supervised child ends whatever way its parent ends. Tried on a small child in place of Java."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from streams.broker.node import SUPERVISOR
from tests.kafka import wait_until

OBEDIENT = "import time; time.sleep(600)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('deaf', flush=True)
time.sleep(600)
"""


def supervisor(log: Path, child: str, grace_s: float = 30.0, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", str(SUPERVISOR), str(os.getpid()), str(grace_s), log]
    command += [sys.executable, "-c", child]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **options)  # type: ignore[call-overload,no-any-return]


def pid_of_child(started: subprocess.Popen[bytes]) -> int:
    assert started.stdout is not None
    return int(started.stdout.readline().split()[1])


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def last_words(started: subprocess.Popen[bytes]) -> str:
    assert started.stdout is not None
    words = started.stdout.read().decode().strip()
    started.wait(10)
    return words


def test_asked_to_stop_it_ends_the_child_with_sigterm(tmp_path: Path) -> None:
    with supervisor(tmp_path / "log", OBEDIENT) as started:
        child = pid_of_child(started)
        assert started.stdin is not None
        started.stdin.write(b"t")
        assert last_words(started) == f"exit {-signal.SIGTERM}"
        assert gone(child)


def test_asked_to_kill_it_ends_the_child_with_sigkill(tmp_path: Path) -> None:
    with supervisor(tmp_path / "log", STUBBORN) as started:
        pid_of_child(started)
        assert started.stdin is not None
        started.stdin.write(b"k")
        assert last_words(started) == f"exit {-signal.SIGKILL}"


def test_a_child_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with supervisor(log, STUBBORN, grace_s=0.2) as started:
        pid_of_child(started)
        wait_until(lambda: "deaf" in log.read_text(), "the child ignores SIGTERM")
        assert started.stdin is not None
        started.stdin.write(b"t")
        assert last_words(started) == f"exit {-signal.SIGKILL}"


def test_the_end_of_the_pipe_counts_as_the_parents_end(tmp_path: Path) -> None:
    with supervisor(tmp_path / "log", OBEDIENT) as started:
        pid_of_child(started)
        assert started.stdin is not None
        started.stdin.close()
        assert last_words(started) == f"exit {-signal.SIGTERM}"


def test_sigterm_to_the_supervisor_ends_the_child_in_good_order(tmp_path: Path) -> None:
    with supervisor(tmp_path / "log", OBEDIENT) as started:
        pid_of_child(started)
        started.terminate()
        assert last_words(started) == f"exit {-signal.SIGTERM}"


def test_ctrl_c_and_a_closed_terminal_do_not_end_it(tmp_path: Path) -> None:
    with supervisor(tmp_path / "log", OBEDIENT) as started:
        child = pid_of_child(started)
        started.send_signal(signal.SIGINT)
        started.send_signal(signal.SIGHUP)
        assert started.stdin is not None
        assert not gone(child)
        started.stdin.write(b"t")
        assert last_words(started) == f"exit {-signal.SIGTERM}"


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="Linux alone tells a child of its parent's end"
)
def test_the_child_dies_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with supervisor(tmp_path / "log", STUBBORN) as started:
        child = pid_of_child(started)
        started.kill()
        wait_until(lambda: gone(child), "the child is gone")


def test_a_parent_killed_while_a_fork_of_it_holds_the_pipe_leaves_no_child(tmp_path: Path) -> None:
    parent = f"""
import os, subprocess, sys, time
command = [sys.executable, "-I", "-S", {str(SUPERVISOR)!r}, str(os.getpid()), "30", {str(tmp_path / "log")!r}]
started = subprocess.Popen(command + [sys.executable, "-c", {OBEDIENT!r}], stdin=-1, stdout=-1, bufsize=0)
child = started.stdout.readline().split()[1].decode()
fork = os.fork()
if fork == 0:
    time.sleep(600)
print(started.pid, child, fork, flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    assert process.stdout is not None
    supervisor_pid, child, fork = map(int, process.stdout.readline().split())
    process.kill()
    process.wait()
    wait_until(lambda: gone(child) and gone(supervisor_pid), "child and supervisor are gone")
    assert not gone(fork)
    os.kill(fork, signal.SIGKILL)
    process.stdout.close()


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    command: list[str] = [
        sys.executable,
        "-I",
        "-S",
        str(SUPERVISOR),
        str(os.getpid()),
        "1",
        str(tmp_path / "log"),
        "/no/such",
    ]
    shown = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert shown.stdout.startswith("error")
    assert "/no/such" in shown.stdout


def test_the_child_that_ends_by_itself_is_told_with_its_code(tmp_path: Path) -> None:
    with supervisor(tmp_path / "log", "raise SystemExit(7)") as started:
        pid_of_child(started)
        assert last_words(started) == "exit 7"
