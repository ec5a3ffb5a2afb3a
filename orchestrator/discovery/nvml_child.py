"""The process that speaks to the driver, so that a call that never returns stops nobody else.

A request is a line on standard input, ``{"skip": [nvml indexes]}``; the answer a line on standard output:
``{"inventory": …}``, ``{"gone": why}`` after which the process ends, since a driver that comes back may want
another library, or ``{"hung": call, "nvml_index": i}`` from the thread that watches the calls, after which it
ends too. It ends by itself when nobody asks any more.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from typing import IO, Any

from orchestrator.discovery.nvml import DriverGone, NvmlSession


class CallWatch:
    """Knows which call is under way, and since when."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._call: tuple[str, int | None, float] | None = None

    def on_call(self, name: str | None, index: int | None) -> None:
        """A call begins, or with None has ended."""
        self._call = None if name is None else (name, index, time.monotonic())

    def wait_for_overdue(self) -> tuple[str, int | None]:
        """Return when a call has taken too long: its name and its device."""
        while True:
            time.sleep(self._limit_s / 10)
            call = self._call
            if call is not None and time.monotonic() - call[2] > self._limit_s:
                return call[0], call[1]


def _tell(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _end_when_overdue(watch: CallWatch, answers: IO[bytes]) -> None:
    name, index = watch.wait_for_overdue()
    _tell(answers, {"hung": name, "nvml_index": index})
    os._exit(1)  # the other thread never comes back to be asked


def main(limit_s: float) -> None:
    """Answer until nobody asks any more or the driver is gone."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    watch = CallWatch(limit_s)
    threading.Thread(target=_end_when_overdue, args=(watch, answers), daemon=True).start()
    session: NvmlSession | None = None
    for request in sys.stdin.buffer:
        try:
            session = session or NvmlSession(on_call=watch.on_call)
            found = session.look(frozenset(json.loads(request)["skip"]))
        except DriverGone as exc:
            _tell(answers, {"gone": str(exc)})
            return
        _tell(answers, {"inventory": asdict(found)})


if __name__ == "__main__":
    main(float(sys.argv[1]))
