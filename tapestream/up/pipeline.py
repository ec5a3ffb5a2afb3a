"""What a pipeline consists of: the broker's address, the topics, and the children by stage."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from schemas.errors import ChildError
from schemas.settings import Settings
from streams.broker import EmbeddedBroker, embedded_broker
from streams.broker.ports import is_free
from streams.locks import open_lock_file, try_lock
from tapestream.commands.broker import download_progress
from tapestream.devices import Seat
from tapestream.up.child import Plan
from tapestream.up.family import Say

WORKERS, PRODUCERS = 1, 2
"""Stages: what comes later is stopped earlier."""

GRACE_BEYOND_S = 5.0
"""A child keeps its own time budget for draining; it is killed this much later."""

FIRST_WEB_PORT = 6066
FIRST_INGEST_PORT = 9464
ORCHESTRATOR_PORT, AGENT_PORT = 9466, 9467
API_PORT = 8000
DEFAULT_BROKER_PORT = 9092


def worker_count(cores: int | None) -> int:
    """How many workers a machine of so many cores should run: broker and producer want one."""
    return max(1, min(4, (cores or 2) // 2))


def worker_plans(seats: Sequence[Seat], run_folder: Path) -> list[Plan]:
    """A worker a seat, with their pages on well-known ports where those are free."""
    plans = []
    for number, seat in enumerate(seats, 1):
        name, port = f"worker-{number}", FIRST_WEB_PORT + number - 1
        port_file = run_folder / f"{name}.port"
        web_port = port if is_free(port) else 0
        options = (*seat.options, "--web-port", str(web_port), "--port-file", str(port_file))
        plans.append(Plan(name, ("worker", "--name", name, *options), WORKERS, port_file=port_file))
    return plans


def ingest_plan(run_folder: Path) -> Plan:
    """The packing of JSON ticks, with its metrics on a well-known port where that is free."""
    port_file = run_folder / "ingest.port"
    port = FIRST_INGEST_PORT if is_free(FIRST_INGEST_PORT) else 0
    options = ("--metrics-port", str(port), "--port-file", str(port_file))
    return Plan("ingest", ("ingest", *options), PRODUCERS, port_file=port_file)


def task_plans(run_folder: Path, agents: tuple[str, ...] = ()) -> list[Plan]:
    """The orchestrator and a task agent of this host, with their metrics on well-known ports if free.

    Parameters
    ----------
    agents
        ``module:Class`` of agents beside those that are built in or installed.
    """
    named = tuple(word for address in agents for word in ("--agent", address))
    plans = []
    for name, command, port in (
        ("orchestrator", "orchestrate", ORCHESTRATOR_PORT),
        ("agent", "agent", AGENT_PORT),
    ):
        port_file = run_folder / f"{name}.port"
        options = ("--metrics-port", str(port if is_free(port) else 0), "--port-file", str(port_file))
        plans.append(Plan(name, (command, *named, *options), WORKERS, port_file=port_file))
    return plans


def api_plan(run_folder: Path) -> Plan:
    """The REST API and the dashboard, on the well-known port where that is free."""
    port_file = run_folder / "api.port"
    port = API_PORT if is_free(API_PORT) else 0
    return Plan(
        "api", ("api", "--port", str(port), "--port-file", str(port_file)), WORKERS, port_file=port_file
    )


def token_of(settings: Settings) -> str:
    """The API's token: the configured one, else one made for this run."""
    if settings.api_token is not None:
        return settings.api_token.get_secret_value()
    return secrets.token_urlsafe(24)


def child_environment(settings: Settings, broker: str, token: str) -> dict[str, str]:
    """What children get on top of our own environment: where the log is, and no buffering of their words."""
    return {
        "TAPESTREAM_API_TOKEN": token,
        "TAPESTREAM_BROKER": broker,
        "TAPESTREAM_DATA_DIR": str(settings.data_dir.absolute()),
        "TAPESTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
    }


@contextmanager
def sole_use(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock; two runs in one folder would write over each other's ports and logs.

    Raises
    ------
    ChildError
        When another run has it.
    """
    descriptor = open_lock_file(folder / "run" / "lock")
    try:
        if not try_lock(descriptor):
            raise ChildError(
                f"{folder} is in use by another `tapestream {what}`",
                "stop that one, or set TAPESTREAM_DATA_DIR to another folder",
            )
        yield
    finally:
        os.close(descriptor)


@contextmanager
def some_broker(settings: Settings, console: Console, port: int) -> Iterator[EmbeddedBroker | None]:
    """The embedded broker, started, or None where the settings name one."""
    if "broker" in settings.model_fields_set:
        yield None
        return
    with download_progress(console) as on_download:
        broker = embedded_broker(settings, port=port, on_download=on_download)
        broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class BrokerWatch:
    """Brings the embedded broker back when it dies: its data are on disk, and clients wait for it."""

    def __init__(self, broker: EmbeddedBroker | None, say: Say, pause_s: float = 1.0) -> None:
        self._broker, self._say, self._pause_s = broker, say, pause_s
        self._looked_s = 0.0

    def look(self) -> None:
        """Restart the broker if it has ended; at most once in a while."""
        now = time.monotonic()
        if self._broker is None or self._broker.alive or now - self._looked_s < self._pause_s:
            return
        self._looked_s = now
        self._say("the broker ended by itself; starting it again")
        self._broker.restart()
