"""What the embedded broker is told: Kafka's properties, its logging, its command line. Pure text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from streams.broker.ports import LOOPBACK

STARTED = "Kafka Server started"
"""What Kafka logs when it serves its clients."""


@dataclass(frozen=True, slots=True)
class ListenerSecurity:
    """What the embedded broker demands of its clients; nothing by default.

    Parameters
    ----------
    protocol
        As in the settings: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
    sasl_mechanism
        ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
    users
        Passwords by user name.
    keystore
        A PEM file with the broker's private key (PKCS 8, unencrypted) and its certificate chain.
    """

    protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    keystore: Path | None = None


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node: its number, its folder and the ports of its listeners, all on the loopback address."""

    node_id: int
    folder: Path
    client_port: int
    internal_port: int
    controller_port: int

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"{LOOPBACK}:{self.client_port}"

    @property
    def log_dir(self) -> Path:
        """Kafka's own data."""
        return self.folder / "log"

    @property
    def console(self) -> Path:
        """What this start has printed: that it is up, or why not."""
        return self.folder / "console.log"

    @property
    def properties_file(self) -> Path:
        """The file with :func:`server_properties`."""
        return self.folder / "server.properties"

    @property
    def logging_file(self) -> Path:
        """The file with :func:`logging_config`."""
        return self.folder / "log4j2.xml"


def server_properties(
    node: NodePlan,
    cluster: tuple[NodePlan, ...],
    security: ListenerSecurity,
    extra: Mapping[str, str] | None = None,
) -> str:
    """The content of one node's ``server.properties``."""
    replicas = str(min(3, len(cluster)))
    # One replica less may be away, as long as that leaves one.
    in_sync = str(max(1, min(3, len(cluster)) - 1))
    properties = {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": ",".join(
            f"{peer.node_id}@{LOOPBACK}:{peer.controller_port}" for peer in cluster
        ),
        "listeners": (
            f"CLIENT://{LOOPBACK}:{node.client_port},"
            f"INTERNAL://{LOOPBACK}:{node.internal_port},"
            f"CONTROLLER://{LOOPBACK}:{node.controller_port}"
        ),
        "advertised.listeners": (
            f"CLIENT://{LOOPBACK}:{node.client_port},INTERNAL://{LOOPBACK}:{node.internal_port}"
        ),
        # Nodes talk to each other in the clear whatever they demand of clients: it never leaves the machine.
        "listener.security.protocol.map": (
            f"CLIENT:{security.protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(node.log_dir),
        # A topic that nobody declared is a misspelt name.
        "auto.create.topics.enable": "false",
        "num.partitions": "1",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.num.partitions": "8",
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        # A group of local workers need not wait three seconds for members that may still come.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A node that was killed may come back only when its old session has ended; the default is 9 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        # The default of 128 MiB would be a quarter of the heap; ours compacts topics of few keys.
        "log.cleaner.dedupe.buffer.size": str(16 * 1_048_576),
        # Enough for our segments, where the default reserves 10 MiB of each index for every partition.
        "log.index.size.max.bytes": str(1_048_576),
        **_security_properties(security),
        **(extra or {}),
    }
    return "".join(f"{key}={_escaped(value)}\n" for key, value in properties.items())


def _security_properties(security: ListenerSecurity) -> dict[str, str]:
    properties: dict[str, str] = {}
    if "SASL" in security.protocol:
        listener = f"listener.name.client.{security.sasl_mechanism.lower()}.sasl.jaas.config"
        if security.sasl_mechanism == "PLAIN":
            users = " ".join(f'user_{name}="{password}"' for name, password in security.users.items())
            module = f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
        else:  # the users are in the metadata log, put there by the formatting
            module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        properties[listener] = module
        properties["sasl.enabled.mechanisms"] = security.sasl_mechanism
    if "SSL" in security.protocol:
        properties["listener.name.client.ssl.keystore.type"] = "PEM"
        properties["listener.name.client.ssl.keystore.location"] = str(security.keystore)
    return properties


def _escaped(value: str) -> str:
    """A value as Java reads it from a properties file, which is Latin-1 with escapes."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)


def logging_config(node: NodePlan) -> str:
    """Kafka's logging: everything in a file that rolls, start and errors on the console."""
    log = escape(str(node.folder / "server.log"), {'"': "&quot;"})
    return f"""<Configuration status="error">
  <Appenders>
    <RollingFile name="file" fileName="{log}" filePattern="{log}.%i">
      <PatternLayout pattern="%d{{ISO8601}} %p %m (%c)%n"/>
      <SizeBasedTriggeringPolicy size="10 MB"/>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
    <Console name="console">
      <PatternLayout pattern="%d{{ISO8601}} %p %m (%c)%n"/>
    </Console>
  </Appenders>
  <Loggers>
    <Root level="info">
      <AppenderRef ref="file"/>
      <AppenderRef ref="console" level="error"/>
    </Root>
    <Logger name="kafka.server.KafkaRaftServer" level="info">
      <AppenderRef ref="console" level="info"/>
    </Logger>
  </Loggers>
</Configuration>
"""


def server_command(node: NodePlan, java: Path, class_path: list[Path], heap_mb: int) -> list[str]:
    """The command that runs a node."""
    return [
        *_java(java, class_path),
        f"-Xmx{heap_mb}m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={node.logging_file}",
        "-Dlog4j2.disableJmx=true",
        "kafka.Kafka",
        str(node.properties_file),
    ]


def format_command(
    node: NodePlan, java: Path, class_path: list[Path], cluster_id: str, security: ListenerSecurity
) -> list[str]:
    """The command that makes a node's empty log folder."""
    scram = security.sasl_mechanism if "SASL" in security.protocol else ""
    users = [
        f"--add-scram={scram}=[name={name},password={password}]"
        for name, password in security.users.items()
        if scram.startswith("SCRAM")
    ]
    return [
        *_java(java, class_path),
        "-XX:TieredStopAtLevel=1",
        "-Dlog4j2.level=ERROR",
        "kafka.tools.StorageTool",
        "format",
        "--ignore-formatted",
        f"--cluster-id={cluster_id}",
        f"--config={node.properties_file}",
        *users,
    ]


def _java(java: Path, class_path: list[Path]) -> list[str]:
    # Without UsePerfData no file is left in the temporary folder by a node that was killed.
    flags = ["-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true"]
    return [str(java), *flags, "-cp", ":".join(map(str, class_path))]
