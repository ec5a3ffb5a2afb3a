"""Every command that a page shows in an ``sh`` block is run, in the order of the page, as a reader would."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.broker import EmbeddedBroker
from tests.docs.pages import PAGES, ROOT, UNTIL_CTRL_C, commands

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

LIMIT_S = 240.0
READY = {"tapestream up": "worker-1 is up"}
"""What a command that runs on says when the next ones can rely on it."""


class Reader:
    """Somebody who types the commands of a page into terminals."""

    def __init__(self, folder: Path, broker: str) -> None:
        self._folder = folder
        self._running: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        self._started: list[subprocess.Popen[bytes]] = []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
            "PATH": path,
            "TAPESTREAM_BROKER": broker,
            "TAPESTREAM_DATA_DIR": str(folder / ".tapestream"),
        }

    def types(self, line: str) -> None:
        command, _, comment = line.partition("#")
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").strip().partition("=")
            self._environment[name] = value
            return
        output = self._folder / f"output-{time.monotonic_ns()}.txt"
        process = self._start(command.strip(), output)
        if UNTIL_CTRL_C in comment:
            self._running.append((line, process, output))
            self._wait_until_ready(command.strip(), process, output)
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LIMIT_S)
        assert process.poll() == 0, f"{line}: {output.read_text()}{self._background()}"

    def presses_ctrl_c(self) -> None:
        """End what still runs, the last one first."""
        while self._running:
            line, process, output = self._running.pop()
            assert process.poll() is None, f"{line} ended by itself: {output.read_text()}"
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(LIMIT_S) in (0, 130), f"{line}: {output.read_text()}"

    def leaves(self) -> None:
        for process in self._started:
            self._kill(process)

    def _background(self) -> str:
        """What the commands said that were left running."""
        return "".join(f"\n{line}: {output.read_text()}" for line, _, output in self._running)

    def _start(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        with open(output, "wb") as file:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT if command.startswith("make ") else self._folder,
                env=self._environment,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def _wait_until_ready(self, command: str, process: subprocess.Popen[bytes], output: Path) -> None:
        deadline = time.monotonic() + LIMIT_S
        while READY.get(command, "") not in output.read_text():
            assert process.poll() is None, f"{command} ended by itself: {output.read_text()}"
            assert time.monotonic() < deadline, f"{command} is not ready: {output.read_text()}"
            time.sleep(0.1)

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A Kafka of its own, since the pages use the topics without a prefix."""
    with EmbeddedBroker(tmp_path_factory.mktemp("docs-kafka"), port=0) as broker:
        yield broker.address


@pytest.fixture
def reader(tmp_path, broker):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    reader = Reader(tmp_path, broker)
    reader.types("tapestream topics create")
    yield reader
    reader.leaves()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_commands_of_a_page_run_as_shown(reader, page):
    in_our_environment = Path(sys.prefix).resolve() == (ROOT / ".venv").resolve()
    for line in commands(page):
        if line.startswith("make ") and not in_our_environment:
            continue  # it would install a second environment
        reader.types(line)
    reader.presses_ctrl_c()
