"""The real command line in a process of its own, as a terminal would run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


class Process:
    """A running ``tapestream``; its whole output goes to one file."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "output.txt"
        with open(self._file, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tapestream.cli", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._file.read_text()

    def lines(self) -> list[str]:
        return self.output.splitlines()

    def wait_for(self, text: str, times: int = 1, timeout_s: float = 120.0) -> None:
        deadline = time.monotonic() + timeout_s
        while self.output.count(text) < times:
            assert self._process.poll() is None, f"ended before {text!r}: {self.output}"
            assert time.monotonic() < deadline, f"no {text!r} in time: {self.output}"
            time.sleep(0.05)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self, timeout_s: float = 120.0) -> int:
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """End it and whatever it left."""
        if self._process.poll() is None:
            left = self.descendants()
            self.kill()
            for process in psutil.wait_procs(left, timeout=30)[1]:
                process.kill()


def gone(processes: list[psutil.Process], timeout_s: float = 60.0) -> bool:
    """Whether all of them end in time."""
    return not psutil.wait_procs(processes, timeout=timeout_s)[1]
