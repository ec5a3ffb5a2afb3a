"""Apache Kafka inside our own process tree: one KRaft node, or a few, from pip alone.

Synchronous, because it only starts and stops processes; from async code call it through ``to_thread``.
Invariants: it listens on the loopback address only; one broker at a time uses a folder; whatever way the
process that started it ends, no Java process is left behind.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from schemas.errors import BrokerStartError
from schemas.settings import Settings
from streams.broker import artifacts, config, folder, ports
from streams.broker.config import ListenerSecurity, NodePlan
from streams.broker.java import find_java
from streams.broker.node import Node

ATTEMPTS = 3
"""How often to look for free ports: another process may take one before Kafka does."""


class EmbeddedBroker:
    """A Kafka that lives as long as the block, or until :meth:`stop`.

    Parameters
    ----------
    data_dir
        The broker's own folder; what is written there survives a restart.
    port
        Of the first node; the others take the next ones. 0 for free ones.
    nodes
        How many nodes; each is a process of about 370 MB.
    security
        What to demand of clients.
    heap_mb
        Java heap of a node.
    extra
        More of Kafka's own properties, which win over ours.
    maven_repository
        Where the jars come from when they are not on the machine yet.
    on_download
        Told how far their download is.
    start_timeout_s, stop_timeout_s
        How long a node may take to come up, and to end in good order before it is killed.

    Examples
    --------
    >>> with EmbeddedBroker(Path(".tapestream/kafka"), port=0) as broker:  # doctest: +SKIP
    ...     print(broker.address)
    127.0.0.1:20713
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 9092,
        nodes: int = 1,
        security: ListenerSecurity | None = None,
        heap_mb: int = 512,
        extra: Mapping[str, str] | None = None,
        maven_repository: str | None = None,
        on_download: artifacts.OnDownload | None = None,
        start_timeout_s: float = 120.0,
        stop_timeout_s: float = 20.0,
    ) -> None:
        if nodes < 1 or not 0 <= port <= 65_536 - nodes:
            raise BrokerStartError(
                f"{nodes} node(s) from port {port} cannot be", "see `tapestream broker --help`"
            )
        if "," in str(data_dir.absolute()):
            raise BrokerStartError(
                f"{data_dir} has a comma, where Kafka would end the name", "choose another --data-dir"
            )
        self.data_dir = data_dir.absolute()
        self._port, self._count = port, nodes
        self._security = security or ListenerSecurity()
        self._heap_mb, self._extra = heap_mb, dict(extra or {})
        self._remote, self._on_download = maven_repository, on_download
        self._start_timeout_s, self._stop_timeout_s = start_timeout_s, stop_timeout_s
        self._plans: tuple[NodePlan, ...] = ()
        self._nodes: dict[int, Node] = {}
        self._lock: int | None = None
        self._java, self._class_path = Path(), list[Path]()

    @property
    def address(self) -> str:
        """Bootstrap servers, ``host:port[,host:port]``; known once started, the same after a restart."""
        return ",".join(plan.address for plan in self._plans)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the running nodes."""
        return tuple(node.pid for node in self._nodes.values() if node.alive)

    @property
    def alive(self) -> bool:
        """Whether every node runs."""
        return len(self.pids) == self._count

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> EmbeddedBroker:
        """Start the nodes and return when all serve clients.

        Raises
        ------
        BrokerStartError
            When it cannot be: no jars and no network, a port or the folder in use, data of another version.
        """
        if self._lock is not None:
            raise BrokerStartError("this broker is started already", "stop it first")
        if self._port:
            self._refuse_taken_ports()
        self._java = find_java()
        self._class_path = artifacts.class_path(remote=self._remote, on_download=self._on_download)
        try:
            self._lock = folder.lock(self.data_dir)
            marker = folder.claim(self.data_dir, artifacts.KAFKA_VERSION, self._count)
            self._start_on_some_ports(marker.cluster_id)
        except OSError as exc:
            self.stop()
            raise BrokerStartError(
                f"{self.data_dir} cannot be used: {exc.strerror or exc}", "choose another --data-dir"
            ) from exc
        except BaseException:
            self.stop()
            raise
        return self

    def _refuse_taken_ports(self) -> None:
        for port in range(self._port, self._port + self._count):
            if not ports.is_free(port):
                raise BrokerStartError(
                    f"port {port} of {ports.LOOPBACK} is taken by another program",
                    "choose another --port, or --port 0 for a free one; if that is a Kafka, "
                    f"use it with TAPESTREAM_BROKER={ports.LOOPBACK}:{port}",
                )

    def _start_on_some_ports(self, cluster_id: str) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            self._plans = self._plan()
            try:
                self._format(cluster_id)
                self._launch(self._plans)
            except BrokerStartError as exc:
                self._halt()
                chosen_by_us = "already in use" in str(exc) and not self._is_fixed(str(exc))
                if not chosen_by_us or attempt == ATTEMPTS:
                    raise
            else:
                return

    def _is_fixed(self, problem: str) -> bool:
        """Whether a problem names a port that the caller asked for."""
        fixed = range(self._port, self._port + self._count) if self._port else ()
        return any(f"{ports.LOOPBACK}:{port}:" in problem for port in fixed)

    def _plan(self) -> tuple[NodePlan, ...]:
        """The nodes' folders and ports; the ones clients do not see may differ from start to start."""
        free = ports.free_ports(3 * self._count)
        clients = range(self._port, self._port + self._count) if self._port else free[: self._count]
        return tuple(
            NodePlan(
                number,
                self.data_dir / f"node-{number}",
                client_port=clients[number - 1],
                internal_port=free[self._count + number - 1],
                controller_port=free[2 * self._count + number - 1],
            )
            for number in range(1, self._count + 1)
        )

    def _format(self, cluster_id: str) -> None:
        for plan in self._plans:
            plan.folder.mkdir(parents=True, exist_ok=True)
            plan.logging_file.write_text(config.logging_config(plan))
            plan.properties_file.touch(mode=0o600)  # it may hold passwords
            plan.properties_file.write_text(
                config.server_properties(plan, self._plans, self._security, self._extra)
            )
            if (plan.log_dir / "meta.properties").exists():
                continue
            command = config.format_command(plan, self._java, self._class_path, cluster_id, self._security)
            made = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if made.returncode:
                said = (made.stderr + made.stdout).strip().splitlines() or ["nothing"]
                raise BrokerStartError(f"{plan.log_dir} cannot be formatted: {said[0]}", "is the disk full?")

    def _launch(self, plans: tuple[NodePlan, ...]) -> None:
        assert self._lock is not None
        for plan in plans:
            command = config.server_command(plan, self._java, self._class_path, self._heap_mb)
            self._nodes[plan.node_id] = Node(plan, command, self._stop_timeout_s, self._lock)
        for plan in plans:
            self._nodes[plan.node_id].wait_until_up(self._start_timeout_s)

    def stop(self) -> None:
        """End the nodes in good order; nothing acknowledged is lost. Harmless when they have ended."""
        self._halt()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _halt(self, *node_ids: int) -> None:
        # All at once: a last node that waits for the others' answers would use up its whole time to stop.
        ending = [
            self._nodes.pop(number) for number in node_ids or tuple(self._nodes) if number in self._nodes
        ]
        for node in ending:
            node.ask_to_stop()
        for node in ending:
            node.wait_until_gone()

    def kill(self, node_id: int | None = None) -> None:
        """End one node, or all, with SIGKILL, as a crash would; :meth:`restart` brings them back."""
        for number, node in self._nodes.items():
            if node_id in (None, number):
                node.kill()

    def restart(self, node_id: int | None = None) -> None:
        """End one node, or all, if they run, and start them again on the same ports and data."""
        if self._lock is None:
            raise BrokerStartError("this broker is not started", "start it first")
        chosen = tuple(plan for plan in self._plans if node_id in (None, plan.node_id))
        self._halt(*(plan.node_id for plan in chosen))
        self._launch(chosen)


def embedded_broker(settings: Settings, **options: object) -> EmbeddedBroker:
    """The embedded broker of the settings' data folder; ``options`` as for :class:`EmbeddedBroker`."""
    given = {"maven_repository": settings.maven_repository, **options}
    return EmbeddedBroker(settings.data_dir / "kafka", **given)  # type: ignore[arg-type]
