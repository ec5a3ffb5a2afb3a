import os
import subprocess
import sys

import pytest

from streams.process_name import ProcessName, descendants, is_gone

HERE = ProcessName.own("host")


def test_a_name_is_read_as_it_was_written() -> None:
    assert ProcessName.parse(str(HERE)) == HERE
    assert (HERE.host, HERE.pid) == ("host", os.getpid())


@pytest.mark.parametrize("name", ["", "agent-1", "host/1-2", "host/a-b-c"])
def test_other_names_are_nobodys(name: str) -> None:
    assert ProcessName.parse(name) is None
    assert not is_gone(name, "host")
    assert descendants(name, "host") == frozenset()


def test_one_that_lives_is_not_gone_and_a_later_process_with_its_pid_is_not_taken_for_it() -> None:
    assert not is_gone(str(HERE), "host")
    earlier = ProcessName("host", HERE.space, HERE.pid, HERE.ticks - 1)
    assert is_gone(str(earlier), "host")


def test_nothing_is_said_of_other_hosts_and_namespaces() -> None:
    elsewhere = ProcessName("other", HERE.space, HERE.pid, HERE.ticks - 1)
    apart = ProcessName("host", HERE.space + 1, HERE.pid, HERE.ticks - 1)
    assert not is_gone(str(elsewhere), "host")
    assert not is_gone(str(apart), "host")


def test_the_descendants_of_one_that_lives_are_known_and_a_zombie_is_gone() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    program = (
        "from streams.process_name import ProcessName as P, started_ticks; import sys; pid = int(sys.argv[1])"
    )
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{program}; print(P('host', P.own().space, pid, started_ticks(pid)))",
            str(child.pid),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert not is_gone(told, "host")
    assert child.pid in descendants(str(HERE), "host")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
    assert is_gone(told, "host")
    child.communicate()
    assert is_gone(told, "host")
