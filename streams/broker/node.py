"""One running node: a Java process behind its supervisor, which the pipe to it keeps alive."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from schemas.errors import BrokerStartError
from streams.broker.config import STARTED, NodePlan

SUPERVISOR = Path(__file__).with_name("supervisor.py")


class Node:
    """A started node.

    Parameters
    ----------
    plan
        Its folder and ports.
    command
        What to run.
    grace_s
        How long it may take to end when asked to.
    lock
        The descriptor of the folder's lock, which the supervisor holds as long as the node runs.
    """

    def __init__(self, plan: NodePlan, command: list[str], grace_s: float, lock: int) -> None:
        self.plan = plan
        self._grace_s = grace_s
        plan.console.write_bytes(b"")
        with open(plan.console, "ab") as console:
            self._supervisor = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    SUPERVISOR,
                    str(os.getpid()),
                    str(grace_s),
                    plan.console,
                    *command,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                bufsize=0,
                pass_fds=(lock,),
                # A session of its own: Ctrl-C in the terminal is for us, who then stop it in our own order.
                start_new_session=True,
            )
        self.pid = self._read_pid()

    def _read_pid(self) -> int:
        assert self._supervisor.stdout is not None
        word, _, rest = self._supervisor.stdout.readline().decode().strip().partition(" ")
        if word != "pid":
            raise BrokerStartError(
                f"Java does not start: {rest or 'the supervisor ended'}", f"see {self.plan.console}"
            )
        return int(rest)

    @property
    def alive(self) -> bool:
        """Whether the node's process runs."""
        return self._supervisor.poll() is None

    def wait_until_up(self, timeout_s: float) -> None:
        """Return when the node serves clients.

        Raises
        ------
        BrokerStartError
            When it ended, or did not come up in time; with the error that it logged.
        """
        deadline = time.monotonic() + timeout_s
        while STARTED not in self.plan.console.read_text(errors="replace"):
            if not self.alive or time.monotonic() >= deadline:
                ended = "ended" if not self.alive else f"is not up after {timeout_s:g} s"
                raise BrokerStartError(
                    f"the embedded Kafka {ended}: {self._last_error()}",
                    f"see {self.plan.folder / 'server.log'}",
                )
            time.sleep(0.02)

    def _last_error(self) -> str:
        lines = self.plan.console.read_text(errors="replace").splitlines()
        causes = [line for line in lines if "Caused by" in line or " ERROR " in line or "Exception" in line]
        return (causes or lines or ["it said nothing"])[-1].strip()

    def ask_to_stop(self) -> None:
        """Ask the node to end in good order."""
        self._tell(b"t")

    def kill(self) -> None:
        """End the node at once, as a crash would (SIGKILL), and return when it is gone."""
        self._tell(b"k")
        self.wait_until_gone()

    def _tell(self, order: bytes) -> None:
        assert self._supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._supervisor.stdin.write(order)

    def wait_until_gone(self) -> None:
        """Return when the node's process has ended, which its supervisor sees to."""
        try:
            self._supervisor.wait(self._grace_s + 10.0)
        except subprocess.TimeoutExpired:  # not known to happen; on Linux the node dies with its supervisor
            self._supervisor.kill()
            self._supervisor.wait()
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
