"""A child process that is asked by lines and answers by lines, within a time or not at all."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

END_S = 2.0
"""How long a killed child may take to end. One that waits for a device cannot be ended; it is left alone."""


class LineChild:
    """``python -m module arguments``, started clean.

    Parameters
    ----------
    environment
        The child's; ours when absent.
    """

    def __init__(
        self, module: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=None if environment is None else dict(environment),
            start_new_session=True,  # Ctrl-C is for us; we then end it
        )
        self._rest = b""

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def tell(self, line: bytes) -> None:
        """Send a line; one that nobody reads any more is lost, and the missing answer says so."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except OSError:
            return

    def hear(self, timeout_s: float) -> bytes | None:
        """The next line; empty when the child has ended, None when it says nothing within the time."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                return None
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                return b""
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def ending(self) -> str:
        """How it ended, for people; waits for it a moment."""
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            return "still runs"
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def end(self) -> bool:
        """Kill it; whether it has ended."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # a request that it never read
                    continue
        return self.has_ended(END_S)

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        """Whether it has ended, or does within the time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True
