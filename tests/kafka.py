"""The Kafka that a test run uses: one that is named, one in Docker, or the embedded one; one for all workers.

Under pytest-xdist the first worker that needs the broker starts a keeper, a process that owns it. Everyone
who uses the broker holds a shared lock on a file; when the keeper gets that lock for itself, nobody uses the
broker any more, however its users ended, and it stops the broker.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from streams.broker import EmbeddedBroker

GIVEN = "TAPESTREAM_TEST_KAFKA"
DOCKER = "TAPESTREAM_TEST_DOCKER"
ROOT = Path(__file__).parent.parent


class Broker(Protocol):
    """What the keeper keeps."""

    @property
    def address(self) -> str:
        """Bootstrap servers."""

    def stop(self) -> None:
        """End it."""


@contextmanager
def shared_kafka(folder: Path) -> Iterator[str]:
    """The address of a broker that every process with the same ``folder`` shares."""
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "address"
    with open(folder / "users", "a") as users:
        with _turn(folder):
            if not address.exists():
                _start_keeper(folder)
            fcntl.flock(users, fcntl.LOCK_SH)
        yield address.read_text()
        fcntl.flock(users, fcntl.LOCK_UN)
        if _nobody_uses(folder):
            wait_until(lambda: not address.exists(), "the keeper has stopped the broker", timeout_s=60)


def _start_keeper(folder: Path) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.kafka", folder],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=open(folder / "keeper.log", "wb"),  # noqa: SIM115
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    wait_until(
        lambda: (folder / "address").exists() or keeper.poll() is not None, "a broker is up", timeout_s=240
    )
    if keeper.poll() is not None:
        raise RuntimeError(f"no broker for the tests:\n{(folder / 'keeper.log').read_text()}")


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    with open(folder / "turn", "a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _nobody_uses(folder: Path) -> bool:
    with open(folder / "users", "a") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def keep(folder: Path) -> None:
    """The keeper: start a broker, tell its address, stop it when nobody uses it any more."""
    broker = _start(folder)
    address = folder / "address"
    draft = folder / "address.draft"
    draft.write_text(broker.address)
    draft.rename(address)
    while True:
        # Whoever started us holds the turn until it has its share of the lock, so this cannot be too early.
        with _turn(folder):
            if _nobody_uses(folder):
                broker.stop()
                for log in folder.glob("kafka/node-*/log"):
                    shutil.rmtree(log)
                address.unlink()
                return
        time.sleep(0.1)


class DockerBroker:
    """Apache Kafka in a container, for those who asked for it and have an engine."""

    def __init__(self) -> None:
        from testcontainers.kafka import KafkaContainer

        self._container = KafkaContainer().with_kraft().start()
        self.address: str = self._container.get_bootstrap_server()

    def stop(self) -> None:
        self._container.stop()


def _start(folder: Path) -> Broker:
    if os.environ.get(DOCKER) == "1" and _docker_answers():
        return DockerBroker()
    return EmbeddedBroker(folder / "kafka", port=0).start()


def _docker_answers() -> bool:
    import docker  # type: ignore[import-untyped]

    try:
        return bool(docker.from_env(timeout=5).ping())
    except docker.errors.DockerException:
        return False


def wait_until(holds: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Return when the condition holds; fail, naming it, when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"still not so after {timeout_s:g} s: {what}"
        time.sleep(0.02)


def fresh_prefix() -> str:
    """A topic prefix that no other test has."""
    return f"t{secrets.token_hex(6)}."


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
