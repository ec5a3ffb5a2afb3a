"""The child process: does one task after another for the runner that started it, and dies with it.

Run as a module by :mod:`agents.tasks.process`. It is a session of its own, and nothing of it outlives the
runner, even when that is killed with SIGKILL:

- Linux kills this process when the runner's thread that started it ends (``PR_SET_PDEATHSIG``);
- a watch of our process group, forked before anything is imported, sees the runner's end of the socket close
  and kills the whole group, so also what a task has started.

SIGTERM ends a task that does not look whether it should: an exception is raised in it, wherever it is.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Have the kernel kill us when our parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before the line above
        os._exit(1)


def watch_group(lifeline: int) -> None:
    """Fork the watch; it is nobody's child, so that a task that waits for its children never meets it."""
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    if os.fork():
        os._exit(0)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    other_end = select.poll()
    other_end.register(lifeline, 0)  # the end of the connection is always reported
    other_end.poll()
    os.killpg(0, signal.SIGKILL)


def main(connection: int, parent_pid: int) -> None:
    """Serve until the runner closes the connection."""
    die_with(parent_pid)
    watch_group(connection)
    import socket

    from agents.tasks.serve import serve

    serve(socket.socket(fileno=connection))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
