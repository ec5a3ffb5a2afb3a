"""Keeps one child process and never outlives its parent: the child ends however the parent ends.

Run by path, isolated and with nothing but the standard library, so that it is small and starts at once::

    python -I -S supervisor.py PARENT_PID GRACE_S LOG_FILE COMMAND...

It prints ``pid N``, then ``exit N`` when the child has ended. Its standard input is a pipe that only the
parent writes to: ``t`` asks the child to end (SIGTERM, after GRACE_S SIGKILL), ``k`` kills it. The end of
the pipe, which the system sees to even when the parent is killed with SIGKILL, counts as ``t``.

Two more ways to leave an orphan are closed. A process that the parent forked may hold the pipe open, so the
parent's pid is looked at too. And this process may itself be killed: on Linux the child then gets SIGKILL.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PARENT_CHECK_S = 0.5


def main(parent_pid: int, grace_s: float, log_file: str, command: list[str]) -> int:
    """Run the command until it ends or the parent does."""
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    asked_to_stop = []
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    os.set_blocking(wake_reader, False)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)

    with open(log_file, "ab", buffering=0) as log:
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_me()
            )
        except OSError as exc:
            say(f"error {exc}")
            return 1
    say(f"pid {child.pid}")

    watched = [0, wake_reader]
    kill_at = None
    while child.poll() is None:
        readable, _, _ = select.select(watched, [], [], PARENT_CHECK_S)
        if wake_reader in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_reader, 512)
        wanted = os.read(0, 1) if 0 in readable else None
        if wanted == b"":
            watched.remove(0)  # at its end a pipe is readable for ever
        if wanted == b"k":
            child.kill()
        orphaned = os.getppid() != parent_pid
        if kill_at is None and (wanted in (b"t", b"") or asked_to_stop or orphaned):
            child.terminate()
            kill_at = time.monotonic() + grace_s
        if kill_at is not None and time.monotonic() >= kill_at:
            child.kill()
    say(f"exit {child.returncode}")
    return 0


def say(line: str) -> None:
    """Tell the parent, if it still listens."""
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


def _die_with_me() -> Callable[[], None] | None:
    """What the child does before it becomes the command: ask Linux to kill it when this process ends."""
    if not sys.platform.startswith("linux"):
        return None
    libc, me = ctypes.CDLL(None), os.getpid()

    def before_exec() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != me:  # we ended between the fork and the line above
            os._exit(1)

    return before_exec


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]))
