"""One child process behind the supervisor that ends it however we end.

The supervisor is the embedded broker's: it holds a pipe from us, and when that ends, even by our being
killed, it asks the child to stop, and kills it when it does not. Ctrl-C in a terminal reaches us alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import ChildError
from streams.broker.node import SUPERVISOR

KILLED = -9


@dataclass(frozen=True, slots=True)
class Plan:
    """What a child is.

    Parameters
    ----------
    name
        For messages and for its log file.
    arguments
        Of ``tapestream``: ``("worker", "--name", "worker-1")``.
    stage
        Children start in ascending stages and are stopped in descending ones.
    restart
        Whether it is to run on, so that its end is a crash; else its end is expected.
    port_file
        Where it writes the port of its pages, if it has any.
    """

    name: str
    arguments: tuple[str, ...]
    stage: int = 0
    restart: bool = True
    port_file: Path | None = None


@dataclass(slots=True)
class Child:
    """A started child.

    Parameters
    ----------
    plan
        What it is.
    log_file
        Where its output goes, after what is there.
    environment
        Variables on top of ours.
    grace_s
        How long it may take to end when asked to.
    program
        What the arguments are given to; our own command line when absent.
    """

    plan: Plan
    log_file: Path
    environment: Mapping[str, str]
    grace_s: float
    program: Sequence[str] = ()
    pid: int = 0
    returncode: int | None = None
    _supervisor: subprocess.Popen[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.plan.port_file is not None:
            self.plan.port_file.parent.mkdir(parents=True, exist_ok=True)
            self.plan.port_file.unlink(missing_ok=True)  # an earlier child's
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        command = [*(self.program or OURSELVES), *self.plan.arguments]
        supervised = [sys.executable, "-I", "-S", str(SUPERVISOR), str(os.getpid()), str(self.grace_s)]
        with open(self.log_file, "ab") as log:
            self._supervisor = subprocess.Popen(
                [*supervised, str(self.log_file), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        assert self._supervisor.stdout is not None
        word, _, rest = self._supervisor.stdout.readline().decode().strip().partition(" ")
        if word != "pid":
            raise ChildError(f"{self.plan.name} does not start: {rest}", f"see {self.log_file}")
        self.pid = int(rest)

    def alive(self) -> bool:
        """Whether it runs; once it does not, ``returncode`` is known."""
        if self._supervisor.poll() is None:
            return True
        if self.returncode is None:
            self.returncode = self._read_returncode()
        return False

    def _read_returncode(self) -> int:
        stdin, stdout = self._supervisor.stdin, self._supervisor.stdout
        assert stdin is not None
        assert stdout is not None
        word, _, rest = stdout.read().decode().strip().partition(" ")
        stdin.close()
        stdout.close()
        return int(rest) if word == "exit" else KILLED  # the supervisor was killed, and the child with it

    def ask_to_stop(self) -> None:
        """Ask it to drain and end (SIGTERM); after the grace it is killed."""
        self._tell(b"t")

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._tell(b"k")

    def _tell(self, order: bytes) -> None:
        assert self._supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._supervisor.stdin.write(order)

    def port(self) -> int | None:
        """The port of its pages, once it has written it."""
        if self.plan.port_file is None or not self.plan.port_file.exists():
            return None
        text = self.plan.port_file.read_text().strip()
        return int(text) if text.isdigit() else None

    def last_words(self) -> str:
        """The last line of its output that says something."""
        with open(self.log_file, "rb") as log:
            log.seek(max(0, self.log_file.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


OURSELVES = (sys.executable, "-P", "-m", "tapestream.cli")
"""Our command line by module: -P keeps the current folder off the path, as the console script does."""
